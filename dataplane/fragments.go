package dataplane

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/frag"
	"openvra/dataplane/gso"
	"openvra/dataplane/header"
	"openvra/dataplane/icmp"
	"openvra/dataplane/packet"
)

// newTracker returns the worker's fragment tracker: its share of the limits.
func (w *Worker) newTracker(l Limits) (*frag.Tracker, error) {
	c := frag.DefaultConfig()
	if l.FragmentDatagrams > 0 {
		c.Datagrams = min(max(l.FragmentDatagrams/w.opt.Of, 1), 65536)
	}
	if l.FragmentsPer > 0 {
		c.Fragments = min(l.FragmentsPer, 4096)
	}
	if l.FragmentBytes > 0 {
		c.Bytes = max(l.FragmentBytes/w.opt.Of, 1<<16)
	}
	if l.FragmentTimeout > 0 {
		c.Timeout = l.FragmentTimeout
	}
	return frag.New(c)
}

// fragment lends a fragment the ports of its datagram and takes it up as a packet of
// the flow. All fragments of a datagram meet at one worker, by their addresses alone.
func (w *Worker) fragment(p *packet.Packet, m *meta) {
	ip := header.IPv4(p.Buf[p.L3:p.L3End])
	if w.opt.Of > 1 && m.handed == 0 {
		if to := int(flow.Steer(ip.Src(), ip.Dst(), 0, 0)) % w.opt.Of; to != w.opt.ID {
			m.class = classFragment
			w.give(p, m, to)
			m.class = classDone
			return
		}
	}
	realm := w.plan.Ports[p.Port].Realm
	// What ends here is put together: tunneled packets, and pings.
	proto := ip.Protocol()
	var v frag.Verdict
	if (proto == flow.IPIP || proto == flow.ICMP) && w.plan.Own(ip.Dst()) {
		v = w.frags.Assemble(p, realm, w.now)
	} else {
		v = w.frags.Track(p, realm, w.now)
	}
	w.lose(v.Lost, v.LostReason)
	switch {
	case v.Whole != nil:
		w.assembled(p, m, &v)
	case v.Held:
		w.keep(p)
	case v.Reason != drop.None:
		w.drop(p, v.Reason)
	default:
		w.tracked(p, m, v.SrcPort, v.DstPort)
		ready := append([]*packet.Packet(nil), v.Ready...)
		if len(ready) > 0 {
			w.except(p, m) // so that the first one leaves first: others wait for it, too
		}
		for _, q := range ready {
			w.Counters.Resumed.Add(1)
			var qm meta
			w.tracked(q, &qm, v.SrcPort, v.DstPort)
			w.except(q, &qm)
		}
		if len(ready) > 0 {
			w.transmit() // they are not the batch's
		}
	}
}

// tracked makes a fragment a packet of its flow.
func (w *Worker) tracked(p *packet.Packet, m *meta, sport, dport uint16) {
	ip := header.IPv4(p.Buf[p.L3:p.L3End])
	if !ip.IsLaterFragment() {
		w.parseTransport(p, m)
		return
	}
	m.laterFragment = true
	m.key = flow.Make(ip.Src(), ip.Dst(), sport, dport, ip.Protocol(), w.plan.Ports[p.Port].Realm)
	m.hash = w.hasher.Hash(m.key)
	m.class = classFlow
}

// assembled goes on with a datagram that was put together. Its other fragments end
// here.
func (w *Worker) assembled(p *packet.Packet, m *meta, v *frag.Verdict) {
	w.Counters.Resumed.Add(uint64(v.Merged - 1))
	w.count.local += uint64(v.Merged - 1)
	whole := v.Whole
	var wm meta
	w.parseIPv4(whole, &wm)
	w.except(whole, &wm)
	w.transmit()
}

// lose counts fragments that waited in vain.
func (w *Worker) lose(n int, r drop.Reason) {
	if n > 0 {
		w.Counters.Resumed.Add(uint64(n))
		w.Counters.Drops[r].Add(uint64(n))
	}
}

// expireFragments gives up datagrams whose time is over.
func (w *Worker) expireFragments() { w.lose(w.frags.Tick(w.now), drop.FragmentTimeout) }

// Fragments returns how many datagrams are tracked, and the limit. On the worker's
// thread.
func (w *Worker) Fragments() (used, limit int) {
	if w.frags == nil {
		return 0, 0
	}
	return w.frags.Len(), w.plan.Limits.FragmentDatagrams / w.opt.Of
}

// tooBig takes up a packet that is longer than its way out: it is cut, or its sender is
// told what would fit (RFC 1191 section 4). It is not yet translated; each piece meets
// the session by itself.
func (w *Worker) tooBig(p *packet.Packet, m *meta) {
	mtu := int(w.mtu(&w.ways[m.way]))
	if header.IPv4(p.Buf[p.L3:]).Fragment()&header.DontFragment != 0 {
		w.sendError(p, m, icmp.FragNeeded(mtu))
		w.drop(p, drop.FragmentNeeded)
		return
	}
	if p.Offload.GSOType != packet.GSONone {
		m.class = classSplit
		return
	}
	// A piece that is too big itself: the path has become narrower this moment.
	if m.piece || !holdsTransport(p, mtu) {
		w.drop(p, drop.MTUExceeded)
		return
	}
	pieces := w.cut(p, mtu)
	for i := range pieces {
		qm := *m
		qm.class, qm.piece, qm.laterFragment = classFlow, true, m.laterFragment || i > 0
		w.except(&pieces[i], &qm)
	}
	w.transmit()
}

// cut makes fragments of p, in w.pieces: valid until the next transmit. It drops p if
// there can be none.
func (w *Worker) cut(p *packet.Packet, mtu int) []packet.Packet {
	gso.Complete(p)
	w.transmit()
	n := frag.Pieces(p, mtu)
	for len(w.pieces) < n {
		w.pieces = append(w.pieces, packet.Packet{Buf: make([]byte, spareSize)})
	}
	n, reason := frag.Fragment(p, mtu, w.pieces[:n])
	if reason != drop.None || n == 0 {
		w.drop(p, drop.MTUExceeded)
		return nil
	}
	w.count.made += uint64(n - 1)
	return w.pieces[:n]
}

// holdsTransport reports whether the first piece of p would have the whole of the
// transport header that forwarding rewrites.
func holdsTransport(p *packet.Packet, mtu int) bool {
	ip := header.IPv4(p.Buf[p.L3:])
	need := header.UDPLen
	if ip.Protocol() == flow.TCP {
		need = header.TCPLen
	}
	return ip.IsLaterFragment() || (mtu-ip.HeaderLen())&^7 >= need
}
