// Hot path: see doc.go.

package dataplane

import (
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
	t, peer := w.tunnelFrom(p.Port, outer.Src(), outer.Dst())
	if t == nil {
		reason := drop.TunnelUnknownPeer
		if len(w.plan.Tunnels) == 0 {
			reason = drop.TunnelNotConfigured
		}
		w.drop(p, reason)
		return
	}
	if peer != nil && !t.Soft.Admit(peer.Index, w.now) {
		w.drop(p, drop.RateLimited)
		return
	}
	if reason := tunnel.Decap(p); reason != drop.None {
		w.drop(p, reason)
		return
	}
	inner := header.IPv4(p.Buf[p.L3:])
	if reason := t.AcceptsInner(peer, inner.Src(), inner.Dst()); reason != drop.None {
		w.drop(p, reason)
		return
	}
	if peer != nil {
		t.Soft.Heard(peer.Index)
	}
	p.Port = t.Port
	w.count.port[t.Port].rx++
	w.count.port[t.Port].rxBytes += uint64(p.End - p.Start)
	w.parseIPv4(p, m)
}

// tunnelFrom returns the tunnel whose local end is dst and that takes packets of src,
// and the worker that src is.
func (w *Worker) tunnelFrom(port uint16, src, dst uint32) (*Tunnel, *tunnel.Peer) {
	for i := range w.plan.Tunnels {
		t := &w.plan.Tunnels[i]
		if peer, ok := t.Accepts(port, src, dst); ok {
			return t, peer
		}
	}
	return nil, nil
}
