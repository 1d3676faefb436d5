package neigh

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
)

// MaxCapacity is the largest number of entries of a table.
const MaxCapacity = 1 << 16

// A Ref names an entry of a table for as long as the entry is about the same
// neighbor: index<<16 | generation. The zero Ref names none.
type Ref uint32

// State is what is known of a neighbor.
type State uint8

// States. Free is no neighbor.
const (
	Free State = iota
	Incomplete
	Reachable
	Stale
	Probe
	Failed
	Static
	states
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"free", "incomplete", "reachable", "stale", "probe", "failed", "static", "invalid"}[min(s, states)]
}

// entry is one neighbor. The first line is for workers, the rest under the mutex.
type entry struct {
	word atomic.Uint64 // MAC<<16 | generation; MAC 0 is not known, unreachable is failed
	used atomic.Uint32 // set by Lookup, cleared by Tick

	ip         uint32
	port       uint16
	state      State
	tries      uint8
	next, prev int32 // in the list of the state
	since      int64 // when it entered the state; of Stale, when last seen used
	confirmed  int64 // when the neighbor last answered us
	asked      int64 // when we last asked
}

// unreachable stands in place of a MAC for neighbors that do not answer.
const unreachable = Broadcast

func (e *entry) mac() MAC { return MAC(e.word.Load() >> 16) }

func (e *entry) setMAC(m MAC) { e.word.Store(uint64(m)<<16 | e.word.Load()&0xffff) }

// Config bounds a table.
type Config struct {
	// Capacity is the number of neighbors, 1 to MaxCapacity.
	Capacity int
	// PerPort is the number of neighbors of one port besides static ones. Zero
	// means Capacity.
	PerPort int
	// Reachable is how long a neighbor that has answered counts as reachable, in
	// nanoseconds. Zero means 30 s (RFC 4861 section 10).
	Reachable int64
}

const defaultReachable = 30e9 // RFC 4861 section 10: REACHABLE_TIME

// A Table holds the neighbors of all ports. Safe for concurrent use.
type Table struct {
	entries []entry

	mu        sync.Mutex
	perPort   int
	reachable int64
	index     map[key]int32
	ports     map[uint16]int // entries of a port besides static ones
	lists     [states]list
	defended  map[key]int64 // when we last defended an address of ours
	asks      int           // requests that Resolve may ask for until the next Tick
}

type key struct {
	ip   uint32
	port uint16
}

// New returns an empty table.
func New(c Config) (*Table, error) {
	if c.Capacity < 1 || c.Capacity > MaxCapacity {
		return nil, fmt.Errorf("neighbor table: capacity: got %d; want 1 to %d", c.Capacity, MaxCapacity)
	}
	if c.PerPort <= 0 {
		c.PerPort = c.Capacity
	}
	t := &Table{
		entries:   make([]entry, c.Capacity),
		perPort:   c.PerPort,
		reachable: cmp.Or(c.Reachable, defaultReachable),
		index:     make(map[key]int32, c.Capacity),
		ports:     make(map[uint16]int),
		defended:  make(map[key]int64),
		asks:      tickWork,
	}
	for s := range t.lists {
		t.lists[s] = list{-1, -1, 0}
	}
	for i := range t.entries {
		t.entries[i].word.Store(1) // generation 1: no Ref is zero
		t.push(int32(i), Free)
	}
	return t, nil
}

// SetReachable replaces Config.Reachable, for neighbors that are reachable now, too.
func (t *Table) SetReachable(ns int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reachable = cmp.Or(ns, defaultReachable)
}

// Lookup returns the MAC of the neighbor, if it is known, and marks it used. One
// atomic load or two; called by workers for each packet.
func (t *Table) Lookup(ref Ref) (MAC, bool) {
	i := int(ref >> 16)
	if i >= len(t.entries) {
		return 0, false
	}
	e := &t.entries[i]
	w := e.word.Load()
	m := MAC(w >> 16)
	if uint16(w) != uint16(ref) || m == 0 || m == unreachable {
		return 0, false
	}
	if e.used.Load() == 0 {
		e.used.Store(1)
	}
	return m, true
}

// Gone reports whether waiting for the neighbor is in vain: it does not answer, or
// the entry is no longer about it.
func (t *Table) Gone(ref Ref) bool {
	i := int(ref >> 16)
	if i >= len(t.entries) {
		return true
	}
	w := t.entries[i].word.Load()
	return uint16(w) != uint16(ref) || MAC(w>>16) == unreachable
}

func (t *Table) ref(i int32) Ref {
	return Ref(i)<<16 | Ref(uint16(t.entries[i].word.Load()))
}

// An Entry is a neighbor as shown to people.
type Entry struct {
	Port  uint16
	IP    uint32
	MAC   MAC // 0 where it is not known
	State State
	// Age is the time since the neighbor last answered, in nanoseconds, or, if it
	// never did, since the entry entered its state.
	Age int64
}

// Entries returns all neighbors, in no order.
func (t *Table) Entries(now int64) []Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var es []Entry
	for i := range t.entries {
		e := &t.entries[i]
		if e.state == Free {
			continue
		}
		m := e.mac()
		if m == unreachable {
			m = 0
		}
		since := e.confirmed
		if since == 0 {
			since = e.since
		}
		es = append(es, Entry{Port: e.port, IP: e.ip, MAC: m, State: e.state, Age: now - since})
	}
	return es
}

// Len returns the number of neighbors in the state.
func (t *Table) Len(s State) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lists[s].n
}

// Flush forgets the neighbors of the port, static ones excepted.
func (t *Table) Flush(port uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.entries {
		if e := &t.entries[i]; e.port == port && e.state != Free && e.state != Static {
			t.freeLocked(int32(i))
		}
	}
}
