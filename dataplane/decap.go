// Hot path: see doc.go.

package dataplane

import (
	"slices"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
	"openvra/dataplane/tunnel"
)

// Decap takes the outer header off IP-in-IP packets for an own address, and parses
// what was inside as if it had come in by the tunnel's port.
func (w *Worker) Decap(from int) {
	b := &w.batch
	for i := from; i < b.N; i++ {
		if m := &w.m[i]; m.class == classDecap {
			w.cur = i
			w.decap(&b.P[i], m)
		}
	}
}

func (w *Worker) decap(p *packet.Packet, m *meta) {
	m.class = classDone
	outer := header.IPv4(p.Buf[p.L3:])
	from := sender{src: outer.Src(), dst: outer.Dst(), port: p.Port}
	if from != w.lastSender {
		if reason := w.findSender(from); reason != drop.None {
			w.drop(p, reason)
			return
		}
	}
	tunnelIndex, peer := w.senderTunnel, w.senderPeer
	t := &w.plan.Tunnels[tunnelIndex]
	reason := w.takeOut(p, t, peer)
	if peer != nil {
		n := &w.peers[tunnelIndex][peer.Index]
		if reason == drop.None {
			n.Rx++
			t.Soft.Heard(peer.Index)
		} else {
			n.Dropped++
		}
	}
	if reason != drop.None {
		w.drop(p, reason)
		return
	}
	p.Port = t.Port
	w.count.port[t.Port].rx++
	w.count.port[t.Port].rxBytes += uint64(p.End - p.Start)
	broadcast := m.broadcast
	if !w.plainIPv4(p, m, p.L3, w.plan.Ports[t.Port].Realm) {
		*m = meta{}
		w.parseIPv4(p, m)
	}
	m.broadcast = broadcast
}

// takeOut puts the inner packet in p's place, or says why not.
func (w *Worker) takeOut(p *packet.Packet, t *Tunnel, peer *tunnel.Peer) drop.Reason {
	if peer != nil && !t.Soft.Admit(peer.Index, w.now) {
		return drop.RateLimited
	}
	if reason := tunnel.Decap(p); reason != drop.None {
		return reason
	}
	inner := header.IPv4(p.Buf[p.L3:])
	return t.AcceptsInner(peer, inner.Src(), inner.Dst())
}

// sender is where an outer packet comes from.
type sender struct {
	src, dst uint32
	port     uint16
}

// findSender finds the tunnel whose local end is the packet's destination and that takes
// packets of its source, and the worker that the source is, if it is one. They are kept
// for the packets that follow, which are often of the same sender: 8 of 97 ns
// (BenchmarkLine/decap+nat).
func (w *Worker) findSender(from sender) drop.Reason {
	for i := range w.plan.Tunnels {
		t := &w.plan.Tunnels[i]
		peer, ok := t.Accepts(from.port, from.src, from.dst)
		if !ok {
			continue
		}
		if peer != nil && w.plan.Ports[from.port].ReversePath != ReversePathOff && !slices.Contains(t.Via[peer.Index], from.port) {
			return drop.ReversePath
		}
		w.lastSender, w.senderTunnel, w.senderPeer = from, i, peer
		return drop.None
	}
	return drop.TunnelUnknownPeer
}
