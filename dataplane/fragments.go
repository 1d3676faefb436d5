package dataplane

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/packet"
)

func (w *Worker) fragment(p *packet.Packet, m *meta) { w.drop(p, drop.FragmentLimit) }

func (w *Worker) tooBig(p *packet.Packet, m *meta) { w.drop(p, drop.MTUExceeded) }

func (w *Worker) expireFragments() {}

// Fragments returns how many datagrams are tracked, and the limit.
func (w *Worker) Fragments() (used, limit int) { return 0, 0 }
