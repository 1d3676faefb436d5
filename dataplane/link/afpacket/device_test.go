package afpacket

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

func TestMissingDevice(t *testing.T) {
	linktest.Namespace(t)
	_, err := Open(Options{Device: "eth9"})
	if want := `open port device "eth9": no such device`; err == nil || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
	_, err = Open(Options{Device: "a-name-too-long-for-linux"})
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v; want %v", err, unix.ENODEV)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Device: "vra-a"})
	if want := `open port device "vra-a": in use by another vra`; err == nil || err.Error() != want {
		t.Errorf("got %v; want %s", err, want)
	}
	p.Close()
	if p, err = Open(Options{Device: "vra-a"}); err != nil {
		t.Errorf("open after close: %v", err)
	} else {
		p.Close()
	}
}

func TestInfo(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	linktest.IP(t, "link set vra-a mtu 9000 address 02:00:00:00:12:34")
	p, err := Open(Options{Device: "vra-a", Promiscuous: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := link.Info{
		Device: "vra-a", Index: p.Info().Index, MAC: [6]byte{2, 0, 0, 0, 0x12, 0x34}, MTU: 9000,
		Segments: true, Up: true,
	}
	if got := p.Info(); got != want || got.Index == 0 {
		t.Errorf("got %+v; want %+v", got, want)
	}
	linktest.IP(t, "link set vra-a mtu 1400")
	linktest.IP(t, "link set vra-b down")
	want.MTU, want.Up = 1400, false
	for deadline := time.Now().Add(2 * time.Second); p.Info().Up && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the kernel tells carrier late
	}
	if got := p.Info(); got != want {
		t.Errorf("after the change: got %+v; want %+v", got, want)
	}
}

// waitDown polls the queue as a worker does until Rx says that the link is down.
func waitDown(t *testing.T, q link.Queue) {
	t.Helper()
	var b packet.Batch
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if errors.Is(q.Rx(&b), link.ErrDown) {
			return
		}
		linktest.Wait(q.FD(), 50)
	}
	t.Fatal("Rx does not say that the link is down")
}

func TestFlapKeepsTheSockets(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a", Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-b")
	linktest.IP(t, "link set vra-a down")
	for _, q := range p.Queues() {
		waitDown(t, q)
		if linktest.Wait(q.FD(), 0) {
			t.Error("the descriptor of a device that is down polls readable; a worker would spin")
		}
		if _, err := q.Tx([]*packet.Packet{linktest.UDP(1, 20, false).Packet()}); !errors.Is(err, link.ErrDown) {
			t.Errorf("Tx: got %v; want %v", err, link.ErrDown)
		}
	}
	linktest.IP(t, "link set vra-a up")
	linktest.AwaitUp(t, "vra-a", "vra-b")
	for i := range 20 {
		f := linktest.UDP(i, 20, false)
		w.Send(f)
		linktest.Receive(t, p.Queues()[int(link.Steer(f.Bytes, false))%2], 1, func(*packet.Batch) {})
	}
}

func TestReattach(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a", Guarded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	q := p.Queues()[0]
	linktest.NewWire(t, "vra-b").Send(linktest.UDP(1, 20, false))
	linktest.Receive(t, q, 1, func(*packet.Batch) {})
	linktest.IP(t, "link del vra-a")
	waitDown(t, q)
	var b packet.Batch
	for range 3 {
		if err := q.Rx(&b); !errors.Is(err, link.ErrDown) {
			t.Errorf("Rx on a device that is gone: got %v; want %v", err, link.ErrDown)
		}
	}
	if linktest.Wait(q.FD(), 0) {
		t.Error("the descriptor of a device that is gone polls readable; a worker would spin")
	}
	if p.Info().Up {
		t.Error("Info: got up; want down")
	}
	if err := p.Reattach(); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("Reattach without the device: got %v; want no such device", err)
	}
	linktest.Veth(t, "vra-a", "vra-b")
	if err := p.Reattach(); err != nil {
		t.Fatal(err)
	}
	linktest.NewWire(t, "vra-b").Send(linktest.UDP(2, 20, false))
	linktest.Receive(t, q, 1, func(*packet.Batch) {})
	if s := p.Stats(); s.RxPackets != 2 || !p.Info().Up {
		t.Errorf("after Reattach: got %+v, up %v; want 2 packets received in all, up", s, p.Info().Up)
	}
}

func TestFullRingIsCounted(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a", RingBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-b")
	const slots = 2 * packet.BatchSize
	for i := range slots + 10 {
		w.Send(linktest.UDP(i, 20, false))
	}
	linktest.Receive(t, p.Queues()[0], slots, func(*packet.Batch) {})
	if s := p.Stats(); s.RxPackets != slots || s.RxMissed != 10 {
		t.Errorf("Stats: got %+v; want %d received, 10 missed", s, slots)
	}
	if s := p.Stats(); s.RxMissed != 10 {
		t.Errorf("Stats again: got %d missed; want 10 still", s.RxMissed)
	}
	w.Send(linktest.UDP(1, 20, false))
	linktest.Receive(t, p.Queues()[0], 1, func(*packet.Batch) {})
}

// Jumbo frames arrive after the MTU was raised under an open port: longer than a
// slot, they come by the way of super-packets, with their tags.
func TestFramesLongerThanASlot(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	linktest.IP(t, "link set vra-a mtu 9000")
	linktest.IP(t, "link set vra-b mtu 9000")
	w := linktest.NewWire(t, "vra-b")
	want := []linktest.Frame{
		linktest.UDP(1, 8000, false), linktest.UDP(2, 100, false).Tagged(0x8100_0003),
		linktest.UDP(3, 8000, false).Tagged(0x8100_0005), linktest.SuperTCP(60000, 1400, false).Tagged(0x8100_0004),
		linktest.UDP(4, 1900, false),
	}
	w.Send(want...)
	i := 0
	linktest.Receive(t, p.Queues()[0], len(want), func(b *packet.Batch) {
		for j := range b.P[:b.N] {
			if got := linktest.Whole(&b.P[j]); string(got.Bytes) != string(want[i].Bytes) {
				t.Errorf("frame %d: got %d bytes; want %d, the same", i, len(got.Bytes), len(want[i].Bytes))
			}
			i++
		}
	})
}
