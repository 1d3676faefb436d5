package dataplane

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
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
