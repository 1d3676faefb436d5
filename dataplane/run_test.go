package dataplane

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// TestDoOutlivesItsWorker asks a worker that has ended for a turn, and one that ends
// while others wait for theirs: nobody waits forever.
func TestDoOutlivesItsWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	synctest.Test(t, func(t *testing.T) {
		w := NewWorker(WorkerOptions{Of: 1, Sessions: 16, Log: slog.New(slog.DiscardHandler)})
		ran := 0
		for range 3 {
			go w.Do(func() { ran++ })
		}
		synctest.Wait()
		if err := w.Run(ctx, func() int64 { return 1 }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.Do(func() { ran++ })
		if ran != 1 {
			t.Errorf("%d of 4 turns were had; want the first", ran)
		}
	})
}

// brokenQueue is a driver with a fault of ours: its first call panics.
type brokenQueue struct {
	*fakeQueue
	calls int
}

func (q *brokenQueue) Rx(b *packet.Batch) error {
	if q.calls++; q.calls == 1 {
		panic("broken")
	}
	b.N = 0
	return io.EOF
}

// TestPanicOutsideOfTheLine lets a driver panic: the worker counts it and goes on.
func TestPanicOutsideOfTheLine(t *testing.T) {
	w, q := testWorker(&fakeDecider{})
	broken := &brokenQueue{fakeQueue: q}
	w.SetQueues([]link.Queue{broken}, []bool{true})
	if err := w.Run(t.Context(), func() int64 { return 1 }); err != nil {
		t.Fatal(err)
	}
	if broken.calls != 2 || w.Counters.Panics.Load() != 1 {
		t.Errorf("got %d calls and %d panics counted; want 2 and 1", broken.calls, w.Counters.Panics.Load())
	}
}
