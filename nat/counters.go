package nat

import (
	"iter"
	"sync/atomic"

	"openvra/dataplane/drop"
)

// Counters are a rule's, kept by its name across generations.
type Counters struct {
	// Hits counts Rule.Hit.
	Hits atomic.Uint64
	// Active is how many live mappings there are.
	Active atomic.Int64
	// Refused counts flows that got no mapping, Exhausted those of them for
	// which there was no port.
	Refused, Exhausted atomic.Uint64
}

// A slot is what a State knows of a rule name.
type slot struct {
	Counters
	name      string
	filtering atomic.Uint32
	log       atomic.Bool
	// absent is for how many generations no rule had the name.
	absent int
}

func (s *slot) filter() Filtering { return Filtering(s.filtering.Load()) }

func (s *State) slot(id uint16) *slot { return (*s.slots.Load())[id] }

// Bind ties the rules to the State's counters and makes their filters those of
// existing mappings. It comes before the rules are used with the State and is called
// once for them, by the control side.
func (s *State) Bind(r *Rules) {
	s.bindMu.Lock()
	defer s.bindMu.Unlock()
	slots := append([]*slot(nil), *s.slots.Load()...)
	ids := make(map[string]uint16, len(slots))
	for id, sl := range slots[1:] {
		ids[sl.name] = uint16(id + 1)
		sl.absent++
	}
	for _, rule := range r.rules {
		if id, ok := ids[rule.Name]; ok {
			slots[id].absent = 0
		}
	}
	// A name that two generations did without, and no mapping, gives its place
	// to another.
	var idle []uint16
	for id, sl := range slots[1:] {
		if sl.absent > 0 {
			sl.filtering.Store(uint32(AddressAndPortDependent))
		}
		if sl.absent > 1 && sl.Active.Load() == 0 {
			idle = append(idle, uint16(id+1))
		}
	}
	for _, rule := range r.rules {
		id, ok := ids[rule.Name]
		switch {
		case ok:
		case len(idle) > 0:
			id, idle = idle[0], idle[1:]
			slots[id] = &slot{name: rule.Name}
		case len(slots) > 0xffff:
			id = 0
		default:
			id = uint16(len(slots))
			slots = append(slots, &slot{name: rule.Name})
		}
		ids[rule.Name] = id
		rule.id, rule.count = id, &slots[id].Counters
		if id != 0 {
			slots[id].filtering.Store(uint32(rule.filtering))
			slots[id].log.Store(rule.log)
		}
	}
	s.slots.Store(&slots)
}

// Counters returns the counters of the rule, which is bound. They may be read at
// any time.
func (r *Rule) Counters() *Counters { return r.count }

// Hit counts a flow that the rule decided. The caller counts when it makes the
// session, so that questions and refused flows do not count.
func (r *Rule) Hit() { r.count.Hits.Add(1) }

func (r *Rule) refused(reason drop.Reason) {
	r.count.Refused.Add(1)
	if reason == drop.NATPortsExhausted {
		r.count.Exhausted.Add(1)
	}
}

// Stats are sums over a State.
type Stats struct {
	// Mappings is how many there are, Resting how many of them rest.
	Mappings, Resting int
	// Created and Refused count calls of Map that needed a new mapping.
	Created, Refused uint64
	// WordsLooked is how many words of 64 ports were looked at for a free one.
	WordsLooked uint64
	// Stray counts calls of Release for a mapping without sessions: faults of
	// ours.
	Stray uint64
}

// Stats returns the sums; shards are read one after the other.
func (s *State) Stats() Stats {
	var sum Stats
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sum.Mappings += sh.held
		sum.Resting += sh.resting
		sum.Created += sh.stats.Created
		sum.Refused += sh.stats.Refused
		sum.WordsLooked += sh.stats.WordsLooked
		sum.Stray += sh.stats.Stray
		sh.mu.Unlock()
	}
	return sum
}

// A Mapping describes one for people.
type Mapping struct {
	Handle          Handle
	Rule            string
	Proto           uint8
	Inside, Outside uint32
	// InPort and OutPort are 0 for protocols without ports. For these, and of
	// overloading rules, Remote is the one host that the mapping is for; else 0.
	InPort, OutPort uint16
	Remote          uint32
	// Sessions is how many use it; none means that it rests.
	Sessions int
}

// describe returns the mapping at h. Preconditions: the shard's lock is held.
func (s *State) describe(h Handle) Mapping {
	e := &s.shards[h.shard()].entries[h.entry()]
	m := Mapping{
		Handle: h, Rule: s.slot(e.rule).name, Proto: e.proto,
		Inside: e.inside, Outside: e.outside, InPort: e.inPort, OutPort: e.outPort,
	}
	if e.isPerRemote() {
		m.Remote = e.remote()
	}
	if classOf(e.proto) == classOther {
		m.InPort, m.OutPort = 0, 0
	}
	if e.flags&resting == 0 {
		m.Sessions = int(e.count)
	}
	return m
}

// Mappings yields every mapping, in no order. Each shard is copied under its lock
// and yielded without it, so that the caller may take its time.
func (s *State) Mappings() iter.Seq[Mapping] {
	return func(yield func(Mapping) bool) {
		var copied []Mapping
		for i := range s.shards {
			copied = copied[:0]
			sh := &s.shards[i]
			sh.mu.Lock()
			for _, v := range sh.index {
				if v != 0 {
					copied = append(copied, s.describe(handle(i, v&maxEntry)))
				}
			}
			sh.mu.Unlock()
			for _, m := range copied {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// Expire ends mappings that have rested. The control side calls it about once a
// second; it holds no lock for longer than 64 mappings take.
func (s *State) Expire(now int64) {
	for i := range s.shards {
		for full := true; full; {
			sh := &s.shards[i]
			sh.mu.Lock()
			full = s.reap(i, now, 64) == 64
			sh.mu.Unlock()
		}
	}
}

// tell reports the beginning or end of a mapping whose rule logs.
func (s *State) tell(h Handle, began bool, now int64) {
	if s.config.Event == nil {
		return
	}
	e := &s.shards[h.shard()].entries[h.entry()]
	if s.slot(e.rule).log.Load() {
		s.config.Event(Event{Began: began, At: now, Mapping: s.describe(h)})
	}
}
