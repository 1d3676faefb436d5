// Package linktest holds the contract of port drivers: one test, Run, for each of
// them, and what drivers' own tests share: frames, a network namespace, and a
// plain packet socket as the other end of a wire.
package linktest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// Driver is what Run needs to know of a driver.
type Driver struct {
	// Open opens a port of one queue and makes the frames arrive at it, in order.
	// The port is closed by the test. sent waits for n frames that left by the
	// port and returns those there are after a second at most.
	Open func(t *testing.T, arriving []Frame) (p link.Port, sent func(n int) []Frame)
	// L3 says that frames have no Ethernet header.
	L3 bool
	// Segments says that the driver carries super-packets and half-made checksums.
	Segments bool
	// AnyLength says that there is no frame too long to be sent.
	AnyLength bool
}

// Run holds the driver to the contract of package link.
func Run(t *testing.T, d Driver) {
	t.Run("frames arrive in order, whole, with headroom", d.testReceive)
	t.Run("frames leave in order, whole", d.testSend)
	t.Run("received frames can be sent in place", d.testForward)
	if !d.AnyLength {
		t.Run("a frame too long is refused alone", d.testOversize)
	}
	t.Run("nothing there is no error", d.testEmpty)
	t.Run("close is idempotent and final", d.testClose)
	t.Run("batches do not allocate", d.testAllocs)
	if !d.L3 {
		t.Run("trap: VLAN tags are not lost", d.testVLAN)
	}
	if d.Segments {
		t.Run("trap: half-made checksums are marked", d.testHalfChecksum)
		t.Run("trap: super-packets stay whole", d.testSuper)
	}
}

// open opens a port and closes it when the test ends.
func (d Driver) open(t *testing.T, arriving []Frame) (link.Port, link.Queue, func(int) []Frame) {
	t.Helper()
	p, sent := d.Open(t, arriving)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	qs := p.Queues()
	if len(qs) != 1 || qs[0] != p.Queues()[0] {
		t.Fatalf("Queues: got %d, not the same one at each call", len(qs))
	}
	return p, qs[0], sent
}

// Receive calls Rx until n frames have come and hands each batch to f. It fails
// the test after two seconds without any.
func Receive(t *testing.T, q link.Queue, n int, f func(b *packet.Batch)) {
	t.Helper()
	var b packet.Batch
	last := time.Now()
	for got := 0; got < n; {
		err := q.Rx(&b)
		if err != nil && !(errors.Is(err, io.EOF) && b.N > 0) {
			t.Fatalf("Rx after %d of %d frames: %v", got, n, err)
		}
		if b.N > 0 {
			last = time.Now()
			got += b.N
			f(&b)
			continue
		}
		if time.Since(last) > 2*time.Second {
			t.Fatalf("got %d frames; want %d", got, n)
		}
		Wait(q.FD(), 100)
	}
}

// Wait waits until fd polls readable, at most ms milliseconds. It says whether it
// does.
func Wait(fd, ms int) bool {
	if fd < 0 {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, ms)
	return n > 0
}

// numbered returns n UDP frames of growing sizes.
func (d Driver) numbered(n int) []Frame {
	fs := make([]Frame, n)
	for i := range fs {
		fs[i] = UDP(i, 18+i*5, d.L3)
	}
	return fs
}

func (d Driver) testReceive(t *testing.T) {
	want := d.numbered(250)
	p, q, _ := d.open(t, want)
	if q.FD() >= 0 && !Wait(q.FD(), 2000) {
		t.Error("the descriptor does not poll readable with frames there")
	}
	i, total := 0, 0
	Receive(t, q, len(want), func(b *packet.Batch) {
		for j := range b.P[:b.N] {
			pk := &b.P[j]
			if pk.Start < packet.Headroom || int(pk.End) > len(pk.Buf) {
				t.Fatalf("frame %d is at %d:%d of %d; want %d bytes of headroom",
					i+j, pk.Start, pk.End, len(pk.Buf), packet.Headroom)
			}
			clear(pk.Buf[pk.Start-packet.Headroom : pk.Start]) // ours to write
		}
		for j := range b.P[:b.N] {
			compare(t, Whole(&b.P[j]), want[i])
			clear(b.P[j].Bytes())
			total += b.P[j].Len()
			i++
		}
	})
	s := p.Stats()
	if s.RxPackets != uint64(len(want)) || s.RxBytes != uint64(total) || s.RxMissed != 0 {
		t.Errorf("Stats: got %+v; want %d packets, %d bytes, none missed", s, len(want), total)
	}
}

func (d Driver) testSend(t *testing.T) {
	want := d.numbered(150) // more than a batch
	p, q, sent := d.open(t, nil)
	var ps []*packet.Packet
	total := 0
	for _, f := range want {
		ps = append(ps, f.Packet())
		total += len(f.Bytes)
	}
	if n, err := q.Tx(ps); n != len(ps) || err != nil {
		t.Fatalf("Tx: got %d, %v; want %d", n, err, len(ps))
	}
	for _, pk := range ps {
		clear(pk.Buf) // Tx is done with the bytes
	}
	got := sent(len(want))
	if len(got) != len(want) {
		t.Fatalf("%d frames left; want %d", len(got), len(want))
	}
	for i := range got {
		compare(t, got[i], want[i])
	}
	s := p.Stats()
	if s.TxPackets != uint64(len(want)) || s.TxBytes != uint64(total) || s.TxRefused != 0 {
		t.Errorf("Stats: got %+v; want %d packets, %d bytes, none refused", s, len(want), total)
	}
}

func (d Driver) testForward(t *testing.T) {
	want := d.numbered(200)
	_, q, sent := d.open(t, want)
	var ps []*packet.Packet
	Receive(t, q, len(want), func(b *packet.Batch) {
		ps = ps[:0]
		for j := range b.P[:b.N] {
			ps = append(ps, &b.P[j])
		}
		if n, err := q.Tx(ps); n != len(ps) || err != nil {
			t.Fatalf("Tx: got %d, %v; want %d", n, err, len(ps))
		}
	})
	got := sent(len(want))
	if len(got) != len(want) {
		t.Fatalf("%d frames left; want %d", len(got), len(want))
	}
	for i := range got {
		compare(t, got[i], want[i])
	}
}

func (d Driver) testOversize(t *testing.T) {
	p, q, sent := d.open(t, nil)
	mtu := p.Info().MTU
	ps := []*packet.Packet{
		UDP(0, 100, d.L3).Packet(), UDP(1, mtu+100, d.L3).Packet(), UDP(2, mtu-28, d.L3).Packet(),
	}
	long := ps[1]
	if n, err := q.Tx(ps); n != 2 || err != nil || ps[2] != long {
		t.Errorf("Tx: got %d, %v, the long one last: %v; want 2, true", n, err, ps[2] == long)
	}
	if s := p.Stats(); s.TxPackets != 2 || s.TxRefused != 1 {
		t.Errorf("Stats: got %+v; want 2 sent, 1 refused", s)
	}
	got := sent(2)
	if len(got) != 2 {
		t.Fatalf("%d frames left; want 2", len(got))
	}
	compare(t, got[0], UDP(0, 100, d.L3))
	compare(t, got[1], UDP(2, mtu-28, d.L3))
}

func (d Driver) testEmpty(t *testing.T) {
	_, q, _ := d.open(t, nil)
	b := packet.Batch{N: 7}
	for range 3 {
		if err := q.Rx(&b); b.N != 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("Rx: got %d frames, %v; want none", b.N, err)
		}
	}
	if Wait(q.FD(), 0) {
		t.Errorf("descriptor polls readable; want it quiet")
	}
	if n, err := q.Tx(nil); n != 0 || err != nil {
		t.Errorf("Tx of nothing: got %d, %v", n, err)
	}
}

func (d Driver) testClose(t *testing.T) {
	p, q, _ := d.open(t, d.numbered(3))
	for range 2 {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	b := packet.Batch{N: 7}
	if err := q.Rx(&b); !errors.Is(err, os.ErrClosed) || b.N != 0 {
		t.Errorf("Rx after Close: got %d frames, %v; want %v", b.N, err, os.ErrClosed)
	}
	if n, err := q.Tx([]*packet.Packet{UDP(0, 18, d.L3).Packet()}); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Tx after Close: got %d, %v; want %v", n, err, os.ErrClosed)
	}
	if p.Info().Up {
		t.Errorf("Info after Close: got up; want down")
	}
	p.Stats()
}

func (d Driver) testAllocs(t *testing.T) {
	const batches = 3
	fs := make([]Frame, (batches+2)*packet.BatchSize)
	for i := range fs {
		fs[i] = UDP(i, 100, d.L3)
	}
	_, q, _ := d.open(t, fs)
	var b packet.Batch
	ps := make([]*packet.Packet, packet.BatchSize)
	allocs := testing.AllocsPerRun(batches, func() {
		if err := q.Rx(&b); err != nil || b.N == 0 {
			t.Errorf("Rx: got %d, %v; want frames", b.N, err)
		}
		for i := range b.N {
			ps[i] = &b.P[i]
		}
		if n, err := q.Tx(ps[:b.N]); n != b.N || err != nil {
			t.Errorf("Tx: got %d, %v; want %d", n, err, b.N)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations in a batch; want 0", allocs)
	}
}

func (d Driver) testVLAN(t *testing.T) {
	plain := UDP(1, 60, false)
	want := []Frame{
		plain,
		plain.Tagged(0x8100_6064),
		plain.Tagged(0x88a8_0065),
		plain.Tagged(0x8100_0066).Tagged(0x88a8_2067),
		plain.Tagged(0x8100_0068).Tagged(0x8100_0069),
	}
	_, q, sent := d.open(t, want)
	var got []Frame
	Receive(t, q, len(want), func(b *packet.Batch) {
		for i := range b.P[:b.N] {
			got = append(got, Whole(&b.P[i]))
		}
	})
	var ps []*packet.Packet
	for i := range want {
		compare(t, got[i], want[i])
		ps = append(ps, want[i].Packet())
	}
	if n, err := q.Tx(ps); n != len(ps) || err != nil {
		t.Fatalf("Tx: got %d, %v; want %d", n, err, len(ps))
	}
	for i, f := range sent(len(want)) {
		compare(t, f, want[i])
	}
}

func (d Driver) testHalfChecksum(t *testing.T) {
	want := HalfUDP(3, 200, d.L3)
	d.bothWays(t, want)
}

func (d Driver) testSuper(t *testing.T) {
	d.bothWays(t, SuperTCP(60000, 1400, d.L3))
}

// bothWays has the frame arrive, with its offload, and sends it again in place.
func (d Driver) bothWays(t *testing.T, want Frame) {
	_, q, sent := d.open(t, []Frame{want})
	Receive(t, q, 1, func(b *packet.Batch) {
		got := Whole(&b.P[0])
		compare(t, got, want)
		compareOffload(t, got, want)
		if n, err := q.Tx([]*packet.Packet{&b.P[0]}); n != 1 || err != nil {
			t.Fatalf("Tx: got %d, %v; want 1", n, err)
		}
	})
	left := sent(1)
	if len(left) != 1 {
		t.Fatalf("%d frames left; want 1", len(left))
	}
	compare(t, left[0], want)
	compareOffload(t, left[0], want)
}

func compareOffload(t *testing.T, got, want Frame) {
	t.Helper()
	g, w := got.Offload, want.Offload
	g.HdrLen, w.HdrLen = 0, 0 // a hint
	if g != w {
		t.Errorf("offload: got %+v; want %+v", g, w)
	}
}

func compare(t *testing.T, got, want Frame) {
	t.Helper()
	if !bytes.Equal(got.Bytes, want.Bytes) {
		t.Fatalf("frame: got %d bytes\n%x\nwant %d bytes\n%x", len(got.Bytes), cut(got.Bytes),
			len(want.Bytes), cut(want.Bytes))
	}
}

func cut(b []byte) []byte { return b[:min(len(b), 128)] }
