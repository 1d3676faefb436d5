package tuntap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

func driver(tap bool) linktest.Driver {
	return linktest.Driver{
		L3: !tap, Segments: true, AnyLength: true,
		Open: func(t *testing.T, arriving []linktest.Frame) (link.Port, func(int) []linktest.Frame) {
			linktest.Namespace(t)
			p, err := Open(Options{Name: "vra-t", TAP: tap})
			if err != nil {
				t.Fatal(err)
			}
			w := linktest.NewWire(t, "vra-t")
			w.Send(arriving...)
			return p, w.Receive
		},
	}
}

func TestContract(t *testing.T) {
	t.Run("tap", func(t *testing.T) { linktest.Run(t, driver(true)) })
	t.Run("tun", func(t *testing.T) { linktest.Run(t, driver(false)) })
}

func TestOpenRefuses(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	for _, row := range []struct {
		o    Options
		want string
	}{
		{Options{Name: "vra-a", TAP: true}, `open port device "vra-a": exists already`},
		{Options{Name: "vra-b"}, `open port device "vra-b": exists already`},
		{Options{}, `open port device "": got a name of 0 bytes; want 1 to 15`},
		{Options{Name: "a-name-of-16-byt"}, `open port device "a-name-of-16-byt": got a name of 16 bytes; want 1 to 15`},
		{Options{Name: "vra-t", Queues: 257}, `open port device "vra-t": got 257 queues; want 1 to 256`},
		{Options{Name: "vra-t", MTU: 10}, `open port device "vra-t": set mtu 10: invalid argument`},
	} {
		if _, err := Open(row.o); err == nil || err.Error() != row.want {
			t.Errorf("%+v: got %v; want %s", row.o, err, row.want)
		}
	}
	p, err := Open(Options{Name: "vra-t"})
	if err != nil {
		t.Fatalf("after refused options: %v", err)
	}
	defer p.Close()
	if _, err := Open(Options{Name: "vra-t"}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("second open: got %v; want exists already", err)
	}
}

func TestDescriptorsAreNotInherited(t *testing.T) {
	linktest.Namespace(t)
	p, err := Open(Options{Name: "vra-t", Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, q := range p.Queues() {
		flags, err := unix.FcntlInt(uintptr(q.FD()), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("queue %d: got flags %x, %v; want CLOEXEC", i, flags, err)
		}
	}
}

func TestInfo(t *testing.T) {
	linktest.Namespace(t)
	p, err := Open(Options{Name: "vra-t", TAP: true, MTU: 1400, Queues: 3})
	if err != nil {
		t.Fatal(err)
	}
	linktest.IP(t, "link set vra-t address 02:00:00:00:12:34")
	got := p.Info()
	if got.MTU != 1400 || !got.Up || got.L3 || !got.Segments || got.Index == 0 || len(p.Queues()) != 3 {
		t.Errorf("got %+v, %d queues", got, len(p.Queues()))
	}
	linktest.IP(t, "link set vra-t down mtu 1300")
	if got := p.Info(); got.MTU != 1300 || got.Up || got.MAC != [6]byte{2, 0, 0, 0, 0x12, 0x35} {
		t.Errorf("after the change: got %+v; want MTU 1300, down, 02:00:00:00:12:35", got)
	}
	if _, err := p.Queues()[0].Tx([]*packet.Packet{linktest.UDP(1, 20, false).Packet()}); !errors.Is(err, link.ErrDown) {
		t.Errorf("Tx: got %v; want %v", err, link.ErrDown)
	}
	p.Close()
	if p, err = Open(Options{Name: "vra-t"}); err != nil {
		t.Errorf("the device stays after Close: %v", err)
	} else {
		p.Close()
	}
}

// Frames that the host sends by several queues all arrive, and each queue sends.
func TestQueues(t *testing.T) {
	linktest.Namespace(t)
	p, err := Open(Options{Name: "vra-t", Queues: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-t")
	const n = 60
	for i := range n {
		w.Send(linktest.UDP(i, 20, true))
	}
	var b packet.Batch
	got := 0
	for i, q := range p.Queues() {
		if err := q.Rx(&b); err != nil {
			t.Fatal(err)
		}
		got += b.N
		if m, err := q.Tx([]*packet.Packet{linktest.UDP(i, 20, true).Packet()}); m != 1 || err != nil {
			t.Errorf("queue %d: Tx: got %d, %v; want 1", i, m, err)
		}
	}
	if got != n {
		t.Errorf("got %d frames; want %d", got, n)
	}
	if got := len(w.Receive(3)); got != 3 {
		t.Errorf("%d frames left; want 3", got)
	}
}

func TestReattach(t *testing.T) {
	linktest.Namespace(t)
	p, err := Open(Options{Name: "vra-t"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Reattach(); err != nil {
		t.Errorf("Reattach of a device that is there: %v", err)
	}
	q := p.Queues()[0]
	linktest.IP(t, "link del vra-t")
	var b packet.Batch
	for deadline := time.Now().Add(2 * time.Second); !errors.Is(q.Rx(&b), link.ErrDown); {
		if time.Now().After(deadline) {
			t.Fatal("Rx does not say that the device is gone")
		}
		linktest.Wait(q.FD(), 10)
	}
	if linktest.Wait(q.FD(), 0) {
		t.Error("the descriptor of a device that is gone polls readable; a worker would spin")
	}
	if _, err := q.Tx([]*packet.Packet{linktest.UDP(1, 20, true).Packet()}); !errors.Is(err, link.ErrDown) {
		t.Errorf("Tx: got %v; want %v", err, link.ErrDown)
	}
	if err := p.Reattach(); err != nil {
		t.Fatal(err)
	}
	linktest.NewWire(t, "vra-t").Send(linktest.UDP(1, 20, true))
	linktest.Receive(t, q, 1, func(*packet.Batch) {})
	if !p.Info().Up {
		t.Error("Info: got down; want up")
	}
}

func TestNoHeadroomIsRefused(t *testing.T) {
	linktest.Namespace(t)
	p, err := Open(Options{Name: "vra-t"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	f := linktest.UDP(1, 20, true)
	bare := &packet.Packet{Buf: f.Bytes, End: uint32(len(f.Bytes))}
	if n, err := p.Queues()[0].Tx([]*packet.Packet{bare, f.Packet()}); n != 1 || err != nil {
		t.Errorf("Tx: got %d, %v; want 1", n, err)
	}
}
