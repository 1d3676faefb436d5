package dataplane

import (
	"sync/atomic"

	"openvra/dataplane/drop"
	"openvra/dataplane/rate"
)

// Counters are one worker's counts since its start. Written by the worker, read by
// anybody. Every packet received or made is in exactly one of Sent, Local, Held and
// Drops; see Balance.
type Counters struct {
	// Received by ports and by hand-over, and made by the worker itself: ARP,
	// ICMP, and segments and fragments beyond the first.
	Received, Made atomic.Uint64
	// Sent to devices. Local were consumed by the gateway or given to its host.
	// Held wait for a neighbor or a first fragment, at the other end of a
	// hand-over, or were replaced by their pieces.
	Sent, Local, Held atomic.Uint64
	// Resumed were held and are taken up again: Held less Resumed are held now.
	Resumed atomic.Uint64
	// HandedOver counts packets given to other workers, within Held.
	HandedOver                  atomic.Uint64
	SessionsMade, SessionsEnded atomic.Uint64
	// Outside counts TCP segments outside the window that were let pass.
	Outside atomic.Uint64
	Panics  atomic.Uint64
	Drops   [drop.Count]atomic.Uint64
}

// Dropped returns the sum of all drops.
func (c *Counters) Dropped() (n uint64) {
	for i := range c.Drops {
		n += c.Drops[i].Load()
	}
	return n
}

// Balance is what the packets that came exceed those that went by. It is 0 between
// batches.
func (c *Counters) Balance() int64 {
	return int64(c.Received.Load() + c.Made.Load() + c.Resumed.Load() - c.Sent.Load() - c.Local.Load() - c.Held.Load() - c.Dropped())
}

// PortCounters are one worker's counts of a logical port. Rx and tx are packets;
// bytes are of whole frames.
type PortCounters struct {
	Rx, RxBytes, Tx, TxBytes, Local, Held, Dropped atomic.Uint64
}

// portCount is the unshared half: added up during a batch, flushed after it.
type portCount struct {
	rx, rxBytes, tx, txBytes uint64
}

// count is what a worker adds up during a batch.
type count struct {
	received, made, sent, local, held uint64
	port                              []portCount
}

// flush publishes what the batch has counted.
func (w *Worker) flush() {
	c := &w.count
	add(&w.Counters.Received, &c.received)
	add(&w.Counters.Made, &c.made)
	add(&w.Counters.Sent, &c.sent)
	add(&w.Counters.Local, &c.local)
	add(&w.Counters.Held, &c.held)
	for i := range c.port {
		if p := &c.port[i]; p.rx|p.tx != 0 {
			s := w.portCounters(i)
			add(&s.Rx, &p.rx)
			add(&s.RxBytes, &p.rxBytes)
			add(&s.Tx, &p.tx)
			add(&s.TxBytes, &p.txBytes)
		}
	}
}

func add(to *atomic.Uint64, n *uint64) {
	if *n != 0 {
		to.Add(*n)
		*n = 0
	}
}

// portCounters returns the shared counts of a logical port.
func (w *Worker) portCounters(port int) *PortCounters { return (*w.ports.Load())[port] }

// PortCount returns the worker's counts of the logical port, nil if it has none.
// Safe for concurrent use.
func (w *Worker) PortCount(port int) *PortCounters {
	if l := *w.ports.Load(); port < len(l) {
		return l[port]
	}
	return nil
}

// growPorts makes room for the plan's ports. Counters are never lost.
func (w *Worker) growPorts(n int) {
	old := *w.ports.Load()
	if n <= len(old) {
		return
	}
	list := append([]*PortCounters(nil), old...)
	for len(list) < n {
		list = append(list, new(PortCounters))
	}
	w.ports.Store(&list)
	w.count.port = make([]portCount, n)
	w.arpMeters = append(w.arpMeters, make([]rate.Meter, n-len(w.arpMeters))...)
}
