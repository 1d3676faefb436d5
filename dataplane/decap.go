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
	tunnelIndex, peer := w.tunnelFrom(p.Port, outer.Src(), outer.Dst())
	if tunnelIndex < 0 {
		w.drop(p, drop.TunnelUnknownPeer)
		return
	}
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
	if peer != nil && w.plan.Ports[p.Port].ReversePath != ReversePathOff && !slices.Contains(t.Via[peer.Index], p.Port) {
		return drop.ReversePath
	}
	if peer != nil && !t.Soft.Admit(peer.Index, w.now) {
		return drop.RateLimited
	}
	if reason := tunnel.Decap(p); reason != drop.None {
		return reason
	}
	inner := header.IPv4(p.Buf[p.L3:])
	return t.AcceptsInner(peer, inner.Src(), inner.Dst())
}

// tunnelFrom returns the number of the tunnel whose local end is dst and that takes
// packets of src, or -1, and the worker that src is, if it is one.
func (w *Worker) tunnelFrom(port uint16, src, dst uint32) (int, *tunnel.Peer) {
	for i := range w.plan.Tunnels {
		if peer, ok := w.plan.Tunnels[i].Accepts(port, src, dst); ok {
			return i, peer
		}
	}
	return -1, nil
}
