package nat

import "openvra/dataplane/drop"

// maxOffers is how many addresses of a pool are tried for a host that has none.
const maxOffers = 16

// create makes the mapping e, which has its inside already, and returns its entry.
// It is not in the index yet and has no session. Preconditions: the shard's lock
// is held.
func (s *State) create(shard int, e entry, rule *Rule, egress uint32, now int64) (uint32, drop.Reason) {
	sh := &s.shards[shard]
	if s.mappings.Add(1) > int64(s.config.Mappings) {
		s.mappings.Add(-1)
		return 0, drop.NATTableFull
	}
	at := sh.take()
	reason := drop.NATTableFull
	if at != 0 {
		e.rule = rule.id
		if rule.filtering == AddressDependent {
			e.flags |= tracked
		}
		sh.entries[at] = e
		if reason = s.choose(shard, at, rule, egress); reason != drop.None {
			sh.give(at)
		}
	}
	if reason != drop.None {
		s.mappings.Add(-1)
		return 0, reason
	}
	sh.stats.Created++
	s.slot(rule.id).Active.Add(1)
	s.tell(handle(shard, at), true, now)
	return at, drop.None
}

// choose gives the entry its outside address and port.
func (s *State) choose(shard int, at uint32, rule *Rule, egress uint32) drop.Reason {
	e := &s.shards[shard].entries[at]
	if rule.Kind == Masquerade && egress == 0 || rule.Kind == Pool && rule.poolSize == 0 {
		return drop.NATNoAddress
	}
	if rule.block > 0 {
		e.outside, _ = rule.place(e.inside)
		return s.claim(shard, at, rule)
	}
	if rule.maxPorts == 0 && (rule.Kind == Masquerade || rule.poolSize == 1) {
		e.outside = egress
		if rule.Kind == Pool {
			e.outside = rule.pool[0].first
		}
		return s.claim(shard, at, rule)
	}
	class := classOf(e.proto)
	spread := s.hosts.hash(e.inside, 0)
	for try := range uint64(maxOffers) {
		offer := egress
		if rule.Kind == Pool {
			// The step is odd, so that a small pool is tried whole.
			step := spread>>32 | 1
			if rule.poolSize <= maxOffers {
				step = 1
			}
			offer, _ = rule.pool.at(uint32((spread + try*step) % uint64(rule.poolSize)))
		}
		outside, fresh, reason := s.hosts.subscribe(rule, class, e.inside, egress, offer)
		if reason != drop.None {
			return reason
		}
		e.outside = outside
		if reason = s.claim(shard, at, rule); reason == drop.None {
			e.flags |= counted
			return drop.None
		}
		s.hosts.unsubscribe(class, e.inside, outside)
		if !fresh || try+1 == uint64(max(rule.poolSize, 1)) {
			return reason
		}
	}
	return drop.NATPortsExhausted
}

// claim takes an outside port on the entry's outside address.
func (s *State) claim(shard int, at uint32, rule *Rule) drop.Reason {
	sh := &s.shards[shard]
	e := &sh.entries[at]
	class := classOf(e.proto)
	held := rule.reserved.of(e.outside, class)
	if class == classOther {
		if len(held) > 0 || !s.outside.add(s.hasher.Hash(e.outsideKey()), handle(shard, at), true) {
			return drop.NATPortsExhausted
		}
		e.flags |= listed
		return drop.None
	}
	ports := s.ports.get(e.outside, class)
	if ports == nil {
		return drop.NATTableFull
	}
	q := request{
		port:   e.inPort,
		within: rule.portRange(e),
		parity: !rule.anyParity && class != classICMP,
		held:   held,
		random: sh.random.Uint64(),
	}
	if e.flags&overloaded != 0 {
		return s.claimShared(shard, at, ports, &q)
	}
	port, looked, ok := ports.claim(&q)
	sh.stats.WordsLooked += uint64(looked)
	if !ok {
		return drop.NATPortsExhausted
	}
	e.outPort = port
	s.list(shard, at, rule)
	return drop.None
}

// maxShares is how many ports are tried for an overloaded mapping.
const maxShares = 64

// claimShared takes a port that no other mapping has towards the same remote:
// the wanted one, else one at random, for half of the tries of the same parity.
func (s *State) claimShared(shard int, at uint32, ports *portMap, q *request) drop.Reason {
	sh := &s.shards[shard]
	e := &sh.entries[at]
	e.outPort = q.port
	for try := range maxShares {
		sh.stats.WordsLooked++
		if q.within.has(e.outPort) && !q.held.has(e.outPort) && ports.share(e.outPort) {
			if s.outside.add(s.hasher.Hash(e.outsideKey()), handle(shard, at), true) {
				e.flags |= listed
				return drop.None
			}
			ports.release(e.outPort)
		}
		size := uint32(q.within.Last-q.within.First) + 1
		e.outPort = q.within.First + uint16(uint32(sh.random.Uint64())%size)
		if q.parity && try < maxShares/2 && e.outPort&1 != q.port&1 && q.within.has(e.outPort^1) {
			e.outPort ^= 1
		}
	}
	return drop.NATPortsExhausted
}

// list puts the mapping into the outside index if strangers may ask for it.
func (s *State) list(shard int, at uint32, rule *Rule) {
	e := &s.shards[shard].entries[at]
	if e.flags&listed == 0 && rule.filtering != AddressAndPortDependent {
		s.outside.add(s.hasher.Hash(e.outsideKey()), handle(shard, at), false)
		e.flags |= listed
	}
}

// adopt makes a live mapping that the rule allows the rule's own. A filter that
// became address-dependent holds for mappings made from then on; older ones stay
// closed to strangers. Preconditions: the shard's lock is held.
func (s *State) adopt(shard int, at uint32, rule *Rule) {
	e := &s.shards[shard].entries[at]
	if e.rule != rule.id {
		s.slot(e.rule).Active.Add(-1)
		s.slot(rule.id).Active.Add(1)
		e.rule = rule.id
	}
	s.list(shard, at, rule)
}

// revive makes a resting mapping live again: its inside endpoint came back.
func (s *State) revive(shard int, at uint32) {
	sh := &s.shards[shard]
	if e := &sh.entries[at]; e.flags&resting != 0 {
		e.flags &^= resting | unproven
		e.count = 0
		sh.resting--
		s.slot(e.rule).Active.Add(1)
	}
}

// end ends a mapping without sessions and frees its port. Preconditions: the
// shard's lock is held.
func (s *State) end(shard int, at uint32, now int64) {
	sh := &s.shards[shard]
	e := &sh.entries[at]
	class := classOf(e.proto)
	s.tell(handle(shard, at), false, now)
	sh.remove(s.hasher, at)
	if e.flags&listed != 0 {
		s.outside.remove(s.hasher.Hash(e.outsideKey()), handle(shard, at))
	}
	if class != classOther {
		s.ports.get(e.outside, class).release(e.outPort)
	}
	if e.flags&counted != 0 {
		s.hosts.unsubscribe(class, e.inside, e.outside)
	}
	s.mappings.Add(-1)
	if e.flags&queued != 0 {
		// It stands in the line of resting entries, whose reaper frees it.
		*e = entry{next: e.next, flags: queued}
		return
	}
	sh.give(at)
}

// reap ends up to limit mappings of the shard that have rested, and says how
// many entries it took out of the line. Preconditions: the shard's lock is held.
func (s *State) reap(shard int, now int64, limit int) int {
	sh := &s.shards[shard]
	for n := range limit {
		at := sh.restFirst
		if at == 0 {
			return n
		}
		e := &sh.entries[at]
		isDone := e.flags&resting != 0 && int32(seconds(now)-e.count) > s.restSecs
		if e.flags&(resting|late) == resting && !isDone {
			return n
		}
		sh.unrest()
		switch {
		case isDone:
			sh.resting--
			s.end(shard, at, now)
		case e.flags&resting != 0:
			e.flags &^= late
			sh.rest(at)
		case e.count == 0:
			sh.give(at)
		}
	}
	return limit
}
