package netlab

// check holds the books against each other: each packet that came into a gateway is
// sent, local, held or dropped; what a gateway says it sent its links have carried; and
// what links carried was received or lost.
func (l *Lab) check() {
	l.tb.Helper()
	l.poll() // what arrived in the last step
	for _, k := range l.links {
		for _, e := range k.ends {
			for _, frame := range e.plug.drain() { // the lab ends while it is under way
				e.out++
				k.sent++
				k.copies++
				k.lost++
				l.diagram.add(l.now, k.name, e.name, "nobody", frame, true)
			}
		}
		if k.copies != k.received+k.lost {
			l.tb.Errorf("link %s: %d frames sent, %d received, %d lost", k.name, k.copies, k.received, k.lost)
		}
	}
	for _, g := range l.gateways {
		l.checkGateway(g)
	}
}

func (l *Lab) checkGateway(g *Gateway) {
	l.tb.Helper()
	var delivered, carried, received, sent, counted uint64
	for _, k := range l.links {
		for _, e := range k.ends {
			if e.name == g.name {
				delivered, carried = delivered+uint64(e.in), carried+uint64(e.out)
			}
		}
	}
	for _, p := range g.ports {
		s := p.Stats()
		received, sent = received+s.RxPackets, sent+s.TxPackets
	}
	for i, w := range g.off.Workers() {
		if n := w.Counters.Balance(); n != 0 {
			l.tb.Errorf("gateway %s, worker %d: %d packets are neither sent, local, held nor dropped", g.name, i, n)
		}
		if n := w.Counters.Panics.Load(); n != 0 {
			l.tb.Errorf("gateway %s, worker %d: %d panics", g.name, i, n)
		}
		counted += w.Counters.Sent.Load()
	}
	if received != delivered {
		l.tb.Errorf("gateway %s: links delivered %d frames; its ports received %d", g.name, delivered, received)
	}
	if counted != sent || sent != carried {
		l.tb.Errorf("gateway %s: its workers sent %d frames; its ports %d; links carried %d", g.name, counted, sent, carried)
	}
}
