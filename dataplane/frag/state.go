package frag

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/packet"
)

// find returns the datagram of k, made if there is none. What had to go for it is
// reported in v.
func (t *Tracker) find(k key, now int64, v *Verdict) int32 {
	i, ok := t.index[k]
	if ok && now-t.datagrams[i].born < t.conf.Timeout {
		return i
	}
	if ok {
		t.lose(&t.datagrams[i], drop.FragmentTimeout, v)
		t.remove(i)
	} else if len(t.free) == 0 {
		t.lose(&t.datagrams[t.oldest], drop.FragmentLimit, v)
		t.remove(t.oldest)
	}
	i = t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	d := &t.datagrams[i]
	*d = datagram{key: k, born: now, total: -1, prev: t.newest, next: -1, spans: d.spans[:0], held: d.held[:0]}
	if t.newest >= 0 {
		t.datagrams[t.newest].next = i
	} else {
		t.oldest = i
	}
	t.newest = i
	t.index[k] = i
	return i
}

// remove forgets datagram i, of which nothing waits any more.
func (t *Tracker) remove(i int32) {
	d := &t.datagrams[i]
	if d.prev >= 0 {
		t.datagrams[d.prev].next = d.next
	} else {
		t.oldest = d.next
	}
	if d.next >= 0 {
		t.datagrams[d.next].prev = d.prev
	} else {
		t.newest = d.prev
	}
	delete(t.index, d.key)
	t.free = append(t.free, i)
}

// hold makes a copy of p wait, or gives the datagram up if there is no room: with
// a part missing the rest is of no use.
func (t *Tracker) hold(d *datagram, p *packet.Packet, v *Verdict) {
	if t.bytes+int(p.End)+64 > t.conf.Bytes { // what Clone takes
		v.Reason = drop.FragmentLimit
		t.kill(d, drop.FragmentLimit, v)
		return
	}
	c := p.Clone()
	d.held = append(d.held, c)
	t.held++
	t.bytes += len(c.Buf)
}

// unhold forgets the fragments of d that wait; they have a new owner or none.
func (t *Tracker) unhold(d *datagram) {
	for _, p := range d.held {
		t.held--
		t.bytes -= len(p.Buf)
	}
	clear(d.held)
	d.held = d.held[:0]
}

// lose gives up the fragments of d that wait.
func (t *Tracker) lose(d *datagram, reason drop.Reason, v *Verdict) {
	if len(d.held) == 0 {
		return
	}
	v.Lost, v.LostReason = v.Lost+len(d.held), reason
	t.unhold(d)
}

// kill gives the datagram up and remembers to drop what is still to come of it.
func (t *Tracker) kill(d *datagram, reason drop.Reason, v *Verdict) {
	t.lose(d, reason, v)
	d.dead = reason
}

// Tick forgets the datagrams whose time is over and returns how many fragments
// that waited are given up for it, drop.FragmentTimeout. Nobody is told: the first
// fragment did not come, without which RFC 792 asks for no time exceeded.
func (t *Tracker) Tick(now int64) (lost int) {
	var v Verdict
	for t.oldest >= 0 && now-t.datagrams[t.oldest].born >= t.conf.Timeout {
		i := t.oldest
		t.lose(&t.datagrams[i], drop.FragmentTimeout, &v)
		t.remove(i)
	}
	return v.Lost
}
