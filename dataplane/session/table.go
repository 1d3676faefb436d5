// Hot path: see the package comment of dataplane.

package session

import (
	"unsafe"
)

const (
	slots     = 7      // entries in a bucket
	maxProbes = 64     // buckets an entry may be away from its own
	wheelSize = 4096   // slots of the timer wheel
	wheelTick = 4      // log2 of ticks in a slot: about 1.07 s
	linked    = 1 << 7 // set in wheelOf while the session is on the wheel
)

type bucket struct {
	entry [slots]uint64
	// overflow counts entries that belong here or passed by and sit further on.
	overflow uint64
}

// Table is one worker's sessions. Not safe for concurrent use, but for Used.
type Table[K comparable] struct {
	hash     func(K) uint64
	timeouts *[States]uint32
	n        uint64 // buckets
	buckets  []bucket
	slab     []Session[K]
	due      []uint16 // wheel slot of each session
	free     ID       // head of the free list, linked by next
	fresh    ID       // IDs from here on were never used
	used     int
	halfOpen int
	// maxHalfOpen is how many half-open sessions there may be.
	maxHalfOpen int
	// wheel[0] holds sessions by the second in which to look at them, wheel[1]
	// half-open ones, so that these can be found oldest first.
	wheel   [2][wheelSize]ID
	cursor  uint32 // wheel slot up to which time has been worked off
	started bool
}

// New returns a table for at most limit sessions (1 to 2^28). It reserves at
// most 160 bytes a session, index and timers included, which the kernel backs as they
// are first touched.
func New[K comparable](limit int, hash func(K) uint64) *Table[K] {
	t := &Table[K]{hash: hash, timeouts: &[States]uint32{}, fresh: 1, maxHalfOpen: limit}
	t.n = uint64(buckets(limit))
	t.buckets = reserve[bucket](t, int(t.n))
	t.slab = reserve[Session[K]](t, limit+1)
	t.due = reserve[uint16](t, limit+1)
	return t
}

// buckets returns how many there are: at the limit, 68 % of their entries are in use.
func buckets(limit int) int { return limit*21/50 + 2 }

// home returns the bucket where the search for a hash begins: the low half of the hash,
// scaled. The high half is the tag.
func (t *Table[K]) home(hash uint64) uint64 { return uint64(uint32(hash)) * t.n >> 32 }

// after returns the bucket behind b.
func (t *Table[K]) after(b uint64) uint64 {
	if b++; b < t.n {
		return b
	}
	return 0
}

// SetTimeouts sets how long, in ticks, a session of each state may be idle. It
// holds for sessions that are there when they are next looked at.
func (t *Table[K]) SetTimeouts(ts *[States]uint32) { t.timeouts = ts }

// SetHalfOpenLimit sets how many half-open sessions there may be, at least 1. One that
// comes above it takes the place of the oldest.
func (t *Table[K]) SetHalfOpenLimit(n int) { t.maxHalfOpen = max(n, 1) }

// Used returns the number of sessions, HalfOpen how many of them are half open.
func (t *Table[K]) Used() int     { return t.used }
func (t *Table[K]) HalfOpen() int { return t.halfOpen }

// Limit returns the most sessions the table takes.
func (t *Table[K]) Limit() int { return len(t.slab) - 1 }

// At returns the session. Borrowed until it is removed.
func (t *Table[K]) At(id ID) *Session[K] { return &t.slab[id] }

// Hash returns the key's hash as Find wants it.
func (t *Table[K]) Hash(k K) uint64 { return t.hash(k) }

// Touch loads the bucket of a hash, so that a later Find need not wait for memory.
// The result means nothing; using it keeps the load.
func (t *Table[K]) Touch(hash uint64) uint64 { return t.buckets[t.home(hash)].overflow }

// Candidate returns the first entry of the hash's own bucket that may be for it, as ID
// and direction, and 0 if there is none. Its session is yet to be compared.
func (t *Table[K]) Candidate(hash uint64) uint32 {
	b := &t.buckets[t.home(hash)]
	tag := tagOf(hash)
	for i := range b.entry {
		if e := b.entry[i]; e>>32 == tag {
			return uint32(e)
		}
	}
	return 0
}

// tagOf is the part of a hash that an entry holds. It is never 0, so that no tag is
// that of a free entry.
func tagOf(hash uint64) uint64 { return hash>>32 | 1 }

// TouchSession loads both lines of a candidate's session.
func (t *Table[K]) TouchSession(candidate uint32) uint64 {
	s := &t.slab[candidate>>1]
	return uint64(s.Gen) + s.Bytes[0]
}

// Find returns the session that k belongs to and k's direction, or 0.
func (t *Table[K]) Find(hash uint64, k K) (ID, Dir) {
	tag := tagOf(hash)
	for i, probes := t.home(hash), 0; probes <= maxProbes; i, probes = t.after(i), probes+1 {
		b := &t.buckets[i]
		for _, e := range b.entry {
			if e>>32 == tag && t.slab[uint32(e)>>1].Key[e&1] == k {
				return ID(uint32(e) >> 1), Dir(e & 1)
			}
		}
		if b.overflow == 0 {
			break
		}
	}
	return 0, 0
}

// Insert adds a session for the two keys, which must not be there, and returns it
// with everything but Key, State and LastSeen zero. If the table is full, or it is a
// half-open session and there are as many as may be, the half-open session that is
// nearest its end is removed first, and onRemove called with it. It returns 0 if there
// is no room.
//
// If both keys are the same (a host that speaks to itself through a hairpin),
// there is one entry, for the original direction.
func (t *Table[K]) Insert(orig, reply K, state State, now uint32, onRemove func(ID)) ID {
	if state.HalfOpen() && t.halfOpen >= t.maxHalfOpen {
		t.shed(onRemove)
	}
	id := t.take(onRemove)
	if id == 0 {
		return 0
	}
	s := &t.slab[id]
	*s = Session[K]{Key: [2]K{orig, reply}, State: state, LastSeen: now, Created: now}
	if !t.link(t.hash(orig), uint32(id)<<1) {
		t.giveBack(id)
		return 0
	}
	if orig != reply && !t.link(t.hash(reply), uint32(id)<<1|1) {
		t.unlink(t.hash(orig), uint32(id)<<1)
		t.giveBack(id)
		return 0
	}
	t.used++
	if state.HalfOpen() {
		t.halfOpen++
	}
	t.schedule(id, now)
	return id
}

// shed removes the oldest half-open session, and reports whether there was one.
func (t *Table[K]) shed(onRemove func(ID)) bool {
	old := t.oldestHalfOpen()
	if old == 0 {
		return false
	}
	onRemove(old)
	t.Remove(old)
	return true
}

func (t *Table[K]) take(onRemove func(ID)) ID {
	if t.free == 0 && int(t.fresh) == len(t.slab) && !t.shed(onRemove) {
		return 0
	}
	if id := t.free; id != 0 {
		t.free = t.slab[id].next
		return id
	}
	t.fresh++
	return t.fresh - 1
}

func (t *Table[K]) giveBack(id ID) {
	t.slab[id] = Session[K]{next: t.free}
	t.free = id
}

// oldestHalfOpen looks through at most the whole half-open wheel, whose timers are
// short: it starts at the present, where the oldest are.
func (t *Table[K]) oldestHalfOpen() ID {
	if t.halfOpen == 0 {
		return 0
	}
	for i := range uint32(wheelSize) {
		if id := t.wheel[1][(t.cursor+i)%wheelSize]; id != 0 {
			return id
		}
	}
	return 0
}

func (t *Table[K]) link(hash uint64, ref uint32) bool {
	return t.replace(hash, 0, tagOf(hash)<<32|uint64(ref), 1)
}

func (t *Table[K]) unlink(hash uint64, ref uint32) {
	t.replace(hash, tagOf(hash)<<32|uint64(ref), 0, ^uint64(0))
}

// replace puts entry to in the first place from the home of a hash on that holds
// entry from, and adds passed to the overflow of the buckets before it.
func (t *Table[K]) replace(hash, from, to, passed uint64) bool {
	i := t.home(hash)
	for probes := 0; probes <= maxProbes; i, probes = t.after(i), probes+1 {
		b := &t.buckets[i]
		for j := range b.entry {
			if b.entry[j] != from {
				continue
			}
			b.entry[j] = to
			for i = t.home(hash); probes > 0; i, probes = t.after(i), probes-1 {
				t.buckets[i].overflow += passed
			}
			return true
		}
	}
	return false
}

// Remove forgets a session. Removing one that is gone does nothing.
func (t *Table[K]) Remove(id ID) {
	s := &t.slab[id]
	if id == 0 || s.State == Free {
		return
	}
	t.unschedule(id)
	if s.State.HalfOpen() {
		t.halfOpen--
	}
	t.unlink(t.hash(s.Key[0]), uint32(id)<<1)
	if s.Key[0] != s.Key[1] {
		t.unlink(t.hash(s.Key[1]), uint32(id)<<1|1)
	}
	t.used--
	t.giveBack(id)
}

// SetState changes a session's state and with it its timeout.
func (t *Table[K]) SetState(id ID, st State, now uint32) {
	s := &t.slab[id]
	if s.State == st {
		return
	}
	t.unschedule(id)
	t.halfOpen += b2i(st.HalfOpen()) - b2i(s.State.HalfOpen())
	s.State = st
	t.schedule(id, now)
}

// Scan calls f with the sessions in n slots of the table from a slot on, and returns
// the slot to go on with, 0 at the end. The first slot is 1.
func (t *Table[K]) Scan(from ID, n int, f func(ID, *Session[K])) ID {
	end := min(t.fresh, from+ID(n))
	for id := from; id < end; id++ {
		if t.slab[id].State != Free {
			f(id, &t.slab[id])
		}
	}
	if end == t.fresh {
		return 0
	}
	return end
}

// Bytes returns the memory, in bytes, that a session takes when the table is full,
// indexes and timers included.
func (t *Table[K]) Bytes() float64 {
	var s Session[K]
	return float64(unsafe.Sizeof(s)) + 2 +
		float64(len(t.buckets))*float64(unsafe.Sizeof(bucket{}))/float64(t.Limit())
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
