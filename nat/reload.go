package nat

// Keep says whether a live mapping, held by the session of f, may stay under
// the rule of a newer generation: whether the rule could have made it. If so, the
// mapping is the rule's from now on; if not, the caller releases it and asks Map.
// f and egress are as for Map. Static translations (handle 0) are never kept: Map
// gives the same again if it may stay.
func (s *State) Keep(h Handle, rule *Rule, f Flow, egress uint32) bool {
	return s.keep(h, rule, f, egress, true)
}

// MayKeep is Keep without the consequences, for previews of a reload.
func (s *State) MayKeep(h Handle, rule *Rule, f Flow, egress uint32) bool {
	return s.keep(h, rule, f, egress, false)
}

func (s *State) keep(h Handle, rule *Rule, f Flow, egress uint32, adopt bool) bool {
	if h == 0 || rule == nil {
		return false
	}
	n, at := h.shard(), h.entry()
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := &sh.entries[at]
	want := entryFor(f, e.flags&overloaded != 0)
	if !e.isLive() || e.key() != want.key() || !rule.allows(e, egress) {
		return false
	}
	if adopt {
		s.adopt(n, at, rule)
	}
	return true
}

// Find returns the outside source that Map would give f by an existing mapping
// or without one, false if it would need a new mapping. Nothing changes; the
// Translation is not to be released.
func (s *State) Find(rule *Rule, f Flow, egress uint32) (Translation, bool) {
	if !rule.isDynamic() {
		return rule.static(f), true
	}
	want := entryFor(f, rule.overload)
	key := want.key()
	hash := s.hasher.Hash(key)
	n := shardOf(hash)
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at := sh.find(hash, key, func(e *entry) bool { return rule.allows(e, egress) })
	if at == 0 {
		return Translation{}, false
	}
	return s.translation(n, at), true
}

// Lookup describes the mapping of a session, false if there is none.
func (s *State) Lookup(h Handle) (Mapping, bool) {
	sh := &s.shards[h.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if h == 0 || int(h.entry()) >= len(sh.entries) || !sh.entries[h.entry()].isLive() {
		return Mapping{}, false
	}
	return s.describe(h), true
}

// Announces says whether the gateway must answer for the outside address on its
// ports' networks, because a pool or a one-to-one rule gives it out. The ports' own
// addresses and those of destination rules are not the Rules' to announce.
func (r *Rules) Announces(addr uint32) bool { return r.announced.has(addr) }
