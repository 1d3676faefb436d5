// Package rate bounds how often something may happen: the generic cell rate
// algorithm (ITU-T I.371, appendix A), which keeps one number for each thing that is
// bounded and has no timer. Time is an argument, in nanoseconds of one clock that
// does not go back.
package rate

import "sync/atomic"

const second = int64(1e9)

// A Limit is a rate with a burst. The zero Limit lets everything through.
type Limit struct {
	// interval is the time that one event takes up, in nanoseconds; slack is how
	// far events may be ahead of it.
	interval, slack int64
}

// Per returns the limit of n events a second, up to burst of them at once. The
// interval is rounded down to a whole nanosecond. n of 0 or less is no limit; a burst
// below 1 is 1.
func Per(n, burst int) Limit {
	if n <= 0 {
		return Limit{}
	}
	interval := max(second/int64(n), 1)
	return Limit{interval, interval * int64(max(burst, 1)-1)}
}

// admit returns the next value of a meter at next, and whether the event may happen.
func (l Limit) admit(next, now int64) (int64, bool) {
	next = max(next, now)
	if next-now > l.slack {
		return next, false
	}
	return next + l.interval, true
}

// A Meter measures one kind of event. The zero value has measured none. Not for
// concurrent use.
type Meter struct{ next int64 }

// Allow reports whether the event may happen now, and counts it if so.
func (m *Meter) Allow(l Limit, now int64) (ok bool) {
	if l.interval == 0 {
		return true
	}
	m.next, ok = l.admit(m.next, now)
	return ok
}

// A Shared is a Meter that is safe for concurrent use: one compare-and-swap for an
// event that may happen, one load for one that may not.
type Shared struct{ next atomic.Int64 }

// Allow is Meter.Allow.
func (s *Shared) Allow(l Limit, now int64) bool {
	if l.interval == 0 {
		return true
	}
	for {
		old := s.next.Load()
		next, ok := l.admit(old, now)
		if !ok || s.next.CompareAndSwap(old, next) {
			return ok
		}
	}
}
