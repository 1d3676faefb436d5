package dataplane

import (
	"sync/atomic"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/packet"
)

// ringSize is how many packets may be on their way from one worker to another.
const ringSize = 1024

// Rings are the ways between workers: one ring of packets and one of plants for each
// ordered pair, each with one writer and one reader.
type Rings struct {
	n       int
	packets []ring[handed]
	plants  []ring[plant]
	workers []*Worker
}

// handed is a packet on its way to another worker, in a buffer that the slot owns.
type handed struct {
	p   packet.Packet
	m   meta
	buf []byte
}

// plant tells the worker to which a key is steered that another one has its session,
// or (owner -1) has it no more.
type plant struct {
	key   flow.Key
	owner int16
}

type ring[T any] struct {
	slot []T
	_    [40]byte
	head atomic.Uint32 // next to write
	_    [60]byte
	tail atomic.Uint32 // next to read
	_    [60]byte
}

// NewRings returns the rings of n workers.
func NewRings(n int) *Rings {
	r := &Rings{n: n, packets: make([]ring[handed], n*n), plants: make([]ring[plant], n*n), workers: make([]*Worker, n)}
	for i := range r.packets {
		if i/n != i%n {
			r.packets[i].slot = make([]handed, ringSize)
			r.plants[i].slot = make([]plant, 4*ringSize)
		}
	}
	return r
}

// push returns the slot to fill, or nil if the ring is full; then publish.
func (r *ring[T]) push() *T {
	h := r.head.Load()
	if h-r.tail.Load() == uint32(len(r.slot)) {
		return nil
	}
	return &r.slot[h%uint32(len(r.slot))]
}

func (r *ring[T]) publish() { r.head.Store(r.head.Load() + 1) }

func (r *Rings) between(from, to int) int { return from*r.n + to }

// handOver gives a packet without a session here to the worker that has or should
// have it. It reports whether the packet is gone.
//
// The worker to which a key is steered is the one that knows: it has the session, or
// a plant that says who has. A packet is handed over at most three times: to the one
// that has the datagram's other fragments, to the one that knows, to the one that has.
func (w *Worker) handOver(p *packet.Packet, m *meta) bool {
	if w.opt.Of == 1 || m.handed >= 3 {
		return false
	}
	to := int(m.key.Steer()) % w.opt.Of
	if to == w.opt.ID {
		o, ok := w.foreign[m.key]
		if !ok {
			return false
		}
		to = int(o)
	}
	w.give(p, m, to)
	return true
}

// give copies a packet into the ring to a worker.
func (w *Worker) give(p *packet.Packet, m *meta, to int) {
	r := &w.opt.Rings.packets[w.opt.Rings.between(w.opt.ID, to)]
	slot := r.push()
	if slot == nil {
		w.drop(p, drop.HandoverFull)
		return
	}
	if cap(slot.buf) < int(p.End)+64 {
		slot.buf = make([]byte, max(int(p.End)+64, 2048))
	}
	buf := slot.buf[:cap(slot.buf)]
	copy(buf[p.Start:p.End], p.Bytes())
	slot.p, slot.m = *p, *m
	slot.p.Buf, slot.p.DriverPrivate = buf, 0
	slot.m.handed++
	slot.m.piece = false // it lies in a buffer of its own now
	r.publish()
	w.keep(p)
	w.Counters.HandedOver.Add(1)
	w.opt.Rings.workers[to].wake()
}

// drainRings runs the line, from lookup on, over what others have handed over.
func (w *Worker) drainRings() bool {
	busy := false
	for from := range w.opt.Of {
		if from == w.opt.ID {
			continue
		}
		r := &w.opt.Rings.packets[w.opt.Rings.between(from, w.opt.ID)]
		n := min(r.head.Load()-r.tail.Load(), packet.BatchSize)
		if n == 0 {
			continue
		}
		busy = true
		w.takePlants()
		t := r.tail.Load()
		for i := range n {
			s := &r.slot[(t+i)%uint32(len(r.slot))]
			w.batch.P[i], w.m[i] = s.p, s.m
			m := &w.m[i]
			switch {
			case int(s.p.Port) >= len(w.plan.Ports): // of a plan that is not here yet
				m.class, m.hash = classDone, 0
				w.Counters.Drops[drop.SessionChanged].Add(1)
			case m.class == classDone:
				m.class = classFlow
			}
		}
		w.batch.N = int(n)
		w.Counters.Resumed.Add(uint64(n))
		w.run(w.opt.Handed)
		r.tail.Store(t + n)
	}
	return busy
}

// plant tells the workers to which the two keys are steered that the session is here.
// It is done before the packet that made the session leaves, so that no answer can
// be quicker.
func (w *Worker) plant(orig, reply flow.Key) { w.tell(orig, reply, int16(w.opt.ID)) }

func (w *Worker) unplant(orig, reply flow.Key) { w.tell(orig, reply, -1) }

func (w *Worker) tell(orig, reply flow.Key, owner int16) {
	if w.opt.Of == 1 {
		return
	}
	for _, k := range [2]flow.Key{orig, reply} {
		if to := int(k.Steer()) % w.opt.Of; to != w.opt.ID {
			w.send(to, plant{k, owner})
		}
	}
}

// send puts a plant into a ring, or, while that is full, into the backlog, which a
// tick empties: it is bounded by twice the sessions that came and went meanwhile.
func (w *Worker) send(to int, pl plant) {
	if w.backlog[to] = append(w.backlog[to], pl); len(w.backlog[to]) == 1 {
		w.sendBacklog(to)
	}
}

func (w *Worker) sendBacklog(to int) {
	r := &w.opt.Rings.plants[w.opt.Rings.between(w.opt.ID, to)]
	l := w.backlog[to]
	for len(l) > 0 {
		s := r.push()
		if s == nil {
			break
		}
		*s = l[0]
		r.publish()
		l = l[1:]
	}
	w.backlog[to] = append(w.backlog[to][:0], l...)
}

// takePlants takes up what others have planted. It is called after each receive, so
// that a plant is known before the packets that were sent after it.
func (w *Worker) takePlants() {
	if w.opt.Of == 1 {
		return
	}
	for from := range w.opt.Of {
		if from == w.opt.ID {
			continue
		}
		r := &w.opt.Rings.plants[w.opt.Rings.between(from, w.opt.ID)]
		h, t := r.head.Load(), r.tail.Load()
		for ; t != h; t++ {
			pl := r.slot[t%uint32(len(r.slot))]
			if pl.owner < 0 {
				if w.foreign[pl.key] == uint8(from) {
					delete(w.foreign, pl.key)
				}
			} else {
				w.foreign[pl.key] = uint8(from)
			}
		}
		r.tail.Store(t)
	}
}
