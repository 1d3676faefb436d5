package afpacket

// Hot path: no allocation, lock, clock or log per packet.

import (
	"os"

	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/link/virtio"
	"openvra/dataplane/packet"
)

// superLen is the length in bytes of a buffer for a frame too long for a slot.
const superLen = packet.Headroom + packet.MaxFrame + packet.Headroom

// queue is one socket with its ring. The kernel fills the slots in order; those
// behind next, lent of them, are with the worker.
type queue struct {
	socket
	count link.Counter

	next, lent int
	idle       int  // Rx calls in a row that found nothing
	gone       bool // the device was deleted

	// super holds the frames of a batch that are longer than a slot.
	super []byte
	read  superRead

	iovs [packet.BatchSize]unix.Iovec
	msgs [packet.BatchSize]mmsghdr
	// index is where each message's packet is in the slice given to Tx.
	index [packet.BatchSize]int
}

func newQueue() *queue {
	q := &queue{super: make([]byte, packet.BatchSize*superLen)}
	for i := range q.msgs {
		q.msgs[i].hdr.Iov = &q.iovs[i]
		q.msgs[i].hdr.SetIovlen(1)
	}
	return q
}

// attach makes s, just opened, the queue's socket.
func (q *queue) attach(s socket) {
	q.socket = s
	q.next, q.lent, q.idle, q.gone = 0, 0, 0, false
}

// FD polls readable also while frames are borrowed: call Rx until it has none.
func (q *queue) FD() int { return q.fd }

func (q *queue) Rx(b *packet.Batch) error {
	b.N = 0
	if q.ring == nil {
		return os.ErrClosed
	}
	q.release()
	bytes, missed := 0, 0
	for b.N < packet.BatchSize {
		slot := q.slot(q.next)
		h := slotHeader(slot)
		status := loadStatus(h)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		q.next = (q.next + 1) & (q.slots - 1)
		q.lent++
		p := &b.P[b.N]
		switch {
		case status&unix.TP_STATUS_COPY != 0:
			if !q.receiveSuper(p, b.N) {
				missed++
				continue
			}
		case !receiveSlot(p, slot, h, status):
			missed++
			continue
		}
		bytes += p.Len()
		b.N++
	}
	q.count.Rx(b.N, bytes)
	q.count.Missed(missed)
	if q.lent > 0 {
		q.idle = 0
		return nil
	}
	return q.checkDown()
}

// release gives the slots of the last batch back to the kernel, oldest first.
func (q *queue) release() {
	for ; q.lent > 0; q.lent-- {
		giveBack(slotHeader(q.slot((q.next - q.lent) & (q.slots - 1))))
	}
}

// receiveSlot makes p the frame in slot. It reports false if the frame was cut.
func receiveSlot(p *packet.Packet, slot []byte, h *unix.Tpacket2Hdr, status uint32) bool {
	if h.Snaplen != h.Len {
		return false
	}
	start := uint32(h.Mac) - slotHeaderLen
	*p = packet.Packet{Buf: slot[slotHeaderLen:], Start: start, End: start + h.Snaplen}
	p.VLANs[0] = tag(status, h.Vlan_tpid, h.Vlan_tci)
	return virtio.Decode(p, p.Buf[start-virtio.HeaderLen:])
}

// receiveSuper makes p the frame at the head of the socket's queue, which the
// kernel put there because it did not fit a slot. All that is known of the frame
// comes with it: two such frames may stand in the queue and in the ring in
// different order.
func (q *queue) receiveSuper(p *packet.Packet, i int) bool {
	buf := q.super[i*superLen : (i+1)*superLen]
	n, aux := q.read.read(q.fd, buf[packet.Headroom-virtio.HeaderLen:superLen-packet.Headroom])
	if n <= virtio.HeaderLen {
		return false
	}
	*p = packet.Packet{Buf: buf, Start: packet.Headroom}
	p.End = p.Start + uint32(n-virtio.HeaderLen)
	p.VLANs[0] = tag(aux.status, aux.vlanProtoID, aux.vlanTCI)
	return virtio.Decode(p, buf[packet.Headroom-virtio.HeaderLen:])
}

// tag returns the VLAN tag that the kernel took off the frame, as Packet.VLANs
// has it, 0 if there was none.
func tag(status uint32, tpid, tci uint16) uint32 {
	if status&unix.TP_STATUS_VLAN_VALID == 0 {
		return 0
	}
	if status&unix.TP_STATUS_VLAN_TPID_VALID == 0 {
		tpid = unix.ETH_P_8021Q
	}
	return uint32(tpid)<<16 | uint32(tci)
}

// checkDown asks the socket, the second time that nothing was there, why it woke
// its worker. Asking clears the condition, so the descriptor polls quiet again.
func (q *queue) checkDown() error {
	if q.gone {
		return link.ErrDown
	}
	if q.idle++; q.idle < 2 {
		return nil
	}
	if e, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || e == 0 {
		return err
	}
	q.gone = q.unbound()
	return link.ErrDown
}

func (q *queue) Tx(ps []*packet.Packet) (sent int, err error) {
	if q.ring == nil {
		return 0, os.ErrClosed
	}
	bytes := 0
	for at := 0; at < len(ps) && err == nil; {
		n, next := q.fill(ps, at)
		var m, b int
		m, b, err = q.transmit(n, ps, sent)
		sent, bytes, at = sent+m, bytes+b, next
	}
	q.count.Tx(sent, bytes, len(ps)-sent)
	return sent, err
}

// fill writes messages for ps[at:], a batch at most. It returns how many there
// are, and the index behind the last packet looked at.
func (q *queue) fill(ps []*packet.Packet, at int) (n, next int) {
	for ; at < len(ps) && n < packet.BatchSize; at++ {
		p := ps[at]
		// The header goes into the headroom: one piece of memory is quicker to
		// take over than two.
		from := int(p.Start) - virtio.HeaderLen
		if p.Len() == 0 || from < 0 || !virtio.Encode(p.Buf[from:p.Start], p) {
			continue
		}
		q.iovs[n].Base = &p.Buf[from]
		q.iovs[n].SetLen(virtio.HeaderLen + p.Len())
		q.index[n] = at
		n++
	}
	return n, at
}

// transmit sends the first n messages and returns how many the device took, and
// their bytes. The packets of those it swaps to ps[front:].
func (q *queue) transmit(n int, ps []*packet.Packet, front int) (sent, bytes int, err error) {
	refusedInRow := 0
	for i := 0; i < n && refusedInRow < 2; {
		m, e := sendmmsg(q.fd, q.msgs[i:n])
		switch {
		case e == unix.EINTR:
		case e == unix.ENETDOWN, e == unix.ENXIO, e == unix.ENODEV:
			return sent, bytes, link.ErrDown
		case e == unix.ENOBUFS, e == unix.EAGAIN:
			refusedInRow++ // the first may be a bad packet, two are a full device
			i++
		case e != nil:
			i++ // refused for itself: too long, say
		default:
			refusedInRow = 0
			for _, at := range q.index[i : i+m] {
				bytes += ps[at].Len()
				ps[front+sent], ps[at] = ps[at], ps[front+sent]
				sent++
			}
			i += m
		}
	}
	return sent, bytes, nil
}
