package dataplane

// PeerCount is one worker's counts of a tunnel's peer, in packets, since it started.
type PeerCount struct {
	// Rx were taken out of the tunnel, Tx put into it. Dropped came from the peer
	// and were refused: malformed, not allowed, or too many.
	Rx, Tx, Dropped uint64
}

// PeerCounts returns the counts by tunnel and peer, as the plan numbers them. On the
// worker's thread; borrowed until the next plan.
func (w *Worker) PeerCounts() [][]PeerCount { return w.peers }

// countPeers makes room for the peers of a plan, and keeps what was counted of those
// that the plan before had too.
func (w *Worker) countPeers(before, now *Plan) {
	type peer struct {
		tunnel string
		addr   uint32
	}
	was := map[peer]PeerCount{}
	if before != nil {
		for i := range before.Tunnels {
			for j, p := range before.Tunnels[i].Peers() {
				was[peer{before.Tunnels[i].Name, p.Addr}] = w.peers[i][j]
			}
		}
	}
	w.peers = make([][]PeerCount, len(now.Tunnels))
	for i := range now.Tunnels {
		for _, p := range now.Tunnels[i].Peers() {
			w.peers[i] = append(w.peers[i], was[peer{now.Tunnels[i].Name, p.Addr}])
		}
	}
}
