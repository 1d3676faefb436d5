package icmp

import (
	"testing"
	"unsafe"
)

// sent returns how many errors go out in steps of 1 ms, to dst(i) at the i-th ms.
func sent(m *Limiter, from, ms int64, each int, dst func(i int64) uint32) (n int) {
	for i := range ms {
		for j := range each {
			if m.Allow(dst(i*int64(each)+int64(j)), (from+i)*1e6) {
				n++
			}
		}
	}
	return n
}

func anybody(i int64) uint32 { return uint32(i) * 2654435761 }

func TestGlobalRate(t *testing.T) {
	m := NewLimiter(DefaultLimits(), 1)
	if n := sent(m, 0, 1, 500, anybody); n < 30 || n > 100 {
		t.Errorf("burst: got %d; want about 50", n)
	}
	if n := sent(m, 1, 10_000, 5, func(i int64) uint32 { return anybody(i + 1000) }); n < 9500 || n > 10_500 {
		t.Errorf("ten seconds: got %d; want about 10000", n)
	}
}

func TestHostRate(t *testing.T) {
	m := NewLimiter(DefaultLimits(), 1)
	one := func(int64) uint32 { return client }
	if n := sent(m, 0, 1, 20, one); n != 6 {
		t.Errorf("burst: got %d; want 6", n)
	}
	if n := sent(m, 1, 10_000, 1, one); n != 10 {
		t.Errorf("ten seconds: got %d; want 10", n)
	}
	if !m.Allow(server, 10e9) {
		t.Error("another destination has to wait, too")
	}
}

func TestErrorsThatAreNotSentCostNothing(t *testing.T) {
	m := NewLimiter(DefaultLimits(), 1)
	sent(m, 0, 1, 10_000, func(int64) uint32 { return client })
	if n := sent(m, 0, 1, 500, anybody); n < 25 {
		t.Errorf("got %d after a flood at one destination; want about 44", n)
	}
}

// TestTheGlobalBucketTellsNoCount counts what is left of a burst after a known
// number of errors went to others: were it exact, it would tell that number.
func TestTheGlobalBucketTellsNoCount(t *testing.T) {
	seen := map[int]bool{}
	for secret := range uint64(50) {
		m := NewLimiter(DefaultLimits(), secret*0x9e3779b97f4a7c15)
		sent(m, 0, 1, 10, anybody)
		seen[sent(m, 0, 1, 500, func(i int64) uint32 { return anybody(i + 1000) })] = true
	}
	if len(seen) < 5 {
		t.Errorf("got the counts %v; want them to differ", seen)
	}
}

func TestZeroRatesSendNothing(t *testing.T) {
	for _, l := range []Limits{{}, {Rate: 1000, Burst: 50}, {HostRate: 1, HostBurst: 6, Burst: 3}} {
		if n := sent(NewLimiter(l, 1), 0, 5000, 1, anybody); n != 0 {
			t.Errorf("%+v: got %d; want 0", l, n)
		}
	}
}

func TestClockThatStandsOrGoesBack(t *testing.T) {
	m := NewLimiter(DefaultLimits(), 1)
	sent(m, 1000, 1, 500, anybody)
	for range 100 {
		m.Allow(client, 0)
	}
	if n := sent(m, 0, 500, 1, func(int64) uint32 { return server }); n > 6 {
		t.Errorf("got %d; want no more than a burst", n)
	}
	if !m.Allow(router, 1<<62) {
		t.Error("got no error after a very long time")
	}
}

func TestLimiterSize(t *testing.T) {
	if n := unsafe.Sizeof(Limiter{}); n > 25<<10 {
		t.Errorf("got %d bytes", n)
	}
}

func TestAllowDoesNotAllocate(t *testing.T) {
	m := NewLimiter(DefaultLimits(), 1)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() { now += 1e6; m.Allow(uint32(now), now) }); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}
