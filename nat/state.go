package nat

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// Config bounds a State.
type Config struct {
	// Mappings is the most mappings at once, resting ones included: 32 to 40
	// bytes each. Zero means 1,048,576; at most 2^31.
	Mappings int
	// PortMaps is the most pairs of outside address and protocol in use since
	// the start, 8.3 kB each. Zero means 12,288.
	PortMaps int
	// Rest is how long a freed port rests where it has to (RFC 6888, REQ-8).
	// Zero means 120 s.
	Rest time.Duration
	// Seed makes ports hard to guess and hash tables hard to flood. It must be
	// secret; the same seed and the same calls give the same ports.
	Seed [32]byte
	// Event, if not nil, is told of the mappings of rules that log. It is called
	// under locks: it must not wait, nor call the State.
	Event func(Event)
}

// An Event is the beginning or end of a mapping (RFC 6888, REQ-12); it says
// nothing of destinations (REQ-13), but for mappings that are for one remote.
type Event struct {
	Began bool
	// At is the time given by the caller that caused it, in nanoseconds.
	At int64
	Mapping
}

// State is the mappings. It lives across configuration generations and is safe
// for concurrent use by all workers. It reads no clock: now is nanoseconds on any
// clock that does not go back, the same one for all calls; workers may be a little
// apart.
type State struct {
	config   Config
	restSecs int32
	hasher   flow.Hasher
	shards   [shards]shard
	outside  outsideIndex
	hosts    pairs
	permits  pairs
	ports    *portMaps
	mappings atomic.Int64
	bindMu   sync.Mutex              // held to bind
	slots    atomic.Pointer[[]*slot] // by Rule.id; 0 is of no rule
}

// New returns a State without mappings.
func New(c Config) *State {
	if c.Mappings == 0 {
		c.Mappings = 1 << 20
	}
	if c.PortMaps == 0 {
		c.PortMaps = 12288
	}
	if c.Rest == 0 {
		c.Rest = 120 * time.Second
	}
	random := rand.NewChaCha8(c.Seed)
	s := &State{
		config:   c,
		restSecs: int32((c.Rest + time.Second - 1) / time.Second),
		hasher:   flow.NewHasher([3]uint64{random.Uint64(), random.Uint64(), random.Uint64()}),
		hosts:    pairs{key: random.Uint64(), byFirst: true},
		permits:  pairs{key: random.Uint64()},
		ports:    newPortMaps(c.PortMaps),
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.entries = make([]entry, 1)
		sh.index = make([]uint32, 16)
		var seed [32]byte
		for j := 0; j < len(seed); j += 8 {
			binary.LittleEndian.PutUint64(seed[j:], random.Uint64())
		}
		sh.random.Seed(seed)
	}
	s.slots.Store(&[]*slot{{}})
	return s
}

// A Translation is the outside source that a flow shows.
type Translation struct {
	Addr uint32
	// Port is also the identifier of an ICMP query, and 0 without ports.
	Port uint16
	// Handle is the mapping behind it, 0 where the translation is static. Its
	// owner calls Release once.
	Handle Handle
}

// Map returns the outside source of f under the rule, from Rules.Source or
// Rules.HairpinSource; f's destination is the translated one. All flows of an
// inside endpoint get the same one, as long as one of them lives. egress is the
// address of the logical port of the way out, 0 if it has none. A reason other than
// drop.None means that there is none to give: nothing is held then.
func (s *State) Map(rule *Rule, f Flow, egress uint32, now int64) (Translation, drop.Reason) {
	if !rule.isDynamic() {
		return rule.static(f), drop.None
	}
	e := entryFor(f, rule.overload)
	key := e.key()
	hash := s.hasher.Hash(key)
	n := shardOf(hash)
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at := sh.find(hash, key, func(e *entry) bool { return rule.allows(e, egress) })
	if at == 0 {
		s.reap(n, now, 2)
		var reason drop.Reason
		if at, reason = s.create(n, e, rule, egress, now); reason != drop.None {
			sh.stats.Refused++
			rule.refused(reason)
			return Translation{}, reason
		}
		sh.insert(s.hasher, at)
	} else {
		s.revive(n, at)
		s.adopt(n, at, rule)
	}
	s.retain(n, at, f.Dst)
	return s.translation(n, at), drop.None
}

// translation describes an entry. Preconditions: the shard's lock is held.
func (s *State) translation(shard int, at uint32) Translation {
	e := &s.shards[shard].entries[at]
	t := Translation{Addr: e.outside, Handle: handle(shard, at)}
	if classOf(e.proto) != classOther {
		t.Port = e.outPort
	}
	return t
}

// entryFor returns what is known of f's mapping beforehand.
func entryFor(f Flow, overload bool) entry {
	e := entry{inside: f.Src, inPort: f.SrcPort, proto: f.Proto}
	switch classOf(f.Proto) {
	case classOther:
		e.inPort, e.outPort = uint16(f.Dst>>16), uint16(f.Dst)
	case classTCP, classUDP:
		if overload {
			e.flags, e.next = overloaded, f.Dst
		}
	}
	return e
}

// Retain counts one more session with the remote host for the mapping, which
// must be live: the caller has a session on it. Handle 0 is allowed and ignored.
func (s *State) Retain(h Handle, remote uint32) {
	if h == 0 {
		return
	}
	sh := &s.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.retain(h.shard(), h.entry(), remote)
}

// retain is Retain. Preconditions: the shard's lock is held.
func (s *State) retain(shard int, at, remote uint32) {
	e := &s.shards[shard].entries[at]
	e.count++
	if e.flags&tracked != 0 {
		s.permits.add(uint32(handle(shard, at)), remote, 1)
	}
}

// Release ends a session with the remote host that Map, Inbound or Retain
// counted. The mapping ends with its last session. closed says that both ends
// know that it is over (a TCP close or reset that was followed to its end), or that
// no packet was sent; then the port need not rest. Handle 0 is allowed and ignored.
func (s *State) Release(h Handle, remote uint32, now int64, closed bool) {
	if h == 0 {
		return
	}
	n, at := h.shard(), h.entry()
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := &sh.entries[at]
	if !e.isLive() {
		sh.stats.Stray++
		return
	}
	if e.flags&tracked != 0 {
		s.permits.sub(uint32(h), remote, 1)
	}
	if !closed {
		e.flags |= unproven
	}
	if e.count--; e.count > 0 {
		return
	}
	s.slot(e.rule).Active.Add(-1)
	if e.flags&unproven == 0 || s.slot(e.rule).filter() == AddressAndPortDependent || e.isPerRemote() {
		s.end(n, at, now)
		return
	}
	e.flags |= resting
	e.count = seconds(now)
	sh.resting++
	if e.flags&queued != 0 {
		e.flags |= late
	} else {
		sh.rest(at)
	}
}

// Inbound returns for whom a packet from outside is that belongs to no session,
// by the mappings: inside address and port, counted as a session with f's source.
// Without a mapping the handle is 0 and the reason drop.None; drop.NATFiltered
// says that there is one and its filter refuses the remote. For a hairpinned f,
// give the outside source that State.Map returned (RFC 4787, REQ-9).
func (s *State) Inbound(f Flow) (Translation, drop.Reason) {
	want := entry{outside: f.Dst, outPort: f.DstPort, proto: f.Proto}
	if classOf(f.Proto) == classOther {
		want.inPort, want.outPort = uint16(f.Src>>16), uint16(f.Src)
	}
	key := want.outsideKey()
	var found [4]Handle
	for _, h := range found[:s.outside.candidates(s.hasher.Hash(key), &found)] {
		if t, reason, ok := s.admit(h, key, f.Src); ok {
			return t, reason
		}
	}
	return Translation{}, drop.None
}

// admit is Inbound for one candidate; false if it is not the one.
func (s *State) admit(h Handle, outside flow.Key, remote uint32) (Translation, drop.Reason, bool) {
	sh := &s.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := &sh.entries[h.entry()]
	if !e.isLive() || e.outsideKey() != outside {
		return Translation{}, drop.None, false
	}
	switch s.slot(e.rule).filter() {
	case AddressAndPortDependent:
		return Translation{}, drop.NATFiltered, true
	case AddressDependent:
		if e.flags&tracked == 0 || s.permits.get(uint32(h), remote) == 0 {
			return Translation{}, drop.NATFiltered, true
		}
	}
	s.retain(h.shard(), h.entry(), remote)
	t := Translation{Addr: e.inside, Handle: h}
	if classOf(e.proto) != classOther {
		t.Port = e.inPort
	}
	return t, drop.None, true
}

// seconds is now on a coarser scale, never 0.
func seconds(now int64) uint32 { return uint32(now/int64(time.Second)) + 1 }
