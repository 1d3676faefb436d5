package memory

import (
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// queue is a ring of frames on their way in. mu guards the ring and is taken once
// a batch by the receiver and once a frame by senders.
type queue struct {
	port  *Port
	count link.Counter

	mu    sync.Mutex
	slots []slot
	// Frames [head, tail) wait or are borrowed; [head, head+lent) are borrowed.
	head, tail, lent uint64
	event            int // eventfd, -1 without Poll
	signaled         bool
	closed           bool
}

// slotLen is a slot's first size in bytes: an ordinary frame with room around.
const slotLen = 2048

// slot is a frame at rest: buf[Headroom:Headroom+n].
type slot struct {
	buf     []byte
	n       int
	offload packet.Offload
}

func newQueue(p *Port) (*queue, error) {
	q := &queue{port: p, slots: make([]slot, p.opts.Depth), event: -1}
	slab := make([]byte, p.opts.Depth*slotLen)
	for i := range q.slots {
		q.slots[i].buf = slab[i*slotLen : (i+1)*slotLen : (i+1)*slotLen]
	}
	if p.opts.Poll {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			return nil, os.NewSyscallError("eventfd", err)
		}
		q.event = fd
	}
	return q, nil
}

func (q *queue) FD() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.event
}

func (q *queue) Rx(b *packet.Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.N = 0
	if q.closed {
		return os.ErrClosed
	}
	q.head += q.lent
	q.lent = min(q.tail-q.head, packet.BatchSize)
	bytes := 0
	for i := range q.lent {
		s := &q.slots[(q.head+i)%uint64(len(q.slots))]
		b.P[i] = packet.Packet{
			Buf: s.buf, Start: packet.Headroom, End: uint32(packet.Headroom + s.n),
			Offload: s.offload,
		}
		bytes += s.n
	}
	b.N = int(q.lent)
	q.count.Rx(b.N, bytes)
	if q.signaled && q.tail == q.head+q.lent {
		var count [8]byte
		_, _ = unix.Read(q.event, count[:]) // it only resets the event
		q.signaled = false
	}
	if b.N == 0 && !q.port.carrier() {
		return link.ErrDown
	}
	return nil
}

func (q *queue) Tx(ps []*packet.Packet) (int, error) {
	if q.port.closed.Load() {
		return 0, os.ErrClosed
	}
	if !q.port.carrier() {
		q.count.Tx(0, 0, len(ps))
		return 0, link.ErrDown
	}
	n := 0
	for i, p := range ps {
		if q.send(p) {
			ps[n], ps[i] = p, ps[n]
			n++
		}
	}
	return n, nil
}

// send puts a copy of p into the other end's queue and counts it.
func (q *queue) send(p *packet.Packet) bool {
	peer := q.port.peer
	if !q.port.carrier() || !q.port.takes(p) {
		q.count.Tx(0, 0, 1)
		return false
	}
	to := peer.queues[0]
	if n := len(peer.queues); n > 1 {
		to = peer.queues[int(link.Steer(p.Bytes(), peer.opts.L3))%n]
	}
	if !to.put(p) {
		q.count.Tx(0, 0, 1)
		return false
	}
	q.count.Tx(1, p.Len(), 0)
	return true
}

// put copies p into the ring and reports whether there was room.
func (q *queue) put(p *packet.Packet) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.tail-q.head == uint64(len(q.slots)) {
		return false
	}
	s := &q.slots[q.tail%uint64(len(q.slots))]
	if need := packet.Headroom + p.Len() + packet.Headroom; len(s.buf) < need {
		s.buf = make([]byte, need)
	}
	s.n = copy(s.buf[packet.Headroom:], p.Bytes())
	s.offload = p.Offload
	if p.Offload.Flags&packet.NeedsChecksum != 0 {
		s.offload.CsumStart += packet.Headroom - p.Start
	}
	q.tail++
	if q.event >= 0 && !q.signaled {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(q.event, one[:]) // cannot fail below 2^64-1
		q.signaled = true
	}
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.event >= 0 {
		unix.Close(q.event)
		q.event = -1
	}
}
