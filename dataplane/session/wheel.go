package session

// The wheel. A session sits in the slot of the second in which it is to be looked
// at. Packets do not move it: they only write LastSeen. When its slot comes up, a
// session that was refreshed goes to a later slot, one that was not expires. So
// timers cost a packet nothing, and a tick costs the sessions of one slot.

func (t *Table[K]) wheelOf(s *Session[K]) int { return b2i(s.State.HalfOpen()) }

func (t *Table[K]) schedule(id ID, now uint32) {
	s := &t.slab[id]
	due := s.LastSeen + t.timeouts[s.State]
	if int32(due-now) < 1<<wheelTick {
		due = now + 1<<wheelTick
	}
	slot := due >> wheelTick
	if far := t.cursor + wheelSize - 1; int32(slot-far) > 0 {
		slot = far
	}
	if int32(slot-t.cursor) <= 0 {
		slot = t.cursor + 1
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
	if t.cursor == 0 || int32(target-t.cursor) > wheelSize {
		// First call, or asleep for more than a turn: all slots are due.
		t.cursor = target - wheelSize
	}
	n := 0
	for ; int32(target-t.cursor) > 0; t.cursor++ {
		slot := (t.cursor + 1) % wheelSize
		for w := range t.wheel {
			for t.wheel[w][slot] != 0 {
				if budget--; budget < 0 {
					return n
				}
				id := t.wheel[w][slot]
				s := &t.slab[id]
				if s.Idle(now) < t.timeouts[s.State] {
					t.unschedule(id)
					t.later(id, now)
					continue
				}
				onRemove(id)
				t.Remove(id)
				n++
			}
		}
	}
	return n
}

// later puts a session that is still in use into a slot after the present one.
func (t *Table[K]) later(id ID, now uint32) {
	save := t.cursor
	t.cursor = now >> wheelTick
	t.schedule(id, now)
	t.cursor = save
}
