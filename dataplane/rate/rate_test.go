package rate

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// twin is a token bucket in exact arithmetic: tokens times nanoseconds.
type twin struct {
	tokens, last int64
	begun        bool
}

func (b *twin) allow(interval, burst, now int64) bool {
	if !b.begun {
		b.begun, b.tokens = true, burst*interval
	} else {
		b.tokens = min(b.tokens+now-b.last, burst*interval)
	}
	b.last = now
	if b.tokens < interval {
		return false
	}
	b.tokens -= interval
	return true
}

// TestMeterIsATokenBucket compares both meters with a bucket that counts tokens, over
// random rates, bursts and times.
func TestMeterIsATokenBucket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n, burst := 1+random.IntN(1e6), 1+random.IntN(50)
		l := Per(n, burst)
		var m Meter
		var s Shared
		var b twin
		now := int64(random.IntN(1e9))
		for i := range 500 {
			now += random.Int64N(2 * second / int64(n) * int64(1+random.IntN(3)))
			want := b.allow(second/int64(n), int64(burst), now)
			if got, shared := m.Allow(l, now), s.Allow(l, now); got != want || shared != want {
				t.Fatalf("%d a second, burst %d, event %d: got %v, shared %v; want %v", n, burst, i, got, shared, want)
			}
		}
	}
}

func TestNoLimit(t *testing.T) {
	var m Meter
	var s Shared
	for range 1000 {
		if !m.Allow(Limit{}, 5) || !s.Allow(Per(0, 1), 5) {
			t.Fatal("the zero limit refuses")
		}
	}
}

// TestSharedIsExactUnderContention has many goroutines ask at one instant: exactly the
// burst passes.
func TestSharedIsExactUnderContention(t *testing.T) {
	const burst = 100
	l := Per(1000, burst)
	var s Shared
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range burst {
				if s.Allow(l, second) {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := passed.Load(); got != burst {
		t.Errorf("%d events passed at once; want %d", got, burst)
	}
}
