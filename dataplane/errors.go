package dataplane

import (
	"net/netip"

	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/icmp"
	"openvra/dataplane/packet"
	"openvra/dataplane/session"
	"openvra/dataplane/tunnel"
)

// refuse ends a packet that is not to go, and tells its sender if the decision asks
// for it.
func (w *Worker) refuse(p *packet.Packet, m *meta, d *Decision) {
	switch d.Reject {
	case RejectNet:
		w.sendError(p, m, icmp.NetUnreachable)
	case RejectHost:
		w.sendError(p, m, icmp.HostUnreachable)
	case RejectPort:
		w.sendError(p, m, icmp.PortUnreachable)
	case RejectProhibited:
		w.sendError(p, m, icmp.Prohibited)
	}
	w.drop(p, d.Drop)
}

// tooOld ends a packet whose time to live runs out here (RFC 1812 section 5.3.1).
func (w *Worker) tooOld(p *packet.Packet, m *meta) {
	w.sendError(p, m, icmp.TTLExceeded)
	w.drop(p, drop.TTLExceeded)
}

// sendError sends an ICMP error about p, which is as it came in, to its source.
func (w *Worker) sendError(p *packet.Packet, m *meta, msg icmp.Message) {
	ip := header.IPv4(p.Buf[p.L3:])
	if m.broadcast || !icmp.Answerable(p, false) || !w.limiter.Allow(ip.Src(), w.now) {
		return
	}
	src := w.addressOn(p.Port)
	if p.Port == w.plan.HostPort {
		src = ip.Dst() // our addresses are the host's: its kernel hears none of them
	}
	if src == 0 {
		return
	}
	e := w.spare(icmp.MaxError)
	if e == nil || !icmp.Error(e, e.Buf, p, msg, src) {
		return
	}
	e.Port = p.Port
	w.originate(e, ip.Src(), p.Port)
}

// addressOn returns the address from which the gateway speaks on a port: its first,
// or, where it has none, the first there is.
func (w *Worker) addressOn(port uint16) uint32 {
	if a := w.plan.Ports[port].Addresses; len(a) > 0 {
		return addr4(a[0].Addr())
	}
	for i := range w.plan.Ports {
		if a := w.plan.Ports[i].Addresses; len(a) > 0 {
			return addr4(a[0].Addr())
		}
	}
	return 0
}

// originate sends a packet of the gateway's own. It counts as made.
func (w *Worker) originate(p *packet.Packet, dst uint32, in uint16) {
	w.count.made++
	w.reply(p, dst, in)
}

// reply sends p, whose IP header is final, to dst, by the routes of packets that
// came in by port in.
func (w *Worker) reply(p *packet.Packet, dst uint32, in uint16) {
	i := w.plan.WayTo(dst, in)
	if i == 0 {
		w.drop(p, drop.NoRoute)
		return
	}
	w.ways = w.plan.Ways.All()
	if mtu := w.mtu(&w.ways[i]); p.L3End-p.L3 > mtu {
		pieces := w.cut(p, int(mtu))
		for k := range pieces {
			w.replyBy(&pieces[k], i)
		}
		w.transmit()
		return
	}
	w.replyBy(p, i)
}

// replyBy sends p by a way.
func (w *Worker) replyBy(p *packet.Packet, way uint32) {
	m := meta{way: way}
	w.leave(p, &m, &w.ways[way])
	if m.class == classHold {
		w.wait(p, &m)
	}
}

// answer replies to a ping to one of the gateway's own addresses.
func (w *Worker) answer(p *packet.Packet, m *meta) {
	if m.broadcast || !icmp.EchoReply(p) {
		w.drop(p, drop.LocalNotServed)
		return
	}
	dst := header.IPv4(p.Buf[p.L3:]).Dst()
	w.local(p)
	w.count.made++
	w.reply(p, dst, p.Port)
}

// icmpError takes an ICMP error to the sender of the packet it quotes, quote and all
// translated back (RFC 5508 section 4; RFC 5382 REQ-9). It neither refreshes nor ends
// a session (RFC 5508 REQ-6, RFC 4787 REQ-12).
func (w *Worker) icmpError(p *packet.Packet, m *meta) {
	if m.handed == 0 { // else another worker has looked
		ip := header.IPv4(p.Buf[p.L3:])
		reason := martian(ip.Src(), ip.Dst())
		if reason == drop.None {
			reason = w.checkSource(p, ip.Src())
		}
		if reason != drop.None {
			w.drop(p, reason)
			return
		}
	}
	w.deliverError(p, m)
}

// deliverError is icmpError for one whose addresses have been seen to.
func (w *Worker) deliverError(p *packet.Packet, m *meta) {
	realm := w.plan.Ports[p.Port].Realm
	q, reason := icmp.ParseQuote(p, realm)
	if reason != drop.None {
		w.drop(p, reason)
		return
	}
	ip := header.IPv4(p.Buf[p.L3:])
	if q.Key.Proto() == flow.IPIP && w.plan.Own(q.Key.Src()) {
		w.tunnelError(p, m, &q)
		return
	}
	// The session knows the packets that come from where the error came by the
	// reverse of what went there.
	m.key = q.Key.Reverse(realm)
	m.hash = w.hasher.Hash(m.key)
	id, dir := w.sessions.Find(m.hash, m.key)
	if id == 0 {
		m.class = classICMPError
		if w.handOver(p, m) {
			m.class = classDone
			return
		}
		m.class = classDone
		w.drop(p, drop.ICMPErrorUnmatched)
		return
	}
	s := w.sessions.At(id)
	// RFC 5508 REQ-5 and CVE-2019-5598: the error must be for the quoted sender.
	if ip.Dst() != q.Key.Src() {
		w.drop(p, drop.ICMPErrorUnmatched)
		return
	}
	if reason := w.errorTarget(p, s, dir); reason != drop.None {
		w.drop(p, reason)
		return
	}
	way := &w.ways[s.Way[dir]]
	if ip.TTL() <= 1 && s.Flags&session.Local == 0 {
		w.drop(p, drop.TTLExceeded) // no error about an error
		return
	}
	src, dst := ip.Src(), ip.Dst()
	if s.Flags&session.Translated != 0 {
		to := s.Key[1-dir]
		icmp.RewriteQuote(p, &q, to)
		if dst = to.Src(); s.Key[dir].Src() != to.Dst() {
			src = to.Dst() // RFC 5508 REQ-5: the inside does not show
		}
	}
	if s.Flags&session.Local == 0 {
		ip.SetTTL(ip.TTL() - 1)
	}
	ip.SetSrc(src)
	ip.SetDst(dst)
	finishIP(ip)
	if p.L3End-p.L3 > w.mtu(way) {
		w.drop(p, drop.MTUExceeded)
		return
	}
	m.way = s.Way[dir]
	w.leave(p, m, way)
	if m.class == classHold {
		w.wait(p, m)
	}
}

// errorTarget says why an error about a session cannot go in direction dir.
func (w *Worker) errorTarget(p *packet.Packet, s *session.Session[flow.Key], dir session.Dir) drop.Reason {
	switch header.ICMP(p.Buf[p.L4:]).Type() {
	case header.ICMPRedirect, header.ICMPSourceQuench:
		return drop.ICMPErrorUnmatched // RFC 5508 REQ-10; RFC 6633
	}
	if s.Gen != w.plan.Generation || s.Way[dir] == 0 {
		return drop.SessionChanged // decided again with its next packet; errors come again
	}
	return drop.None
}

// finishIP writes the checksum of an IPv4 header anew.
func finishIP(ip header.IPv4) {
	ip.SetChecksum(0)
	ip.SetChecksum(checksum.Of(ip[:ip.HeaderLen()]))
}

// tunnelError learns from an error about a packet that went into a tunnel, and tells
// the sender of what was inside (RFC 2003 section 4).
func (w *Worker) tunnelError(p *packet.Packet, m *meta, q *icmp.Quote) {
	for i := range w.plan.Tunnels {
		t := &w.plan.Tunnels[i]
		peer, ok := t.Concerns(q.Key)
		if !ok {
			continue
		}
		r := tunnel.ReadError(p, q)
		if r.MTU != 0 {
			t.Soft.Learn(peer.Index, r.MTU, w.now)
		}
		if r.Down {
			t.Soft.Fail(peer.Index, w.now)
		}
		if inner := header.IPv4(p.Buf[q.L4:q.End]); len(inner) < header.IPv4Len || !w.limiter.Allow(inner.Src(), w.now) {
			w.local(p)
			return
		}
		if !tunnel.RelayError(p, q, r, w.addressOn(t.Port)) {
			w.local(p)
			return
		}
		// It meets the session like any other, as if it had come out of the tunnel:
		// what was inside may have been translated.
		p.Port = t.Port
		w.deliverError(p, m)
		return
	}
	w.drop(p, drop.ICMPErrorUnmatched)
}

func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return be.Uint32(b[:])
}

func netAddr(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}
