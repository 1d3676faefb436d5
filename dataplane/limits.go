package dataplane

import (
	"log/slog"

	"openvra/dataplane/drop"
	"openvra/dataplane/frag"
	"openvra/dataplane/icmp"
	"openvra/dataplane/neigh"
	"openvra/dataplane/rate"
)

// Limits bound what packets can make the gateway keep, send and say. They are for all
// workers together; each takes its share. A limit of 0 is the default of the package
// that keeps it, or none where that is said.
type Limits struct {
	// FragmentDatagrams, FragmentBytes and FragmentsPer bound fragments.
	FragmentDatagrams, FragmentBytes, FragmentsPer int
	FragmentTimeout                                int64 // ns
	// ICMPPerSecond and ICMPBurst bound the ICMP errors, ICMPPerDestination (per
	// second) those that one worker sends to one host.
	ICMPPerSecond, ICMPBurst, ICMPPerDestination int
	// ARPPerSecond bounds the ARP requests taken from a port. Zero is no limit.
	// All of a port's ARP comes by one queue (link.Steer), so it is not shared out.
	ARPPerSecond int
	// HalfOpenPercent is how much of the session table half-open TCP may fill.
	// Zero is all of it.
	HalfOpenPercent int
	// HeldPackets wait for neighbors, HeldPerNeighbor of them for one.
	HeldPackets, HeldPerNeighbor int
	// LogLinesPerSecond bounds what is logged about packets. Zero is no limit.
	LogLinesPerSecond int
}

// share returns a worker's share of a limit, at least 1 unless the limit is 0.
func (w *Worker) share(limit int) int {
	if limit == 0 {
		return 0
	}
	return max(limit/w.opt.Of, 1)
}

// setLimits makes what the limits bound, anew where they have changed.
func (w *Worker) setLimits(l Limits) {
	old := w.limits
	if w.frags != nil && l == old {
		return
	}
	w.limits = l
	w.arpLimit = rate.Per(l.ARPPerSecond, l.ARPPerSecond)
	w.logs.limit = rate.Per(w.share(l.LogLinesPerSecond), w.share(l.LogLinesPerSecond))
	w.hold.SetLimits(w.holdLimits())
	w.sessions.SetHalfOpenLimit(w.halfOpenLimit())
	if w.limiter == nil || l.ICMPPerSecond != old.ICMPPerSecond || l.ICMPBurst != old.ICMPBurst || l.ICMPPerDestination != old.ICMPPerDestination {
		w.limiter = w.newLimiter(l)
	}
	if w.frags == nil || l.FragmentDatagrams != old.FragmentDatagrams || l.FragmentBytes != old.FragmentBytes ||
		l.FragmentsPer != old.FragmentsPer || l.FragmentTimeout != old.FragmentTimeout {
		w.setTracker(l)
	}
}

// newLimiter returns the worker's limiter of its own ICMP errors.
func (w *Worker) newLimiter(l Limits) *icmp.Limiter {
	lim := icmp.DefaultLimits()
	lim.Rate, lim.Burst = w.share(l.ICMPPerSecond), w.share(l.ICMPBurst)
	if l.ICMPPerDestination > 0 {
		lim.HostRate = l.ICMPPerDestination
	}
	return icmp.NewLimiter(lim, w.opt.Secret[0])
}

// setTracker replaces the fragment tracker; what it holds is given up.
func (w *Worker) setTracker(l Limits) {
	t, err := w.newTracker(l)
	if err != nil { // limits that config does not let through
		w.log.Error("fragment limits refused", "err", err)
		t, _ = frag.New(frag.DefaultConfig())
	}
	if w.frags != nil {
		w.lose(w.frags.Held(), drop.FragmentTimeout)
	}
	w.frags = t
}

// holdLimits are the bounds of packets that wait for neighbors.
func (w *Worker) holdLimits() neigh.HoldLimits {
	l := neigh.DefaultHoldLimits()
	if w.limits.HeldPackets > 0 {
		l.Packets = w.share(w.limits.HeldPackets)
	}
	if w.limits.HeldPerNeighbor > 0 {
		l.PerNeighbor = w.limits.HeldPerNeighbor
	}
	return l
}

// halfOpenLimit is how many half-open sessions the worker's table may hold.
func (w *Worker) halfOpenLimit() int {
	if p := w.limits.HalfOpenPercent; p > 0 {
		return int(int64(w.sessions.Limit()) * int64(p) / 100)
	}
	return w.sessions.Limit()
}

// logLimit lets lines about packets through at a rate and counts the others.
type logLimit struct {
	limit      rate.Limit
	meter      rate.Meter
	suppressed uint64
}

// Allow reports whether a line may be logged now. It is to end with Suppressed.
func (l *logLimit) Allow(now int64) bool {
	if l.meter.Allow(l.limit, now) {
		return true
	}
	l.suppressed++
	return false
}

// Suppressed returns how many lines were not let through since the last that was.
func (l *logLimit) Suppressed() slog.Attr {
	n := l.suppressed
	l.suppressed = 0
	return slog.Uint64("suppressed", n)
}
