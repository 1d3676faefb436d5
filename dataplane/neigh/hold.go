package neigh

import (
	"slices"

	"openvra/dataplane/drop"
	"openvra/dataplane/packet"
)

const (
	// PerNeighbor is how many packets wait for one neighbor at most.
	PerNeighbor = 3
	// holdTime is how long a packet waits at most, in nanoseconds, come what may:
	// longer than asking takes.
	holdTime = 10e9
)

// A Hold keeps the packets of one worker that wait for a neighbor. Belongs to the
// worker; not for concurrent use.
type Hold struct {
	maxNeighbors, maxBytes int

	// refs and queues go together, in order of the first packet.
	refs    []Ref
	queues  []queue
	packets int
	bytes   int
}

type queue struct {
	p        [PerNeighbor]*packet.Packet
	n        int
	deadline int64
}

// NewHold returns an empty hold for packets of at most that many neighbors and
// bytes of storage.
func NewHold(maxNeighbors, maxBytes int) *Hold {
	return &Hold{maxNeighbors: maxNeighbors, maxBytes: maxBytes}
}

// Len returns how many packets wait.
func (h *Hold) Len() int { return h.packets }

// Put makes a copy of p wait for ref. It returns drop.NeighborQueueFull if a packet
// was lost for it: the oldest one for the same neighbor, since the latest is worth
// the most (RFC 1122 section 2.3.2.2), or p itself if the hold is full.
func (h *Hold) Put(ref Ref, p *packet.Packet, now int64) drop.Reason {
	i := slices.Index(h.refs, ref)
	if i >= 0 && h.queues[i].n == PerNeighbor {
		q := &h.queues[i]
		freed := len(q.p[0].Buf)
		if h.bytes-freed+size(p) > h.maxBytes {
			return drop.NeighborQueueFull
		}
		copy(q.p[:], q.p[1:])
		q.p[PerNeighbor-1] = p.Clone()
		h.bytes += len(q.p[PerNeighbor-1].Buf) - freed
		return drop.NeighborQueueFull
	}
	if h.bytes+size(p) > h.maxBytes || i < 0 && len(h.refs) >= h.maxNeighbors {
		return drop.NeighborQueueFull
	}
	if i < 0 {
		i = len(h.refs)
		h.refs = append(h.refs, ref)
		h.queues = append(h.queues, queue{deadline: now + holdTime})
	}
	q := &h.queues[i]
	q.p[q.n] = p.Clone()
	h.bytes += len(q.p[q.n].Buf)
	h.packets++
	q.n++
	return drop.None
}

// size returns what a clone of p takes, in bytes: see packet.Packet.Clone.
func size(p *packet.Packet) int { return int(p.End) + 64 }

// Take hands over the packets whose neighbor has become known, in the order in
// which they came, and those whose neighbor does not answer, which are dropped as
// drop.NeighborUnresolved. The worker calls it between batches while Len is not 0.
// send and lose own the packet, and must not Put.
func (h *Hold) Take(t *Table, now int64, send func(*packet.Packet, MAC), lose func(*packet.Packet)) {
	kept := 0
	for i, ref := range h.refs {
		q := h.queues[i]
		m, ok := t.Lookup(ref)
		if !ok && !t.Gone(ref) && now < q.deadline {
			h.refs[kept], h.queues[kept] = ref, q
			kept++
			continue
		}
		for _, p := range q.p[:q.n] {
			h.packets--
			h.bytes -= len(p.Buf)
			if ok {
				send(p, m)
			} else {
				lose(p)
			}
		}
	}
	clear(h.queues[kept:])
	h.refs, h.queues = h.refs[:kept], h.queues[:kept]
}
