// Hot path: see doc.go.

package dataplane

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/gso"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// spareCount is how many packets of its own (errors, replies, pieces) a worker makes
// before it sends; spareSize holds one of the largest MTU that is not a super-packet.
const (
	spareCount = packet.BatchSize
	spareSize  = packet.Headroom + 9216 + 64
)

// spares are the buffers of packets that the worker makes. They are lent from make
// until the next transmit.
type spares struct {
	p    [spareCount]packet.Packet
	buf  []byte
	used int
}

// spare returns an empty packet with room for n bytes of layer 3, or nil if n is too
// much. It transmits first if all are in use.
func (w *Worker) spare(n int) *packet.Packet {
	s := &w.spares
	if s.buf == nil {
		s.buf = make([]byte, spareCount*spareSize)
	}
	if n > spareSize-packet.Headroom {
		return nil
	}
	if s.used == spareCount {
		w.transmit()
	}
	i := s.used
	s.used++
	buf := s.buf[i*spareSize : (i+1)*spareSize : (i+1)*spareSize]
	p := &s.p[i]
	*p = packet.Packet{Buf: buf, Start: packet.Headroom, L3: packet.Headroom, End: packet.Headroom + uint32(n), L3End: packet.Headroom + uint32(n)}
	return p
}

// queueTx adds p, whose frame is ready, to its device's list.
func (w *Worker) queueTx(p *packet.Packet, phys uint16) {
	if int(phys) >= len(w.tx) || w.queues[phys] == nil {
		w.drop(p, drop.PortDown)
		return
	}
	l := w.tx[phys]
	if len(l) == cap(l) {
		w.transmitPort(int(phys))
		l = w.tx[phys]
	}
	w.tx[phys] = append(l, p)
}

// transmit sends what the batch has queued, and takes the spares back.
func (w *Worker) transmit() {
	for phys := range w.tx {
		if len(w.tx[phys]) > 0 {
			w.transmitPort(phys)
		}
	}
	w.spares.used = 0
}

func (w *Worker) transmitPort(phys int) {
	l := w.tx[phys]
	w.tx[phys] = l[:0]
	for _, p := range l {
		n := &w.count.port[p.Out]
		n.tx++
		n.txBytes += uint64(p.End - p.Start)
	}
	sent, _ := w.queues[phys].Tx(l)
	if phys == w.hostPhys() {
		w.count.local += uint64(sent)
	} else {
		w.count.sent += uint64(sent)
	}
	for _, p := range l[sent:] {
		n := &w.count.port[p.Out]
		n.tx--
		n.txBytes -= uint64(p.End - p.Start)
		w.drop(p, drop.TxRefused)
	}
}

func (w *Worker) hostPhys() int {
	if w.plan.HostPort == NoPort {
		return -1
	}
	return int(w.plan.Ports[w.plan.HostPort].Physical)
}

// finish makes p fit to be sent by a device, or into a tunnel, that takes no half-made
// checksums. It reports false if p is a super-packet, which is to be split first.
func (w *Worker) finish(p *packet.Packet, m *meta) bool {
	if p.Offload.GSOType != packet.GSONone {
		m.class = classSplit
		return false
	}
	gso.Complete(p)
	return true
}

// split cuts a super-packet and takes each segment up where the whole one was. It is
// not yet translated: each segment meets its session by itself.
func (w *Worker) split(p *packet.Packet, m *meta) {
	c := &w.cutter
	if !c.Reset(p, p.L3) || c.Longest()+int(p.L3-p.Start) > spareSize-packet.Headroom {
		w.drop(p, drop.MTUExceeded)
		return
	}
	first := true
	for {
		out := w.spare(c.Longest() + int(p.L3-p.Start))
		if !c.Next(out) {
			return
		}
		out.L3 = out.Start + p.L3 - p.Start
		out.L4 = out.L3 + p.L4 - p.L3
		out.L3End = out.End
		if !first {
			w.count.made++
		}
		first = false
		sm := *m
		sm.class = classFlow
		if m.flags != 0 { // FIN belongs to the last
			sm.flags = header.TCP(out.Buf[out.L4:]).Flags() & 0x3f
		}
		w.except(out, &sm)
	}
}
