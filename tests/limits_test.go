package tests

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

const second = int64(1e9)

// limited is the gateway of coreYAML with other values of keys in limits, timeouts or of
// the tunnel.
func limited(limits, timeouts, tunnel string) string {
	return strings.NewReplacer(
		"limits: {sessions: 1024", "limits: {"+limits+"sessions: 1024",
		"    mssClamp: auto\n", "    mssClamp: auto\n"+tunnel,
	).Replace(coreYAML) + "timeouts: {" + timeouts + "}\n"
}

// TestARPPerSecond asks a port for its address: as many requests as may be are answered,
// at once and over time, the rest are dropped. Replies are not counted.
func TestARPPerSecond(t *testing.T) {
	g := newGate(t, limited("arpPerSecond: 10, ", "", ""), gateOptions{})
	ask := func(n int) (answers int) {
		for range n {
			g.in("inside", ether(broadcast, header.TypeARP, arp(1, stranger, "10.0.0.77", "10.0.0.1")))
		}
		return len(g.raw("inside"))
	}
	if got := ask(30); got != 10 {
		t.Errorf("at once: %d answers of 30; want 10", got)
	}
	if got := g.drops()[drop.RateLimited]; got != 20 {
		t.Errorf("%d were dropped as rate_limited; want 20", got)
	}
	for range 30 {
		g.in("inside", ether(g.mac("inside"), header.TypeARP, arp(2, stranger, "10.0.0.77", "10.0.0.1")))
	}
	if got := g.drops()[drop.RateLimited]; got != 20 {
		t.Errorf("%d replies were counted, too", got-20)
	}
	g.in("outside", ether(broadcast, header.TypeARP, arp(1, stranger, "203.0.113.9", "203.0.113.2")))
	if len(g.raw("outside")) != 1 {
		t.Error("another port pays for it")
	}
	g.wait(second)
	if got := ask(30); got < 9 || got > 11 {
		t.Errorf("a second later: %d answers; want 10", got)
	}
	g.apply(limited("arpPerSecond: 20, ", "", ""))
	g.wait(2 * second)
	if got := ask(30); got < 20 || got > 21 {
		t.Errorf("after a reload: %d answers; want 20", got)
	}
}

// TestPeerRate tunnels in from a worker faster than it may.
func TestPeerRate(t *testing.T) {
	g := newGate(t, limited("", "", "    peerRate: 100\n"), gateOptions{})
	send := func(outer v4, n int) (out int) {
		for range n {
			g.send("inside", outer.ipip(pod2.udp(5000, 53, "x")))
		}
		return len(g.out("outside"))
	}
	// A packet takes at least a millisecond here: every tenth is within the rate.
	if got := send(fromW2, 500); got < 100 || got > 150 {
		t.Errorf("%d of 500 packets in about a second were taken; want about 110", got)
	}
	if g.drops()[drop.RateLimited] == 0 {
		t.Error("rate_limited did not count the others")
	}
	if got := send(v4{src: "10.0.0.11", dst: "10.0.0.1"}, 5); got != 5 {
		t.Errorf("%d of 5 packets of another worker were taken", got)
	}
}

// TestPMTUAge lets a smaller path MTU of the tunnel be forgotten after pmtuAge.
func TestPMTUAge(t *testing.T) {
	g := newGate(t, limited("", "", "    pmtuAge: 1m\n"), gateOptions{})
	long := v4{src: "10.0.0.5", dst: "172.30.2.10", df: true}.udp(5000, 53, strings.Repeat("x", 1300))
	passes := func() bool {
		t.Helper()
		g.send("inside", long)
		f := g.raw("inside")
		return len(f) == 1 && read(t, f[0], false).outer != nil
	}
	if !passes() {
		t.Fatal("the packet does not pass at first")
	}
	g.send("inside", long)
	sent := g.raw("inside")[0][header.EthernetLen:]
	g.send("inside", v4{src: "10.0.0.254", dst: "10.0.0.1"}.quoting(3, 4, 1000, sent, 28))
	g.raw("inside")
	if passes() {
		t.Error("the reported MTU has no effect")
	}
	g.wait(50 * second)
	if passes() {
		t.Error("the MTU is forgotten after 50 s")
	}
	g.wait(12 * second)
	if !passes() {
		t.Error("the MTU is not forgotten after a minute")
	}
}

// TestHalfOpenPercent floods with SYNs: a tenth of the table is theirs, and flows that
// are answered stay.
func TestHalfOpenPercent(t *testing.T) {
	g := newGate(t, limited("halfOpenPercent: 10, ", "", ""), gateOptions{})
	handshake(g)
	live := g.sessions()
	for i := range 600 {
		g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.7"}.tcp(uint16(2000+i), 80, header.SYN, 1, 0, ""))
	}
	g.raw("outside")
	if got := g.sessions(); got != live+102 {
		t.Errorf("%d sessions after 600 SYNs; want %d and a tenth of 1024", got, live)
	}
	g.apply(limited("halfOpenPercent: 20, ", "", ""))
	for i := range 600 {
		g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.7"}.tcp(uint16(4000+i), 80, header.SYN, 1, 0, ""))
	}
	if got := g.sessions(); got != live+204 {
		t.Errorf("%d sessions after a reload; want %d and a fifth of 1024", got, live)
	}
}

// TestHeldPackets sends to neighbors that do not answer: so many packets wait for one,
// and for all.
func TestHeldPackets(t *testing.T) {
	g := newGate(t, limited("neighbourQueue: 5, heldPackets: 64, ", "", ""), gateOptions{})
	held := func(neighbor, n int) uint64 {
		for i := range n {
			g.send("inside", v4{src: "10.0.0.5", dst: fmt.Sprintf("192.0.2.%d", neighbor)}.udp(1000, uint16(1000+i), "x"))
		}
		c := &g.off.Workers()[0].Counters
		return c.Held.Load() - c.Resumed.Load() - g.drops()[drop.NeighborQueueFull]
	}
	queued := func(neighbor, n int, want uint64) {
		t.Helper()
		before := g.drops()[drop.NeighborQueueFull]
		held(neighbor, n)
		if got := uint64(n) - (g.drops()[drop.NeighborQueueFull] - before); got != want {
			t.Errorf("neighbor %d: %d of %d packets wait; want %d", neighbor, got, n, want)
		}
	}
	queued(100, 8, 5)
	for i := range 11 {
		queued(101+i, 5, 5)
	}
	queued(112, 5, 4) // 64 in all
	queued(113, 5, 0)
	g.apply(limited("neighbourQueue: 2, heldPackets: 128, ", "", ""))
	queued(114, 5, 2)
}

// TestReachableTime asks a neighbor again when it has not been heard for as long as
// timeouts.neighbour says.
func TestReachableTime(t *testing.T) {
	for _, row := range []struct {
		timeouts string
		seconds  int64
	}{{"neighbour: 5s", 5}, {"", 30}} {
		g := newGate(t, limited("", row.timeouts, ""), gateOptions{})
		use := func() (asked bool) {
			g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.9"}.udp(1, 2, "x"))
			g.wait(second / 2)
			for _, f := range g.raw("narrow") {
				asked = asked || f[13] == 6
			}
			return asked
		}
		if !use() {
			t.Fatal("nobody asks for a new neighbor")
		}
		g.in("narrow", ether(g.mac("narrow"), header.TypeARP, arp(2, stranger, "192.0.2.9", "192.0.2.1")))
		first := int64(0)
		for s := int64(1); s < 40 && first == 0; s++ {
			g.wait(second / 2)
			if use() {
				first = s
			}
		}
		if first < row.seconds || first > row.seconds+2 {
			t.Errorf("%q: asked again after %d s; want %d", row.timeouts, first, row.seconds)
		}
	}
}

// TestLogLinesPerSecond claims the gateway's address again and again: the log says so as
// often as it may, and how many lines it left out.
func TestLogLinesPerSecond(t *testing.T) {
	var log bytes.Buffer
	g := newGate(t, limited("logLinesPerSecond: 3, arpPerSecond: 1000000, ", "", ""), gateOptions{log: slog.New(slog.NewTextHandler(&log, nil))})
	claim := func(n int) int {
		log.Reset()
		for range n {
			g.in("inside", ether(broadcast, header.TypeARP, arp(1, stranger, "10.0.0.1", "10.0.0.9")))
		}
		return strings.Count(log.String(), "address conflict")
	}
	if got := claim(50); got < 3 || got > 4 {
		t.Errorf("%d lines about 50 claims; want 3", got)
	}
	g.wait(2 * second)
	if got := claim(1); got != 1 || !strings.Contains(log.String(), "suppressed=4") {
		t.Errorf("later: %q; want a line that says how many were left out", log.String())
	}
	if addr := netip.MustParseAddr("10.0.0.1"); !strings.Contains(log.String(), addr.String()) {
		t.Errorf("%q does not say which address", log.String())
	}
}
