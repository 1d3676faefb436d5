// Hot path: see doc.go.

package dataplane

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/mss"
	"openvra/dataplane/packet"
	"openvra/dataplane/session"
	"openvra/dataplane/tunnel"
)

// Lookup fetches, for the whole batch at once, the index buckets and then the
// sessions they suggest, so that the memory's latency is paid once and not for each
// packet (BenchmarkLine shows what it is worth at a million sessions).
func (w *Worker) Lookup(int) {
	b, t := &w.batch, w.sessions
	var touched uint64
	for i := range b.N {
		touched += t.Touch(w.m[i].hash)
	}
	for i := range b.N {
		w.m[i].cand = t.Candidate(w.m[i].hash)
	}
	for i := range b.N {
		touched += t.TouchSession(w.m[i].cand)
	}
	w.touched = touched
}

// Forward takes the packets that have a session through it and out.
func (w *Worker) Forward(from int) {
	b := &w.batch
	for i := from; i < b.N; i++ {
		m := &w.m[i]
		if m.class != classFlow {
			continue
		}
		w.cur = i
		id, dir := session.ID(m.cand>>1), session.Dir(m.cand&1)
		if w.sessions.At(id).Key[dir] != m.key {
			if id, dir = w.sessions.Find(m.hash, m.key); id == 0 {
				m.class = classMiss
				continue
			}
		}
		w.forward(&b.P[i], m, id, dir)
	}
}

// forward is what a session's packet meets: track, rewrite, encap, resolve.
func (w *Worker) forward(p *packet.Packet, m *meta, id session.ID, dir session.Dir) {
	s := w.sessions.At(id)
	if s.Gen != w.plan.Generation || s.Way[dir] == 0 {
		m.class = classStale
		return
	}
	if s.Port[dir] != p.Port {
		m.class = classMoved
		return
	}
	way := &w.ways[s.Way[dir]]
	ip := header.IPv4(p.Buf[p.L3:p.L3End])
	if ip.TTL() <= 1 && s.Flags&session.Local == 0 {
		m.class, m.way = classTTL, s.Way[dir]
		return
	}
	length := p.L3End - p.L3
	if length > w.mtu(way) && !fits(p, w.mtu(way)) {
		m.class, m.way = classBig, s.Way[dir]
		return
	}
	if (p.Offload.GSOType|p.Offload.Flags&packet.NeedsChecksum) != 0 &&
		(way.Encap || !w.segments[way.Physical]) && !w.finish(p, m) {
		return
	}

	// Track.
	switch proto := m.key.Proto(); {
	case m.laterFragment:
		if dir == session.Original || s.Flags&session.OneWayRefresh == 0 {
			s.LastSeen = w.ticks
		}
	case proto == flow.TCP:
		if reason := w.track(p, m, id, dir); reason != drop.None {
			w.drop(p, reason)
			m.class = classDone
			return
		}
		if m.class != classFlow {
			return
		}
	case dir == session.Original:
		s.LastSeen = w.ticks
	default:
		if s.State == session.UDPNew {
			w.sessions.SetState(id, session.UDPStream, w.ticks)
		}
		if s.Flags&session.OneWayRefresh == 0 {
			s.LastSeen = w.ticks
		}
		s.Flags |= session.SeenReply
	}
	s.Packets[dir]++
	s.Bytes[dir] += uint64(length)

	// Rewrite. RFC 1141: the TTL is the high byte of its word. To and from the
	// host is no hop.
	delta := uint16(0)
	if s.Flags&session.Local == 0 {
		ip[8]--
		delta = 0xfeff
	}
	if s.Flags&session.Translated != 0 {
		delta = checksum.Add(delta, w.rewrite(p, m, s, dir))
	}
	ip.SetChecksum(checksum.Apply(ip.Checksum(), delta))
	if m.flags&header.SYN != 0 && m.key.Proto() == flow.TCP && !m.laterFragment {
		if most := w.largestSegment(way, s.Way[1-dir]); most != 0 {
			mss.Clamp(p, most)
		}
	}
	m.class, m.way = classDone, s.Way[dir]
	w.leave(p, m, way)
}

// rewrite gives p the addresses and ports of the session's other side and returns
// the delta of the IP checksum.
func (w *Worker) rewrite(p *packet.Packet, m *meta, s *session.Session[flow.Key], dir session.Dir) uint16 {
	to := s.Key[1-dir]
	l3, l4 := s.L3Delta, s.L4Delta
	if dir == session.Reply {
		l3, l4 = ^l3, ^l4
	}
	ip := header.IPv4(p.Buf[p.L3:])
	ip.SetSrc(to.Dst())
	ip.SetDst(to.Src())
	if m.laterFragment {
		return l3
	}
	t := p.Buf[p.L4:p.L3End]
	switch m.key.Proto() {
	case flow.TCP:
		h := header.TCP(t)
		h.SetSrcPort(to.DstPort())
		h.SetDstPort(to.SrcPort())
		if p.Offload.Flags&packet.NeedsChecksum != 0 {
			h.SetChecksum(checksum.Add(h.Checksum(), l3)) // the pseudo-header's sum alone
		} else {
			h.SetChecksum(checksum.Apply(h.Checksum(), l4))
		}
	case flow.UDP:
		h := header.UDP(t)
		h.SetSrcPort(to.DstPort())
		h.SetDstPort(to.SrcPort())
		switch c := h.Checksum(); {
		case p.Offload.Flags&packet.NeedsChecksum != 0:
			h.SetChecksum(checksum.Add(c, l3))
		case c != 0: // 0 is none and stays so (RFC 768)
			if c = checksum.Apply(c, l4); c == 0 {
				c = 0xffff
			}
			h.SetChecksum(c)
		}
	case flow.ICMP:
		if s.Flags&session.PortsChange != 0 {
			h := header.ICMP(t)
			h.SetID(to.SrcPort())
			h.SetChecksum(checksum.Apply(h.Checksum(), l4))
		}
	default:
		// Addresses alone; checksums that cover them, as DCCP's, are not known here.
	}
	return l3
}

// largestSegment returns the MSS that a SYN by way may offer, 0 for any. What it offers
// is what will come back by the way of the other direction, if that is known.
func (w *Worker) largestSegment(way *Way, back uint32) uint16 {
	there, other := way.MSS, w.ways[back].MSS
	if there == 0 || other != 0 && other < there {
		return other
	}
	return there
}

// track takes a TCP segment into the session's account.
func (w *Worker) track(p *packet.Packet, m *meta, id session.ID, dir session.Dir) drop.Reason {
	t := header.TCP(p.Buf[p.L4:p.L3End])
	g := session.Segment{
		Seq: t.Seq(), Ack: t.Ack(), Window: t.Window(), Flags: m.flags,
		Length: p.L3End - p.L4 - uint32(t.HeaderLen()),
	}
	if m.flags&header.SYN != 0 {
		g.Scale, g.HasScale = windowScale(t[:min(t.HeaderLen(), len(t))])
	}
	switch w.sessions.Track(id, dir, g, w.ticks) {
	case session.Outside:
		w.Counters.Outside.Add(1)
	case session.Invalid:
		return drop.TCPInvalid
	case session.Reopen:
		w.remove(id)
		m.class = classMiss
	}
	return drop.None
}

// leave encapsulates if the way says so, and resolves. p's IP header is final.
func (w *Worker) leave(p *packet.Packet, m *meta, way *Way) {
	if way.Encap {
		t := &w.plan.Tunnels[way.Tunnel]
		if reason := tunnel.Encap(p, way.OuterSrc, way.OuterDst, w.nextID(), &t.Options); reason != drop.None {
			w.drop(p, reason)
			return
		}
		w.peers[way.Tunnel][way.Peer].Tx++
		n := &w.count.port[t.Port]
		n.tx++
		n.txBytes += uint64(p.L3End - p.L3)
	}
	w.resolve(p, m, way)
}

// resolve writes the link header and queues p for its device.
func (w *Worker) resolve(p *packet.Packet, m *meta, way *Way) {
	p.Start, p.End, p.Out = p.L3, p.L3End, way.Port
	if way.Kind == PortEthernet {
		if m.way != w.nextHop.way {
			dst, ok := w.plan.Neighbors.Lookup(w.plan.Ways.ref(m.way))
			if !ok {
				m.class = classHold
				return
			}
			w.nextHop = nextHop{m.way, uint64(dst)}
		}
		if way.Tags[0] != 0 {
			writeEthernet(p, w.nextHop.mac, way.SrcMAC, way.Tags, header.TypeIPv4)
		} else {
			p.Start -= header.EthernetLen
			putEthernet(p.Buf[p.Start:], w.nextHop.mac, way.SrcMAC, header.TypeIPv4)
		}
	}
	w.queueTx(p, way.Physical)
}

// writeEthernet puts the link header before p.Start. Headroom is a driver's duty.
func writeEthernet(p *packet.Packet, dst, src uint64, tags [2]uint32, typ uint16) {
	for i := len(tags) - 1; i >= 0; i-- {
		if tags[i] != 0 {
			p.Start -= header.VLANLen
			be.PutUint16(p.Buf[p.Start+2:], typ)
			be.PutUint16(p.Buf[p.Start:], uint16(tags[i]))
			typ = uint16(tags[i] >> 16)
		}
	}
	p.Start -= header.EthernetLen
	putEthernet(p.Buf[p.Start:], dst, src, typ)
}

func putEthernet(h []byte, dst, src uint64, typ uint16) {
	h = h[:header.EthernetLen]
	be.PutUint64(h, dst<<16|src>>32)
	be.PutUint32(h[8:], uint32(src))
	be.PutUint16(h[12:], typ)
}

// nextHop is the last way that was resolved, and the MAC address it led to: for one batch,
// since most packets of one leave by the same way.
type nextHop struct {
	way uint32
	mac uint64
}

// mtu returns the longest packet that way takes now. Less than what every path
// takes needs no look at what was learned of the tunnel's path.
func (w *Worker) mtu(way *Way) uint32 {
	if way.Encap {
		return uint32(w.plan.Tunnels[way.Tunnel].Soft.MTU(int(way.Peer), int(way.MTU+tunnel.Overhead), w.now))
	}
	return way.MTU
}

// fits says whether a super-packet's segments are within mtu although it is not.
func fits(p *packet.Packet, mtu uint32) bool {
	if p.Offload.GSOType == packet.GSONone {
		return false
	}
	hdr := uint32(header.UDPLen)
	if t := p.Buf[p.L4:p.L3End]; p.Buf[p.L3+9] == flow.TCP {
		hdr = uint32(header.TCP(t).HeaderLen())
	}
	return p.L4-p.L3+hdr+uint32(p.Offload.GSOSize) <= mtu
}

// windowScale returns the window scale option of a TCP header with its options.
func windowScale(t []byte) (shift uint8, ok bool) {
	for o := t[header.TCPLen:]; len(o) > 0; {
		switch {
		case o[0] == 0:
			return 0, false
		case o[0] == 1:
			o = o[1:]
			continue
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return 0, false
		case o[0] == 3 && o[1] == 3:
			return o[2], true
		}
		o = o[o[1]:]
	}
	return 0, false
}
