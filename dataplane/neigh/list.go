package neigh

// list is a doubly linked list of entries by index; -1 ends it. Each state has
// one, ordered so that what is due first is at the head: every state waits one
// constant time, and what is renewed goes to the tail.
type list struct {
	head, tail int32
	n          int
}

// push puts entry i at the tail of the list of s and makes s its state.
func (t *Table) push(i int32, s State) {
	e, l := &t.entries[i], &t.lists[s]
	e.state, e.next, e.prev = s, -1, l.tail
	if l.tail >= 0 {
		t.entries[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.n++
}

// unlink takes entry i off the list of its state.
func (t *Table) unlink(i int32) {
	e := &t.entries[i]
	l := &t.lists[e.state]
	if e.prev >= 0 {
		t.entries[e.prev].next = e.next
	} else {
		l.head = e.next
	}
	if e.next >= 0 {
		t.entries[e.next].prev = e.prev
	} else {
		l.tail = e.prev
	}
	l.n--
}

// move makes s the state of entry i, as of now.
func (t *Table) move(i int32, s State, now int64) {
	t.unlink(i)
	t.push(i, s)
	t.entries[i].since = now
}

// createLocked returns a new entry that is on no list yet but is to be in state s,
// or -1 if there is no room. Static entries do not count for the port.
func (t *Table) createLocked(k key, s State) int32 {
	if s != Static && t.ports[k.port] >= t.perPort && !t.shedLocked(s, k.port, true) {
		return -1
	}
	if t.lists[Free].n == 0 && !t.shedLocked(s, 0, false) {
		return -1
	}
	i := t.lists[Free].head
	t.unlink(i)
	e := &t.entries[i]
	e.ip, e.port, e.tries = k.ip, k.port, 0
	e.since, e.confirmed, e.asked = 0, 0, 0
	e.used.Store(0)
	t.index[k] = i
	if s != Static {
		t.ports[k.port]++
	}
	return i
}

// shedTries bounds how many entries are looked at to find one to shed.
const shedTries = 64

// shedLocked frees an entry that is worth the least: one that failed, then the
// incomplete one that was asked for longest ago, then a stale one not in use. Only
// entries of the port count if only is set. An entry that is made because somebody
// asked us (Stale) takes no place from those that we ask for.
func (t *Table) shedLocked(made State, port uint16, only bool) bool {
	for _, s := range [...]State{Failed, Incomplete, Stale} {
		if s == Incomplete && made == Stale {
			continue
		}
		i := t.lists[s].head
		for n := 0; i >= 0 && n < shedTries; n++ {
			e := &t.entries[i]
			if (!only || e.port == port) && (s != Stale || e.used.Load() == 0) {
				t.freeLocked(i)
				return true
			}
			i = e.next
		}
	}
	return false
}

// freeLocked forgets entry i: every Ref to it is void.
func (t *Table) freeLocked(i int32) {
	e := &t.entries[i]
	delete(t.index, key{e.ip, e.port})
	if e.state != Static {
		if t.ports[e.port]--; t.ports[e.port] == 0 {
			delete(t.ports, e.port)
		}
	}
	generation := uint16(e.word.Load()) + 1
	if generation == 0 {
		generation = 1
	}
	e.word.Store(uint64(generation))
	t.unlink(i)
	t.push(i, Free)
}
