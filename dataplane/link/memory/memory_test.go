package memory

import (
	"errors"
	"testing"

	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

func driver(o Options) linktest.Driver {
	return linktest.Driver{
		L3: o.L3, Segments: o.Segments,
		Open: func(t *testing.T, arriving []linktest.Frame) (link.Port, func(int) []linktest.Frame) {
			a, b, err := Pair(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			for _, f := range arriving {
				if n, err := b.Queues()[0].Tx([]*packet.Packet{f.Packet()}); n != 1 || err != nil {
					t.Fatalf("send to port: %d, %v", n, err)
				}
			}
			return a, func(n int) (fs []linktest.Frame) {
				linktest.Receive(t, b.Queues()[0], n, func(batch *packet.Batch) {
					for i := range batch.P[:batch.N] {
						fs = append(fs, linktest.Whole(&batch.P[i]))
					}
				})
				return fs
			}
		},
	}
}

func TestContract(t *testing.T) {
	t.Run("ethernet", func(t *testing.T) { linktest.Run(t, driver(Options{})) })
	t.Run("ethernet with segments and poll", func(t *testing.T) {
		linktest.Run(t, driver(Options{Segments: true, Poll: true}))
	})
	t.Run("l3", func(t *testing.T) { linktest.Run(t, driver(Options{L3: true})) })
}

func TestFullRingRefuses(t *testing.T) {
	a, b, err := Pair(Options{Depth: 4})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if got, want := a.Inject(linktest.UDP(i, 20, false).Bytes), i < 4; got != want {
			t.Errorf("frame %d: got taken %v; want %v", i, got, want)
		}
	}
	if s := a.Stats(); s.TxPackets != 4 || s.TxRefused != 2 {
		t.Errorf("Stats: got %+v; want 4 sent, 2 refused", s)
	}
	if n := len(b.Drain()); n != 4 {
		t.Errorf("%d frames arrived; want 4", n)
	}
}

// Borrowed frames keep their slots: a sender cannot overwrite them.
func TestBorrowedFramesStay(t *testing.T) {
	a, b, err := Pair(Options{Depth: 2})
	if err != nil {
		t.Fatal(err)
	}
	a.Inject(linktest.UDP(1, 20, false).Bytes)
	var batch packet.Batch
	if err := b.Queues()[0].Rx(&batch); err != nil || batch.N != 1 {
		t.Fatalf("Rx: got %d, %v; want 1", batch.N, err)
	}
	for i := range 3 {
		a.Inject(linktest.UDP(7+i, 20, false).Bytes)
	}
	if got, want := string(batch.P[0].Bytes()), string(linktest.UDP(1, 20, false).Bytes); got != want {
		t.Errorf("borrowed frame changed to\n%x\nwant\n%x", got, want)
	}
}

func TestWithoutSegmentsHalfMadeIsRefused(t *testing.T) {
	a, _, err := Pair(Options{})
	if err != nil {
		t.Fatal(err)
	}
	half, super := linktest.HalfUDP(1, 20, false).Packet(), linktest.SuperTCP(3000, 1400, false).Packet()
	if n, err := a.Queues()[0].Tx([]*packet.Packet{half, super}); n != 0 || err != nil {
		t.Errorf("Tx: got %d, %v; want 0", n, err)
	}
}

func TestDown(t *testing.T) {
	a, b, err := Pair(Options{})
	if err != nil {
		t.Fatal(err)
	}
	one := []*packet.Packet{linktest.UDP(1, 20, false).Packet()}
	var batch packet.Batch
	tx := func() error { _, err := a.Queues()[0].Tx(one); return err }
	b.SetUp(false)
	if err := tx(); !errors.Is(err, link.ErrDown) || a.Info().Up {
		t.Errorf("Tx on a port that is down: got %v, up %v; want %v", err, a.Info().Up, link.ErrDown)
	}
	if err := a.Queues()[0].Rx(&batch); !errors.Is(err, link.ErrDown) {
		t.Errorf("Rx on a port that is down: got %v; want %v", err, link.ErrDown)
	}
	b.SetUp(true)
	if err := tx(); err != nil || !a.Info().Up {
		t.Errorf("Tx after the port is up again: got %v", err)
	}
	b.Close()
	if err := tx(); !errors.Is(err, link.ErrDown) {
		t.Errorf("Tx to a closed end: got %v; want %v", err, link.ErrDown)
	}
}

func TestQueuesAreSteered(t *testing.T) {
	a, b, err := Pair(Options{Queues: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		a.Inject(linktest.UDP(i, 20, false).Bytes)
	}
	total := 0
	var batch packet.Batch
	for i, q := range b.Queues() {
		if err := q.Rx(&batch); err != nil {
			t.Fatal(err)
		}
		for j := range batch.P[:batch.N] {
			if got := int(link.Steer(batch.P[j].Bytes(), false)) % 3; got != i {
				t.Errorf("queue %d: got a frame of queue %d", i, got)
			}
		}
		if batch.N == 0 {
			t.Errorf("queue %d: got nothing", i)
		}
		total += batch.N
	}
	if total != 50 {
		t.Errorf("got %d frames; want 50", total)
	}
}
