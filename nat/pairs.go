package nat

import (
	"math/bits"
	"sync"

	"openvra/dataplane/drop"
)

// pairs counts for pairs of numbers. Two things are kept in it:
//
// Subscribers, which are inside hosts on outside addresses. They pair a host with
// an address (RFC 4787, REQ-2) and count its mappings (RFC 6888, REQ-4), 16 bits a
// protocol class. Only hosts of rules that need either are there.
//
// Permits, which are mappings and remote hosts. They count the sessions between
// the two, for address-dependent filtering.
//
// Safe for concurrent use, each part under its lock; hashing is keyed.
type pairs struct {
	key     uint64
	byFirst bool // the first number alone decides the place
	parts   [shards]pairPart
}

type pairPart struct {
	mu sync.Mutex
	// slots are probed one after the other, at most three quarters full.
	slots []pair
	held  int
}

// A pair is 16 bytes. The slot is empty iff n is 0.
type pair struct {
	a, b uint32
	n    uint64
}

func (x *pairs) hash(a, b uint32) uint64 {
	if x.byFirst {
		b = 0
	}
	hi, lo := bits.Mul64(x.key^(uint64(a)<<32|uint64(b)), 0x9e3779b97f4a7c15^x.key<<1|1)
	return hi ^ lo
}

func (x *pairs) part(hash uint64) *pairPart { return &x.parts[hash>>(64-shardBits)] }

// find returns the slot of the pair, or the empty one where its search ended.
// Preconditions: p's lock is held, and p has slots.
func (p *pairPart) find(hash uint64, a uint32, accepts func(b uint32) bool) *pair {
	last := len(p.slots) - 1
	for at := int(hash) & last; ; at = (at + 1) & last {
		if q := &p.slots[at]; q.n == 0 || q.a == a && accepts(q.b) {
			return q
		}
	}
}

// room makes room for one more pair. Preconditions: p's lock is held.
func (x *pairs) room(p *pairPart) {
	if 4*(p.held+1) <= 3*len(p.slots) {
		return
	}
	old := p.slots
	p.slots = make([]pair, max(16, 2*len(old)))
	none := func(uint32) bool { return false }
	for _, q := range old {
		if q.n != 0 {
			*p.find(x.hash(q.a, q.b), q.a, none) = q
		}
	}
}

// add adds n for the pair.
func (x *pairs) add(a, b uint32, n uint64) {
	hash := x.hash(a, b)
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	x.room(p)
	q := p.find(hash, a, func(v uint32) bool { return v == b })
	if q.n == 0 {
		*q = pair{a: a, b: b}
		p.held++
	}
	q.n += n
}

// sub takes n away from the pair, which has as much.
func (x *pairs) sub(a, b uint32, n uint64) {
	hash := x.hash(a, b)
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.find(hash, a, func(v uint32) bool { return v == b })
	if q.n -= n; q.n > 0 {
		return
	}
	last := len(p.slots) - 1
	at := int(hash) & last
	for &p.slots[at] != q {
		at = (at + 1) & last
	}
	for next := (at + 1) & last; p.slots[next].n != 0; next = (next + 1) & last {
		home := int(x.hash(p.slots[next].a, p.slots[next].b)) & last
		if (next-home)&last >= (next-at)&last {
			p.slots[at] = p.slots[next]
			at = next
		}
	}
	p.slots[at] = pair{}
	p.held--
}

// get returns what is counted for the pair.
func (x *pairs) get(a, b uint32) uint64 {
	hash := x.hash(a, b)
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == 0 {
		return 0
	}
	return p.find(hash, a, func(v uint32) bool { return v == b }).n
}

// subscribe counts one more mapping of the class for the inside host, on the
// outside address that it has and the rule admits, else on offer. It returns the
// address, and whether the host had none; or why the host may have no more.
func (x *pairs) subscribe(r *Rule, class uint8, inside, egress, offer uint32) (outside uint32, fresh bool, reason drop.Reason) {
	hash := x.hash(inside, 0)
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	x.room(p)
	q := p.find(hash, inside, func(v uint32) bool { return r.admits(v, egress) })
	limit := uint64(65535)
	if r.maxPorts > 0 {
		limit = uint64(r.maxPorts)
	}
	lane := 16 * class
	if q.n>>lane&0xffff >= limit {
		return 0, false, drop.NATLimit
	}
	if fresh = q.n == 0; fresh {
		*q = pair{a: inside, b: offer}
		p.held++
	}
	q.n += 1 << lane
	return q.b, fresh, drop.None
}

// unsubscribe takes back what subscribe counted.
func (x *pairs) unsubscribe(class uint8, inside, outside uint32) {
	x.sub(inside, outside, 1<<(16*class))
}
