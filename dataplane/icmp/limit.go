package icmp

import "math/bits"

const (
	// second is the unit of rates, in nanoseconds.
	second = int64(1e9)
	// slots is the number of destinations that a Limiter remembers.
	slots = 1024
	// ways is how many slots a destination may take.
	ways = 4
)

// Limits are rates of the errors that one worker sends. RFC 1812 section 4.3.2.8.
type Limits struct {
	// Rate is in errors per second, Burst in errors at once, for all destinations
	// together. A rate of zero sends none.
	Rate, Burst int
	// HostRate and HostBurst are the same for each destination.
	HostRate, HostBurst int
}

// DefaultLimits returns the rates of Linux, for one worker.
func DefaultLimits() Limits { return Limits{Rate: 1000, Burst: 50, HostRate: 1, HostBurst: 6} }

// A Limiter decides whether an error may be sent. Its memory is fixed: 24 KiB. It
// belongs to one worker.
//
// The global bucket takes a random one to three tokens for each error, so that
// whoever counts errors cannot tell how many went to others (SAD DNS,
// CVE-2020-25705). A destination that is remembered no more starts with a full
// bucket; the global one bounds what forgetting can cost.
type Limiter struct {
	limits Limits
	global bucket
	hosts  [slots]host
	secret uint64
	random uint64
}

type host struct {
	bucket
	addr uint32
}

// NewLimiter returns a limiter for one worker. secret must be hard to guess.
func NewLimiter(l Limits, secret uint64) *Limiter {
	m := &Limiter{limits: l, secret: secret | 1, random: secret | 1}
	// An error costs two tokens on average.
	m.global = bucket{tokens: int32(2 * l.Burst)}
	return m
}

// Allow reports whether an error to dst may be sent now, in nanoseconds, and counts
// it if so. O(1), no allocation.
func (m *Limiter) Allow(dst uint32, now int64) bool {
	if m.limits.Rate == 0 || m.limits.HostRate == 0 {
		return false
	}
	m.global.fill(2*m.limits.Rate, 2*m.limits.Burst, now)
	h := m.host(dst, now)
	h.fill(m.limits.HostRate, m.limits.HostBurst, now)
	if m.global.tokens <= 0 || h.tokens <= 0 {
		return false
	}
	h.tokens--
	m.global.tokens -= int32(1 + m.next()%3)
	return true
}

// host returns the slot of dst, taking the one of the destination that was filled
// longest ago if dst has none.
func (m *Limiter) host(dst uint32, now int64) *host {
	hash, _ := bits.Mul64(uint64(dst)^m.secret, 0x9e3779b97f4a7c15)
	set := m.hosts[hash*m.secret>>32%(slots/ways)*ways:][:ways]
	oldest := &set[0]
	for i := range set {
		h := &set[i]
		if h.addr == dst {
			return h
		}
		if h.last < oldest.last {
			oldest = h
		}
	}
	*oldest = host{addr: dst, bucket: bucket{tokens: int32(m.limits.HostBurst), last: now}}
	return oldest
}

// next returns a random number (xorshift64).
func (m *Limiter) next() uint64 {
	x := m.random
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	m.random = x
	return x
}

// A bucket holds tokens as of the time last, in nanoseconds.
type bucket struct {
	last   int64
	tokens int32
}

// fill adds the tokens that have come since, at most up to burst. A clock that
// went back adds none.
func (b *bucket) fill(rate, burst int, now int64) {
	since := now - b.last
	if since <= 0 {
		return
	}
	if since >= int64(burst+8)*second/int64(rate) {
		b.tokens, b.last = int32(burst), now
		return
	}
	n := since * int64(rate) / second
	b.tokens = int32(min(int64(b.tokens)+n, int64(burst)))
	b.last += n * second / int64(rate)
}
