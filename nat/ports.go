package nat

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A portMap says which ports or identifiers of one outside address and protocol
// are taken: 8.3 kB. Safe for concurrent use; its lock is the innermost.
type portMap struct {
	addr  uint32
	class uint8

	mu   sync.Mutex
	used [1024]uint64
	full [16]uint64 // a bit per word of used that has no zero
	// shares counts the mappings of ports that overloaded ones have taken.
	shares map[uint16]uint32
}

// A request is what claim looks for.
type request struct {
	port   uint16 // wanted
	within PortRange
	parity bool    // prefer ports as even or odd as port
	held   portSet // never these
	random uint64
}

// claim takes a port that is free and not held: the wanted one, else one at random,
// of the same parity if there is one. It looks at no more than 2,048 words of 64
// ports and returns how many it looked at.
func (m *portMap) claim(q *request) (port uint16, looked int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q.within.has(q.port) && !q.held.has(q.port) && m.used[q.port>>6]>>(q.port&63)&1 == 0 {
		m.take(q.port)
		return q.port, 1, true
	}
	if q.parity {
		port, looked, ok = m.search(q, 0x5555555555555555<<(q.port&1))
	}
	if !ok {
		var more int
		port, more, ok = m.search(q, ^uint64(0))
		looked += more
	}
	if ok {
		m.take(port)
	}
	return port, looked, ok
}

// search finds a free port among those whose bit in every word is set in among.
// It starts at a random word of the range and goes round once.
func (m *portMap) search(q *request, among uint64) (port uint16, looked int, ok bool) {
	first, last := int(q.within.First>>6), int(q.within.Last>>6)
	words := last - first + 1
	start := int(uint32(q.random) % uint32(words))
	for i := 0; i < words; {
		w := first + (start+i)%words
		looked++
		if full := bits.TrailingZeros64(^m.full[w>>6] >> (w & 63)); full > 0 {
			i += min(full, 64-w&63, last-w+1)
			continue
		}
		i++
		free := ^m.used[w] & among
		if free == 0 {
			continue
		}
		if w == first {
			free &= ^uint64(0) << (q.within.First & 63)
		}
		if w == last {
			free &= ^uint64(0) >> (63 - q.within.Last&63)
		}
		if free &^= q.held.word(w); free != 0 {
			turn := int(q.random >> 58)
			bit := bits.TrailingZeros64(bits.RotateLeft64(free, -turn)) + turn
			return uint16(w<<6 | bit&63), looked, true
		}
	}
	return 0, looked, false
}

func (m *portMap) take(port uint16) {
	w := port >> 6
	m.used[w] |= 1 << (port & 63)
	if m.used[w] == ^uint64(0) {
		m.full[w>>6] |= 1 << (w & 63)
	}
}

// share takes a port for an overloaded mapping: one that is free, or that only
// overloaded mappings have.
func (m *portMap) share(port uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch n := m.shares[port]; {
	case n > 0:
	case m.used[port>>6]>>(port&63)&1 == 1:
		return false
	case m.shares == nil:
		m.shares = map[uint16]uint32{}
		fallthrough
	default:
		m.take(port)
	}
	m.shares[port]++
	return true
}

// release gives back what claim or share took.
func (m *portMap) release(port uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.shares[port]; n > 1 {
		m.shares[port] = n - 1
		return
	}
	delete(m.shares, port)
	w := port >> 6
	m.used[w] &^= 1 << (port & 63)
	m.full[w>>6] &^= 1 << (w & 63)
}

// portMaps finds the portMap of an address and protocol. It only grows: an
// address that goes leaves its portMap behind, for when it comes back.
type portMaps struct {
	mu    sync.Mutex // held to add
	n     int
	limit int
	slots []atomic.Pointer[portMap] // a power of two, at least twice limit
}

func newPortMaps(limit int) *portMaps {
	return &portMaps{limit: limit, slots: make([]atomic.Pointer[portMap], 2<<bits.Len(uint(limit)))}
}

// get returns the portMap, made if need be; nil if there are too many.
func (t *portMaps) get(addr uint32, class uint8) *portMap {
	if m, _ := t.find(addr, class); m != nil {
		return m
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m, at := t.find(addr, class)
	if m == nil && t.n < t.limit {
		m = &portMap{addr: addr, class: class}
		t.slots[at].Store(m)
		t.n++
	}
	return m
}

// find returns the portMap, or nil and where it would go.
func (t *portMaps) find(addr uint32, class uint8) (*portMap, int) {
	last := len(t.slots) - 1
	at := int((uint64(addr)<<2|uint64(class))*0x9e3779b97f4a7c15>>32) & last
	for ; ; at = (at + 1) & last {
		m := t.slots[at].Load()
		if m == nil || m.addr == addr && m.class == class {
			return m, at
		}
	}
}
