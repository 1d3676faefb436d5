package dataplane

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
	"openvra/dataplane/session"
)

// Exceptions takes up, in the order of arrival, every packet that the fast loops
// have left: it decides new flows and answers for the gateway. It may take locks
// that are held briefly (neighbors, NAT mappings), and allocate where a packet is
// kept.
func (w *Worker) Exceptions(from int) {
	b := &w.batch
	for i := from; i < b.N; i++ {
		if w.m[i].class != classDone {
			w.cur = i
			w.except(&b.P[i], &w.m[i])
		}
	}
}

// except handles one packet until it is done. A handler leaves either classDone or
// the class of what is to be done next; each chain is short.
func (w *Worker) except(p *packet.Packet, m *meta) {
	for range 8 {
		c := m.class
		m.class = classDone
		switch c {
		case classDone:
			return
		case classARP:
			w.arp(p, m)
		case classDecap:
			w.decap(p, m)
		case classFragment:
			w.fragment(p, m)
		case classICMPError:
			w.icmpError(p, m)
		case classFlow:
			w.find(p, m)
		case classMiss:
			w.miss(p, m)
		case classStale:
			w.stale(p, m)
		case classMoved:
			w.moved(p, m)
		case classTTL:
			w.tooOld(p, m)
		case classBig:
			w.tooBig(p, m)
		case classSplit:
			w.split(p, m)
		case classHold:
			w.wait(p, m)
		}
	}
	panic("dataplane: packet never done")
}

// find looks a single packet's session up: one that came late, by a fragment or a
// decapsulation, or that an earlier packet of the batch has made.
func (w *Worker) find(p *packet.Packet, m *meta) {
	id, dir := w.sessions.Find(m.hash, m.key)
	if id == 0 {
		m.class = classMiss
		return
	}
	m.class = classFlow
	w.forward(p, m, id, dir)
}

// miss decides a new flow.
func (w *Worker) miss(p *packet.Packet, m *meta) {
	if id, dir := w.sessions.Find(m.hash, m.key); id != 0 {
		m.class = classFlow
		w.forward(p, m, id, dir)
		return
	}
	if w.handOver(p, m) {
		return
	}
	k := m.key
	if reason := martian(k.Src(), k.Dst()); reason != drop.None {
		w.drop(p, reason)
		return
	}
	if reason := w.checkSource(p, m.key.Src()); reason != drop.None {
		w.drop(p, reason)
		return
	}
	q, d := &w.query, &w.decision
	*q = Query{Key: k, Port: p.Port, SYN: m.flags&(header.SYN|header.ACK) == header.SYN, Now: w.now}
	*d = Decision{}
	if k.Proto() == flow.TCP && m.flags&(header.SYN|header.RST|header.FIN) == header.RST {
		w.drop(p, drop.NoSession) // a RST never starts a session
		return
	}
	w.decide(q, d)
	if d.Drop != drop.None {
		w.refuse(p, m, d)
		return
	}
	if d.Kernel {
		w.local(p)
		return
	}
	if d.Self {
		w.answer(p, m)
		return
	}
	id, reason := w.make(q, d, m)
	if reason != drop.None {
		w.plan.Release(d.Mapping, remoteOf(k, d.Reply, d.Rule), w.now, true)
		w.drop(p, reason)
		return
	}
	m.class = classFlow
	w.forward(p, m, id, session.Original)
}

// decide asks the plan. The answer may be a way that was not there before.
func (w *Worker) decide(q *Query, d *Decision) {
	w.plan.Decide(q, d)
	w.ways = w.plan.Ways.All()
}

// make writes a decision into a new session.
func (w *Worker) make(q *Query, d *Decision, m *meta) (session.ID, drop.Reason) {
	if w.clashes(q, d) {
		return 0, drop.SessionClash
	}
	id := w.sessions.Insert(q.Key, d.Reply, firstState(q, m), w.ticks, w.onRemove)
	if id == 0 {
		return 0, drop.SessionTableFull
	}
	w.write(w.sessions.At(id), q, d)
	w.Counters.SessionsMade.Add(1)
	w.plant(q.Key, d.Reply)
	return id, drop.None
}

// clashes reports whether the answers of a new flow would be taken for packets of
// another session. One of TCP that is over gives way, and one that the plan now decides
// otherwise about.
func (w *Worker) clashes(q *Query, d *Decision) bool {
	if _, elsewhere := w.foreign[d.Reply]; elsewhere {
		return true
	}
	other, _ := w.sessions.Find(w.sessions.Hash(d.Reply), d.Reply)
	if other == 0 {
		return false
	}
	s := w.sessions.At(other)
	if q.SYN && (s.State == session.Closing || s.State == session.Reset) {
		w.remove(other)
		return false
	}
	if s.Gen != w.plan.Generation {
		w.decideAgain(other, s.Port[session.Original])
	}
	return s.State != session.Free
}

// write copies a decision into s, whose keys stand.
func (w *Worker) write(s *session.Session[flow.Key], q *Query, d *Decision) {
	s.Gen = w.plan.Generation
	s.Way = d.Way
	s.Port[session.Original] = q.Port
	s.Port[session.Reply] = NoPort
	if d.Way[0] != 0 {
		s.Port[session.Reply] = w.replyPort(d.Way[0])
	}
	s.Route, s.Rule, s.Mapping = d.Route, d.Rule, d.Mapping
	s.Flags &^= session.Translated | session.PortsChange | session.Local | session.OneWayRefresh
	if d.Local {
		s.Flags |= session.Local
	}
	if d.OneWayRefresh {
		s.Flags |= session.OneWayRefresh
	}
	o, r := s.Key[0], s.Key[1]
	if o.Src() != r.Dst() || o.Dst() != r.Src() {
		s.Flags |= session.Translated
	}
	if o.SrcPort() != r.DstPort() || o.DstPort() != r.SrcPort() {
		s.Flags |= session.Translated | session.PortsChange
	}
	s.L3Delta, s.L4Delta = deltas(o, r)
}

// deltas returns the changes that the original direction's rewrite makes to the IP
// and to the transport checksum.
func deltas(o, r flow.Key) (l3, l4 uint16) {
	l3 = checksum.Add(checksum.Delta32(o.Src(), r.Dst()), checksum.Delta32(o.Dst(), r.Src()))
	switch o.Proto() {
	case flow.ICMP:
		l4 = checksum.Delta16(o.SrcPort(), r.DstPort())
	default:
		l4 = checksum.Add(l3, checksum.Add(
			checksum.Delta16(o.SrcPort(), r.DstPort()), checksum.Delta16(o.DstPort(), r.SrcPort())))
	}
	return l3, l4
}

// replyPort returns the logical port on which answers to packets of a way come in.
func (w *Worker) replyPort(way uint32) uint16 {
	v := &w.plan.Ways.All()[way]
	if v.Encap {
		return w.plan.Tunnels[v.Tunnel].Port
	}
	return v.Port
}

func firstState(q *Query, m *meta) session.State {
	switch q.Key.Proto() {
	case flow.TCP:
		if q.SYN {
			return session.SynSent
		}
		return session.PickedUp
	case flow.UDP:
		return session.UDPNew
	case flow.ICMP:
		return session.ICMPQuery
	}
	return session.Other
}

// stale takes up a packet whose session was decided under another plan.
func (w *Worker) stale(p *packet.Packet, m *meta) {
	id, dir := w.sessions.Find(m.hash, m.key)
	if id == 0 {
		m.class = classMiss
		return
	}
	s := w.sessions.At(id)
	port := s.Port[session.Original]
	if dir == session.Original {
		port = p.Port
	}
	reason := w.decideAgain(id, port)
	if reason == drop.None && s.Way[dir] == 0 {
		reason = drop.NoRoute
	}
	if reason != drop.None {
		w.drop(p, reason)
		return
	}
	m.class = classFlow
	w.forward(p, m, id, dir)
}

// decideAgain asks the plan about a session whose first direction comes in by port. It
// keeps the NAT mapping where the plan allows it. It ends the session, and says why, where
// the plan would now decide otherwise about its addresses or not at all; but not for a
// port that is down.
func (w *Worker) decideAgain(id session.ID, port uint16) drop.Reason {
	s := w.sessions.At(id)
	q := Query{Key: s.Key[0], Port: port, Old: s, SYN: true, Now: w.now}
	var d Decision
	w.decide(&q, &d)
	if d.Drop == drop.PortDown { // it may come up again
		return drop.PortDown
	}
	if d.Drop != drop.None || d.Self || d.Kernel || d.Reply != s.Key[1] {
		if d.Mapping != 0 && d.Mapping != s.Mapping {
			w.plan.Release(d.Mapping, remoteOf(q.Key, d.Reply, d.Rule), w.now, true)
		}
		w.remove(id)
		if d.Drop != drop.None {
			return d.Drop
		}
		return drop.SessionChanged
	}
	if s.Mapping != 0 && s.Mapping != d.Mapping {
		w.plan.Release(s.Mapping, remoteOf(s.Key[0], s.Key[1], s.Rule), w.now, true)
	}
	w.write(s, &q, &d)
	return drop.None
}

// moved takes up a packet whose session knows its direction by another port: it may
// go on if its source is where such packets may come from.
func (w *Worker) moved(p *packet.Packet, m *meta) {
	id, dir := w.sessions.Find(m.hash, m.key)
	if id == 0 {
		m.class = classMiss
		return
	}
	if reason := w.checkSource(p, m.key.Src()); reason != drop.None {
		w.drop(p, reason)
		return
	}
	w.sessions.At(id).Port[dir] = p.Port
	m.class = classFlow
	w.forward(p, m, id, dir)
}

// checkSource is the reverse path check of the port (RFC 3704).
func (w *Worker) checkSource(p *packet.Packet, src uint32) drop.Reason {
	port := &w.plan.Ports[p.Port]
	switch {
	case port.Kind == PortHost:
		if !w.plan.Own(src) {
			return drop.MartianSource
		}
	case port.Kind == PortTunnel:
		// AcceptsInner has seen to the rest, for each packet.
		if w.plan.Own(src) {
			return drop.TunnelInnerSource
		}
	case w.plan.Own(src):
		return drop.MartianSource
	case !w.plan.Reverse(src, p.Port):
		return drop.ReversePath
	}
	return drop.None
}

// onRemove is called with each session before it ends, for whatever cause.
func (w *Worker) onRemove(id session.ID) {
	s := w.sessions.At(id)
	w.Counters.SessionsEnded.Add(1)
	if s.Mapping != 0 {
		w.plan.Release(s.Mapping, remoteOf(s.Key[0], s.Key[1], s.Rule), w.now, s.State.Closed())
	}
	w.unplant(s.Key[0], s.Key[1])
}

// remoteOf returns the remote host of a session that holds a mapping: whom a source
// rule's flow goes to, or who came to the mapping from outside.
func remoteOf(orig, reply flow.Key, rule [2]uint16) uint32 {
	if rule[1] == 0 {
		return orig.Src()
	}
	return reply.Src()
}

func (w *Worker) remove(id session.ID) {
	w.onRemove(id)
	w.sessions.Remove(id)
}
