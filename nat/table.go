package nat

import (
	"math/rand/v2"
	"sync"

	"openvra/dataplane/flow"
)

// A Handle names a live mapping in a session: shard in the upper 6 bits, entry in
// the lower 26. The zero Handle is no mapping.
type Handle uint32

const (
	shardBits = 6
	shards    = 1 << shardBits
	entryBits = 32 - shardBits
	maxEntry  = 1<<entryBits - 1
)

// shardOf returns the shard for the hash of an inside endpoint's key.
func shardOf(hash uint64) int { return int(hash >> 32 % shards) }

func handle(shard int, at uint32) Handle { return Handle(uint32(shard)<<entryBits | at) }

func (h Handle) shard() int    { return int(h >> entryBits) }
func (h Handle) entry() uint32 { return uint32(h) & maxEntry }

// An entry is one mapping: 24 bytes, and 4 to 11 more in the index.
type entry struct {
	inside, outside uint32
	// Ports or identifiers; of protocols without them, the remote host's
	// address: a mapping of theirs is for one remote.
	inPort, outPort uint16
	// count is how many sessions use a live mapping, or the second in which a
	// resting one was freed.
	count uint32
	// next is the next in the line of resting entries or of free ones; of an
	// overloaded one, which never rests, the remote host's address.
	next  uint32
	rule  uint16 // id of its counters
	proto uint8
	flags uint8
}

// Flags of an entry.
const (
	resting    = 1 << iota // has no sessions, and keeps its port
	queued                 // stands in the line of resting entries
	late                   // rests since a later time than its place in the line says
	unproven               // some session ended without proof that the remote knows
	counted                // counts for its subscriber
	listed                 // is in the outside index
	tracked                // its sessions are counted by remote host
	overloaded             // is for one remote, and shares its outside port with others
)

func (e *entry) isLive() bool { return e.count > 0 && e.flags&resting == 0 }

// isPerRemote says whether the mapping is for one remote host.
func (e *entry) isPerRemote() bool { return e.flags&overloaded != 0 || classOf(e.proto) == classOther }

// remote is the host that the mapping is for, if it is for one.
func (e *entry) remote() uint32 {
	if e.flags&overloaded != 0 {
		return e.next
	}
	return uint32(e.inPort)<<16 | uint32(e.outPort)
}

// key is what flows of one mapping have in common inside.
func (e *entry) key() flow.Key {
	switch {
	case e.flags&overloaded != 0:
		return flow.Make(e.inside, e.remote(), e.inPort, 0, e.proto, 0)
	case classOf(e.proto) == classOther:
		return flow.Make(e.inside, e.remote(), 0, 0, e.proto, 0)
	}
	return flow.Make(e.inside, 0, e.inPort, 0, e.proto, 0)
}

// outsideKey is what packets to one mapping have in common outside.
func (e *entry) outsideKey() flow.Key {
	switch {
	case e.flags&overloaded != 0:
		return flow.Make(e.outside, e.remote(), e.outPort, 0, e.proto, 1)
	case classOf(e.proto) == classOther:
		return flow.Make(e.outside, e.remote(), 0, 0, e.proto, 1)
	}
	return flow.Make(e.outside, 0, e.outPort, 0, e.proto, 1)
}

// A shard is a part of the mappings, chosen by the inside endpoint. Its lock
// comes before those of subscribers, outside index and ports, of which at most
// one is held at a time.
type shard struct {
	mu      sync.Mutex
	entries []entry // the first is unused
	free    uint32  // line of free entries
	// index holds entry numbers below 6 bits of their hash; 0 is empty. Linear
	// probing, at most three quarters full.
	index []uint32
	held  int // entries in the index

	// Line of resting entries, oldest first.
	restFirst, restLast uint32
	resting             int

	random rand.ChaCha8
	stats  Stats
	_      [64]byte // keeps locks of neighbors in cache lines of their own
}

// find returns the mapping of the inside endpoint that wanted accepts.
func (s *shard) find(hash uint64, key flow.Key, accepts func(*entry) bool) uint32 {
	last := uint32(len(s.index) - 1)
	tag := uint32(hash>>58) << entryBits
	for at := uint32(hash) & last; s.index[at] != 0; at = (at + 1) & last {
		if s.index[at]&^maxEntry != tag {
			continue
		}
		n := s.index[at] & maxEntry
		if e := &s.entries[n]; e.key() == key && accepts(e) {
			return n
		}
	}
	return 0
}

// take returns an unused entry, 0 if there is no number left.
func (s *shard) take() uint32 {
	if n := s.free; n != 0 {
		s.free = s.entries[n].next
		return n
	}
	if len(s.entries) > maxEntry {
		return 0
	}
	if n := len(s.entries); n == cap(s.entries) {
		// An eighth at a time: append's quarter would cost 3 bytes a mapping.
		s.entries = append(make([]entry, 0, n+max(16, n/8)), s.entries...)
	}
	s.entries = append(s.entries, entry{})
	return uint32(len(s.entries) - 1)
}

func (s *shard) give(n uint32) {
	s.entries[n] = entry{next: s.free}
	s.free = n
}

func (s *shard) insert(h flow.Hasher, n uint32) {
	if 4*(s.held+1) > 3*len(s.index) {
		old := s.index
		s.index = make([]uint32, 2*len(old))
		for _, v := range old {
			if v != 0 {
				s.place(h, v&maxEntry)
			}
		}
	}
	s.place(h, n)
	s.held++
}

func (s *shard) place(h flow.Hasher, n uint32) {
	hash := h.Hash(s.entries[n].key())
	last := uint32(len(s.index) - 1)
	at := uint32(hash) & last
	for s.index[at] != 0 {
		at = (at + 1) & last
	}
	s.index[at] = uint32(hash>>58)<<entryBits | n
}

// remove takes an entry out of the index and moves later ones up, so that no
// tombstones gather.
func (s *shard) remove(h flow.Hasher, n uint32) {
	last := uint32(len(s.index) - 1)
	at := uint32(h.Hash(s.entries[n].key())) & last
	for s.index[at]&maxEntry != n {
		at = (at + 1) & last
	}
	for next := (at + 1) & last; s.index[next] != 0; next = (next + 1) & last {
		home := uint32(h.Hash(s.entries[s.index[next]&maxEntry].key())) & last
		if (next-home)&last >= (next-at)&last {
			s.index[at] = s.index[next]
			at = next
		}
	}
	s.index[at] = 0
	s.held--
}

// rest puts an entry at the end of the line of resting ones.
func (s *shard) rest(n uint32) {
	e := &s.entries[n]
	e.flags |= queued
	e.next = 0
	if s.restLast == 0 {
		s.restFirst = n
	} else {
		s.entries[s.restLast].next = n
	}
	s.restLast = n
}

// unrest takes the first of the line out of it, 0 if there is none.
func (s *shard) unrest() uint32 {
	n := s.restFirst
	if n == 0 {
		return 0
	}
	e := &s.entries[n]
	e.flags &^= queued
	if s.restFirst = e.next; s.restFirst == 0 {
		s.restLast = 0
	}
	return n
}
