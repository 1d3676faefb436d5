package neigh

import (
	"slices"

	"openvra/dataplane/drop"
	"openvra/dataplane/packet"
)

// holdTime is how long a packet waits at most, in nanoseconds, come what may: longer
// than asking takes.
const holdTime = 10e9

// HoldLimits bound a Hold; each is at least 1.
type HoldLimits struct {
	// Neighbors is how many neighbors packets wait for.
	Neighbors int
	// PerNeighbor is how many packets wait for one neighbor.
	PerNeighbor int
	// Packets and Bytes are how many packets wait, and the storage they take.
	Packets, Bytes int
}

// DefaultHoldLimits returns bounds for one worker.
func DefaultHoldLimits() HoldLimits {
	return HoldLimits{Neighbors: 1024, PerNeighbor: 3, Packets: 4096, Bytes: 4 << 20}
}

// A Hold keeps the packets of one worker that wait for a neighbor. Belongs to the
// worker; not for concurrent use.
type Hold struct {
	limits HoldLimits

	// refs and queues go together, in order of the first packet.
	refs    []Ref
	queues  []queue
	packets int
	bytes   int
}

type queue struct {
	p        []*packet.Packet
	deadline int64
}

// NewHold returns an empty hold.
func NewHold(l HoldLimits) *Hold { return &Hold{limits: l} }

// SetLimits replaces the limits. What waits already goes on waiting.
func (h *Hold) SetLimits(l HoldLimits) { h.limits = l }

// Len returns how many packets wait.
func (h *Hold) Len() int { return h.packets }

// Put makes a copy of p wait for ref. It returns drop.NeighborQueueFull if a packet
// was lost for it: the oldest one for the same neighbor, since the latest is worth
// the most (RFC 1122 section 2.3.2.2), or p itself if the hold is full.
func (h *Hold) Put(ref Ref, p *packet.Packet, now int64) drop.Reason {
	i := slices.Index(h.refs, ref)
	if i >= 0 && len(h.queues[i].p) >= h.limits.PerNeighbor {
		return h.replace(&h.queues[i], p)
	}
	if h.packets >= h.limits.Packets || h.bytes+size(p) > h.limits.Bytes || i < 0 && len(h.refs) >= h.limits.Neighbors {
		return drop.NeighborQueueFull
	}
	if i < 0 {
		i = len(h.refs)
		h.refs = append(h.refs, ref)
		h.queues = append(h.queues, queue{deadline: now + holdTime})
	}
	q := &h.queues[i]
	q.p = append(q.p, p.Clone())
	h.bytes += len(q.p[len(q.p)-1].Buf)
	h.packets++
	return drop.None
}

// replace puts p in place of the oldest packet of q, if there is room for it.
func (h *Hold) replace(q *queue, p *packet.Packet) drop.Reason {
	if freed := len(q.p[0].Buf); h.bytes-freed+size(p) <= h.limits.Bytes {
		q.p = append(slices.Delete(q.p, 0, 1), p.Clone())
		h.bytes += len(q.p[len(q.p)-1].Buf) - freed
	}
	return drop.NeighborQueueFull
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
		for _, p := range q.p {
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
