package session

// The wheel. A session sits in the slot of the second in which it is to be looked
// at. Packets do not move it: they only write LastSeen. When its slot comes up, a
// session that was refreshed goes to a later slot, one that was not expires. So
// timers cost a packet nothing, and a tick costs the sessions of one slot.

func (t *Table[K]) wheelOf(s *Session[K]) int { return b2i(s.State.HalfOpen()) }

// reach is how far ahead, in slots, a session is put at most. What is due later is
// looked at then and put on: at half a turn no slot can be mistaken for one of the
// past that has not been worked off.
const reach = wheelSize / 2

func (t *Table[K]) schedule(id ID, now uint32) {
	s := &t.slab[id]
	at := now >> wheelTick
	if !t.started {
		t.started, t.cursor = true, at
	}
	slot := (s.LastSeen + t.timeouts[s.State]) >> wheelTick
	slot = at + min(max(slot-at, 1), reach-1)
	if int32((s.LastSeen+t.timeouts[s.State])-now) < 0 {
		slot = at + 1
	}
	slot %= wheelSize
	head := &t.wheel[t.wheelOf(s)][slot]
	// Half-open ones queue at the back so that the head is the oldest; a ring,
	// the head's prev being the tail, makes that one step.
	if *head == 0 {
		s.prev, s.next = id, id
		*head = id
	} else {
		first := &t.slab[*head]
		s.prev, s.next = first.prev, *head
		t.slab[first.prev].next = id
		first.prev = id
	}
	t.due[id] = uint16(slot)
}

func (t *Table[K]) unschedule(id ID) {
	s := &t.slab[id]
	head := &t.wheel[t.wheelOf(s)][t.due[id]]
	if s.next == id {
		*head = 0
	} else {
		t.slab[s.prev].next = s.next
		t.slab[s.next].prev = s.prev
		if *head == id {
			*head = s.next
		}
	}
	s.prev, s.next = 0, 0
}

// Expire removes sessions that have been idle too long, looking at no more than
// budget of them, and calls onRemove with each before it goes. It returns how many
// went. Called often, it spreads a second's work over that second.
func (t *Table[K]) Expire(now uint32, budget int, onRemove func(ID)) int {
	target := now >> wheelTick
	if !t.started || int32(target-t.cursor) >= reach {
		return t.restart(now, onRemove)
	}
	n := 0
	for ; int32(target-t.cursor) > 0; t.cursor++ {
		slot := (t.cursor + 1) % wheelSize
		for w := range t.wheel {
			for t.wheel[w][slot] != 0 {
				if budget--; budget < 0 {
					return n
				}
				n += t.look(t.wheel[w][slot], now, onRemove)
			}
		}
	}
	return n
}

// look ends a session that has been idle too long, and puts another one on.
func (t *Table[K]) look(id ID, now uint32, onRemove func(ID)) int {
	s := &t.slab[id]
	if s.Idle(now) < t.timeouts[s.State] {
		t.unschedule(id)
		t.schedule(id, now)
		return 0
	}
	onRemove(id)
	t.Remove(id)
	return 1
}

// restart looks at all sessions: at the first call, and when nobody has called for half
// a turn of the wheel, 36 minutes.
func (t *Table[K]) restart(now uint32, onRemove func(ID)) int {
	t.started, t.cursor = true, now>>wheelTick
	n := 0
	for id := ID(1); id < t.fresh; id++ {
		if t.slab[id].State != Free {
			n += t.look(id, now, onRemove)
		}
	}
	return n
}
