package dataplane

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/neigh"
	"openvra/dataplane/packet"
	"openvra/dataplane/session"
)

// fakeQueue gives what is in rx and keeps what is sent, up to room.
type fakeQueue struct {
	rx   [][]byte
	tx   [][]byte
	room int
	end  bool
}

func (q *fakeQueue) Rx(b *packet.Batch) error {
	b.N = 0
	for len(q.rx) > 0 && b.N < packet.BatchSize {
		b.P[b.N].Set(make([]byte, packet.Headroom+len(q.rx[0])+64), q.rx[0])
		b.N++
		q.rx = q.rx[1:]
	}
	if b.N == 0 && q.end {
		return io.EOF
	}
	return nil
}

func (q *fakeQueue) Tx(ps []*packet.Packet) (int, error) {
	n := min(len(ps), q.room)
	q.room -= n
	for _, p := range ps[:n] {
		q.tx = append(q.tx, append([]byte(nil), p.Bytes()...))
	}
	if n < len(ps) {
		return n, link.ErrDown
	}
	return n, nil
}

func (q *fakeQueue) FD() int { return -1 }

// fakeDecider passes everything by way 1, but for what its functions say.
type fakeDecider struct {
	decide func(*Query, *Decision)
	wayTo  func() uint32
	own    uint32
	freed  int
}

func (d *fakeDecider) Decide(q *Query, a *Decision) {
	a.Way, a.Reply = [2]uint32{1, 1}, q.Key.Reverse(0)
	if q.Key.Dst() == d.own {
		a.Self = true
	}
	if d.decide != nil {
		d.decide(q, a)
	}
}
func (d *fakeDecider) Reverse(uint32, uint16) bool { return true }
func (d *fakeDecider) WayTo(uint32, uint16) uint32 {
	if d.wayTo != nil {
		return d.wayTo()
	}
	return 1
}
func (d *fakeDecider) Own(a uint32) bool                   { return a == d.own }
func (d *fakeDecider) OwnOn(_ uint16, a uint32) bool       { return a == d.own }
func (d *fakeDecider) Subnet(uint16, uint32) bool          { return true }
func (d *fakeDecider) Release(uint32, uint32, int64, bool) { d.freed++ }

// ownAddress is the gateway's in these tests.
const ownAddress = 0xc0000201

// testWorker has one port, with bare IP behind it, and the whole line.
func testWorker(d *fakeDecider) (*Worker, *fakeQueue) {
	d.own = ownAddress
	w := NewWorker(WorkerOptions{Of: 1, Sessions: 16, Secret: [3]uint64{1, 2, 3}, Log: slog.New(slog.DiscardHandler), Handed: 2, Line: []Step{
		{Name: "parse", Run: (*Worker).Parse}, {Name: "decap", Run: (*Worker).Decap}, {Name: "lookup", Run: (*Worker).Lookup},
		{Name: "forward", Run: (*Worker).Forward}, {Name: "exceptions", Run: (*Worker).Exceptions},
	}})
	table, err := neigh.New(neigh.Config{Capacity: 16})
	if err != nil {
		panic(err)
	}
	ways := NewWays()
	ways.Add(Way{MTU: 1500, Kind: PortPoint})
	w.SetPlan(&Plan{Decider: d, Generation: 1, Ports: []Port{{Kind: PortPoint, MTU: 1500, Up: true}}, HostPort: NoPort, Ways: ways, Neighbors: table,
		Timeouts: session.Timeouts{UDPNew: time.Minute}.Ticks()})
	q := &fakeQueue{room: 1 << 30}
	w.SetQueues([]link.Queue{q}, []bool{false})
	return w, q
}

// udp4 is a UDP packet from 198.51.100.1 to dst.
func udp4(dst uint32, sport uint16) []byte {
	b := plainFrame(flow.UDP, 4)[header.EthernetLen:]
	ip := header.IPv4(b)
	ip.SetSrc(0xc6336401)
	ip.SetDst(dst)
	header.UDP(b[20:]).SetSrcPort(sport)
	finishIP(ip)
	return b
}

func ping4(dst uint32) []byte {
	b := make([]byte, 28)
	copy(b, udp4(dst, 0)[:20])
	ip := header.IPv4(b)
	ip.SetTotalLen(28)
	ip.SetProtocol(flow.ICMP)
	finishIP(ip)
	c := header.ICMP(b[20:])
	c.SetType(header.ICMPEcho)
	c.SetChecksum(checksum.Of(c))
	return b
}

// TestPanicInADecision costs the packet, and what was being made of it: everything else
// of the batch goes its way, and everything is accounted for.
func TestPanicInADecision(t *testing.T) {
	const bad = 0xc6336499
	rows := map[string]struct {
		d    fakeDecider
		in   []byte
		lost uint64
	}{
		"deciding":  {fakeDecider{decide: func(q *Query, _ *Decision) { mustNot(q.Key.Dst() == bad) }}, udp4(bad, 1), 1},
		"answering": {fakeDecider{wayTo: func() uint32 { mustNot(true); return 0 }}, ping4(ownAddress), 1},
		"refusing": {fakeDecider{decide: func(q *Query, d *Decision) {
			if q.Key.Dst() == bad {
				d.Drop, d.Reject = drop.NoRoute, RejectNet
			}
		}, wayTo: func() uint32 { mustNot(true); return 0 }}, udp4(bad, 1), 2},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			w, q := testWorker(&r.d)
			for i := range uint16(10) {
				q.rx = append(q.rx, udp4(0xc6336402, 100+i))
				if i == 4 {
					q.rx = append(q.rx, r.in)
				}
			}
			p := w.Plan()
			p.Limits.ICMPPerSecond, p.Limits.ICMPBurst = 100, 100
			p.Ports[0].Addresses = []netip.Prefix{prefixOf(ownAddress)}
			if _, err := w.Poll(1e9); err != nil {
				t.Fatal(err)
			}
			c := &w.Counters
			if c.Panics.Load() != 1 || c.Drops[drop.WorkerPanic].Load() != r.lost || c.Dropped() != r.lost || c.Balance() != 0 || len(q.tx) != 10 {
				t.Errorf("%d panics, %d lost, %d dropped, balance %d, %d left; want 1, %d, %d, 0, 10",
					c.Panics.Load(), c.Drops[drop.WorkerPanic].Load(), c.Dropped(), c.Balance(), len(q.tx), r.lost, r.lost)
			}
		})
	}
}

func mustNot(fault bool) {
	if fault {
		panic("a fault")
	}
}

// TestFailedFlowsReleaseTheirMapping: the mapping that a decision holds is given back if
// there is no session to hold it.
func TestFailedFlowsReleaseTheirMapping(t *testing.T) {
	clash := flow.Make(0xc6336402, 0xc6336477, 53, 7, flow.UDP, 0)
	d := &fakeDecider{decide: func(q *Query, d *Decision) {
		d.Mapping, d.Rule[1] = 7, 1
		if q.Key.SrcPort() == 2 { // as 198.51.100.119:7, which another flow shows already
			d.Reply = clash
		}
	}}
	w, q := testWorker(d)
	q.rx = append(q.rx, udp4(0xc6336402, 2))
	_, _ = w.Poll(1e9)
	if w.sessions.Used() != 1 || d.freed != 0 {
		t.Fatalf("%d sessions, %d released; want 1 and 0", w.sessions.Used(), d.freed)
	}
	first := udp4(0xc6336403, 2) // another flow, to the same answers
	q.rx = append(q.rx, first)
	_, _ = w.Poll(2e9)
	if d.freed != 1 || w.Counters.Drops[drop.SessionClash].Load() != 1 {
		t.Errorf("clash: %d released, %d dropped; want 1 and 1", d.freed, w.Counters.Drops[drop.SessionClash].Load())
	}
	for i := range uint16(20) {
		q.rx = append(q.rx, udp4(0xc6336402, 1000+i))
	}
	_, _ = w.Poll(2e9)
	full := w.Counters.Drops[drop.SessionTableFull].Load()
	if full != 5 || d.freed != 6 {
		t.Errorf("table full: %d dropped, %d released in all; want 5 and 6", full, d.freed)
	}
	_, _ = w.Poll(100e9)
	if d.freed != 22 || w.sessions.Used() != 0 {
		t.Errorf("after their time: %d released, %d sessions; want 22 and none", d.freed, w.sessions.Used())
	}
}

// TestManyPacketsOfOurOwn: a batch in which each packet draws an error uses each spare
// buffer once; more than there are go out in between.
func TestManyPacketsOfOurOwn(t *testing.T) {
	d := &fakeDecider{decide: func(_ *Query, d *Decision) { d.Drop, d.Reject = drop.NoRoute, RejectNet }}
	w, q := testWorker(d)
	p := w.Plan()
	p.Limits.ICMPPerSecond, p.Limits.ICMPBurst, p.Limits.ICMPPerDestination = 1e6, 1e5, 1e6
	p.Ports[0].Addresses = []netip.Prefix{prefixOf(ownAddress)}
	const n = 3 * packet.BatchSize
	for i := range uint16(n) {
		b := udp4(0xc6336402, i)
		header.IPv4(b).SetSrc(0xc6336500 + uint32(i))
		finishIP(header.IPv4(b))
		q.rx = append(q.rx, b)
	}
	for range 4 {
		_, _ = w.Poll(1e9)
	}
	if len(q.tx) != n {
		t.Fatalf("%d errors left; want %d", len(q.tx), n)
	}
	for i, f := range q.tx {
		ip := header.IPv4(f)
		if got := header.UDP(f[20+8+20:]).SrcPort(); got != uint16(i) || ip.Dst() != 0xc6336500+uint32(i) || checksum.Of(f[20:]) != 0 {
			t.Fatalf("error %d: to %#x about port %d", i, ip.Dst(), got)
		}
	}
	if w.Counters.Made.Load() != n || w.Counters.Balance() != 0 {
		t.Errorf("got %d made, balance %d; want %d and 0", w.Counters.Made.Load(), w.Counters.Balance(), n)
	}
}

// TestRefusedByTheDevice: what it does not take is dropped, counted as nothing sent.
func TestRefusedByTheDevice(t *testing.T) {
	w, q := testWorker(&fakeDecider{})
	q.room = 3
	for i := range uint16(10) {
		q.rx = append(q.rx, udp4(0xc6336402, i))
	}
	_, _ = w.Poll(1e9)
	c, port := &w.Counters, w.PortCount(0)
	if c.Sent.Load() != 3 || c.Drops[drop.TxRefused].Load() != 7 || c.Balance() != 0 || port.Tx.Load() != 3 || port.TxBytes.Load() != 3*32 {
		t.Errorf("got %d sent, %d refused, balance %d; the port %d, %d bytes", c.Sent.Load(), c.Drops[drop.TxRefused].Load(), c.Balance(), port.Tx.Load(), port.TxBytes.Load())
	}
}

// TestPollEnds with the last of its queues.
func TestPollEnds(t *testing.T) {
	w, q := testWorker(&fakeDecider{})
	q.rx, q.end = [][]byte{udp4(0xc6336402, 1)}, true
	if busy, err := w.Poll(1e9); !busy || err != nil {
		t.Errorf("first: got %v, %v; want busy", busy, err)
	}
	if busy, err := w.Poll(2e9); busy || err != io.EOF {
		t.Errorf("then: got %v, %v; want io.EOF", busy, err)
	}
}

// TestWays: equal ways are one, and there is an end to them.
func TestWays(t *testing.T) {
	ways := NewWays()
	a, b := ways.Add(Way{NextHop: 1, MTU: 1500}), ways.Add(Way{NextHop: 2, MTU: 1500})
	if a == 0 || b == 0 || a == b || ways.Add(Way{NextHop: 1, MTU: 1500}) != a {
		t.Errorf("got %d and %d", a, b)
	}
	all := ways.All()
	for i := range uint32(2 * maxWays) {
		ways.Add(Way{NextHop: i, MTU: 1400})
	}
	if got := len(ways.All()); got != maxWays {
		t.Errorf("got %d ways; want %d", got, maxWays)
	}
	if ways.Add(Way{NextHop: 5, MTU: 77}) != 0 {
		t.Error("one more was taken")
	}
	if len(all) != 3 || all[a].NextHop != 1 || ways.All()[b].NextHop != 2 {
		t.Error("what was read before has changed")
	}
}

func prefixOf(a uint32) netip.Prefix { return netip.PrefixFrom(netAddr(a), 24) }
