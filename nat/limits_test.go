package nat

import (
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// twoPorts is a pool of two outside ports.
func twoPorts() Source {
	s := pool("198.51.100.8", "198.51.100.8")
	s.Ports = PortRange{40000, 40001}
	return s
}

func TestN50PerSubscriberLimit(t *testing.T) {
	s := masquerade()
	s.MaxPorts = 3
	st, r := newTest(t, sourceOnly(s))
	var last Translation
	for n := range uint16(3) {
		last = mapFlow(t, st, r, udp(alice, 5000+n, server, 53), 0)
	}
	if _, reason := tryMap(t, st, r, udp(alice, 6000, server, 53), 0); reason != drop.NATLimit {
		t.Fatalf("fourth UDP mapping: got %v; want %v", reason, drop.NATLimit)
	}
	mapFlow(t, st, r, udp(alice, 5000, server2, 53), 0) // no new mapping
	mapFlow(t, st, r, tcp(alice, 6000, server, 53), 0)  // another protocol
	mapFlow(t, st, r, udp(bob, 6000, server, 53), 0)    // another host
	st.Release(last.Handle, server, 0, true)
	mapFlow(t, st, r, udp(alice, 6000, server, 53), 0)
	if got := r.Source(udp(alice, 1, server, 1), outsidePort).Counters(); got.Refused.Load() != 1 || got.Exhausted.Load() != 0 {
		t.Errorf("got %d refused, %d exhausted; want 1, 0", got.Refused.Load(), got.Exhausted.Load())
	}
}

func TestN51ExhaustionRefusesAndNeverEvicts(t *testing.T) {
	st, r := newTest(t, sourceOnly(twoPorts()))
	var kept [2]Translation
	for n := range kept {
		kept[n] = mapFlow(t, st, r, udp(alice, uint16(40000+n), server, 53), 0)
	}
	const flood = 100_000
	before := st.Stats().WordsLooked
	for n := range uint32(flood) {
		if _, reason := tryMap(t, st, r, udp(bob+n>>12, uint16(n), server, 53), int64(n)*second); reason != drop.NATPortsExhausted {
			t.Fatalf("flood: got %v; want %v", reason, drop.NATPortsExhausted)
		}
	}
	if words := st.Stats().WordsLooked - before; words > 2*flood {
		t.Errorf("%d refused flows looked at %d words of ports; want at most 2 each", flood, words)
	}
	for n, want := range kept {
		if got := mapFlow(t, st, r, udp(alice, uint16(40000+n), server2, 53), 0); got != want {
			t.Errorf("after the flood: got %+v; want %+v", got, want)
		}
	}
	c := r.Source(udp(alice, 1, server, 1), outsidePort).Counters()
	if c.Active.Load() != 2 || c.Refused.Load() != flood || c.Exhausted.Load() != flood {
		t.Errorf("got %d active, %d refused, %d exhausted", c.Active.Load(), c.Refused.Load(), c.Exhausted.Load())
	}
	if n := st.Stats().Mappings; n != 2 {
		t.Errorf("got %d mappings; want 2", n)
	}
}

func TestN51FullTableRefuses(t *testing.T) {
	st := New(Config{Mappings: 10})
	r := compileFor(t, st, sourceOnly(masquerade()))
	for n := range uint16(10) {
		mapFlow(t, st, r, udp(alice, 1024+n, server, 53), 0)
	}
	if _, reason := tryMap(t, st, r, udp(alice, 2000, server, 53), 0); reason != drop.NATTableFull {
		t.Errorf("got %v; want %v", reason, drop.NATTableFull)
	}
}

func TestN51FloodOfAFullPoolIsBounded(t *testing.T) {
	s := pool("198.51.100.0", "198.51.100.255")
	s.Ports = PortRange{40000, 40001}
	st, r := newTest(t, sourceOnly(s))
	for n := range uint32(20_000) {
		tryMap(t, st, r, udp(alice+n, 40000, server, 53), 0)
	}
	if n := st.Stats().Mappings; n != 512 {
		t.Fatalf("got %d mappings on 512 tuples", n)
	}
	const flood = 1000
	before := st.Stats().WordsLooked
	for n := range uint32(flood) {
		tryMap(t, st, r, udp(bob+n, 50000, server, 53), 0)
	}
	if words := st.Stats().WordsLooked - before; words > 2*maxOffers*flood {
		t.Errorf("got %d words for %d flows; want at most 2 for each of %d offers", words, flood, maxOffers)
	}
	if n := heldPairs(&st.hosts); n > 512 {
		t.Errorf("got %d subscribers; refused ones must not stay", n)
	}
}

func heldPairs(x *pairs) int {
	n := 0
	for i := range x.parts {
		n += x.parts[i].held
	}
	return n
}

func TestN52FreedPortRests(t *testing.T) {
	s := twoPorts()
	s.Filtering = EndpointIndependent
	for name, row := range map[string]struct {
		closed bool
		at     int64 // milliseconds after the release
		want   drop.Reason
	}{
		"closed by TCP":       {true, 0, drop.None},
		"timed out":           {false, 0, drop.NATPortsExhausted},
		"timed out, 119.9 s":  {false, 119_900, drop.NATPortsExhausted},
		"timed out, 2 min on": {false, 121_100, drop.None},
	} {
		st, r := newTest(t, sourceOnly(s))
		a := mapFlow(t, st, r, tcp(alice, 40000, server, 53), 0)
		mapFlow(t, st, r, tcp(alice, 40001, server, 53), 0)
		const freed = 10*second + 900*second/1000
		st.Release(a.Handle, server, freed, row.closed)
		now := freed + row.at*second/1000
		st.Expire(now)
		if _, reason := tryMap(t, st, r, tcp(bob, 50000, server, 53), now); reason != row.want {
			t.Errorf("%s: got %v; want %v", name, reason, row.want)
		}
	}
}

func TestN52OneUnprovenSessionIsEnoughToRest(t *testing.T) {
	s := twoPorts()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, tcp(alice, 40000, server, 53), 0)
	mapFlow(t, st, r, tcp(alice, 40000, server2, 53), 0)
	st.Release(a.Handle, server, 0, false)
	st.Release(a.Handle, server2, 0, true)
	if got := st.Stats(); got.Resting != 1 {
		t.Errorf("got %+v; want one resting mapping", got)
	}
}

func TestN52InsideEndpointGetsItsRestingPortBack(t *testing.T) {
	s := masquerade()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	for round := range int64(5) {
		// Each round rests again from a later time, in the same place of the line.
		now := round * 100 * second
		st.Release(a.Handle, server, now, false)
		if _, reason := st.Inbound(udp(server, 53, a.Addr, a.Port)); reason != drop.None {
			t.Errorf("a resting mapping answers %v", reason)
		}
		st.Expire(now + 99*second)
		if got := mapFlow(t, st, r, udp(alice, 40000, server, 53), now+99*second); got != a {
			t.Fatalf("round %d: got %+v; want %+v back", round, got, a)
		}
	}
	st.Release(a.Handle, server, 500*second, false)
	st.Expire(619 * second)
	if n := st.Stats().Mappings; n != 1 {
		t.Errorf("got %d mappings after 119 s of rest; want 1", n)
	}
	st.Expire(622 * second)
	if got := st.Stats(); got.Mappings != 0 || got.Resting != 0 {
		t.Errorf("got %+v after the rest; want none", got)
	}
}

func TestN52MappingThatRestsAnewHoldsNobodyUp(t *testing.T) {
	s := masquerade()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	st.Release(a.Handle, server, 0, false)
	shard := &st.shards[a.Handle.shard()]
	for port := uint16(2000); shard.resting < 2; port++ {
		b := mapFlow(t, st, r, udp(bob, port, server, 53), second)
		st.Release(b.Handle, server, second, b.Handle.shard() != a.Handle.shard())
	}
	mapFlow(t, st, r, udp(alice, 40000, server, 53), 100*second)
	st.Release(a.Handle, server, 100*second, false)
	st.Expire(123 * second)
	if got := st.Stats(); got.Mappings != 1 {
		t.Errorf("got %+v; want only the mapping that rests since 100 s", got)
	}
}

func TestN52RestsOnAClockThatAnotherWorkerHasNotReached(t *testing.T) {
	s := masquerade()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 10*second)
	st.Release(a.Handle, server, 10*second, false)
	st.Expire(8 * second)
	if got := st.Stats(); got.Resting != 1 {
		t.Errorf("got %+v; want the mapping at rest", got)
	}
}

func TestN52PortBehindStrictFilterDoesNotRest(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	st.Release(a.Handle, server, 0, false)
	wantOutside(t, mapFlow(t, st, r, udp(bob, 40000, server, 53), 0), wan, 40000)
}

func TestN53Exemption(t *testing.T) {
	exempt := Source{Name: "no-nat", Kind: Exempt, To: pfx("10.8.0.0/16")}
	_, r := newTest(t, Section{Sources: []Source{exempt, masquerade()}})
	if rule := r.Source(udp(alice, 1, ip("10.8.1.1"), 1), outsidePort); rule == nil || rule.Kind != Exempt {
		t.Errorf("got %+v; want the exemption", rule)
	}
	if rule := r.Source(udp(alice, 1, server, 1), outsidePort); rule == nil || rule.Kind != Masquerade {
		t.Errorf("got %+v; want the masquerade", rule)
	}
	_, r = newTest(t, Section{OneToOne: []OneToOne{{
		Name: "one", Outside: pfx("198.51.100.7/32")[0], Inside: pfx("10.0.0.1/32")[0], NotRemote: pfx("10.8.0.0/16"),
	}}})
	if rule := r.Source(udp(alice, 1, ip("10.8.1.1"), 1), outsidePort); rule != nil {
		t.Errorf("got %q; want the one-to-one rule out of the way", rule.Name)
	}
	if to, ok := r.Destination(udp(ip("10.8.1.1"), 1, ip("198.51.100.7"), 1)); ok {
		t.Errorf("got %+v; want the one-to-one rule out of the way", to)
	}
}

func TestN54PoolWithGapsAndEmptyPool(t *testing.T) {
	s := pool("198.51.100.8", "198.51.100.9")
	s.Addresses = append(s.Addresses, addrs("192.0.2.255", "192.0.3.0"), addrs("198.51.100.9", "198.51.100.9"))
	st, r := newTest(t, sourceOnly(s))
	got := map[uint32]bool{}
	for n := range uint32(200) {
		got[mapFlow(t, st, r, udp(alice+n, 5000, server, 53), 0).Addr] = true
	}
	for _, a := range []string{"198.51.100.8", "198.51.100.9", "192.0.2.255", "192.0.3.0"} {
		if !got[ip(a)] {
			t.Errorf("200 hosts never show %s", a)
		}
		delete(got, ip(a))
	}
	if len(got) > 0 {
		t.Errorf("got addresses out of the pool: %v", got)
	}
	s.Addresses = nil
	st, r = newTest(t, sourceOnly(s))
	if _, reason := tryMap(t, st, r, udp(alice, 1, server, 1), 0); reason != drop.NATNoAddress {
		t.Errorf("empty pool: got %v; want %v", reason, drop.NATNoAddress)
	}
	st, r = newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 1, server, 1)
	if _, reason := st.Map(r.Source(f, outsidePort), f, 0, 0); reason != drop.NATNoAddress {
		t.Errorf("port without address: got %v; want %v", reason, drop.NATNoAddress)
	}
}

func TestN55LogsWithoutDestinations(t *testing.T) {
	var got []Event
	st := New(Config{Event: func(e Event) { got = append(got, e) }})
	s := masquerade()
	s.Log = true
	quiet := masquerade()
	quiet.Name, quiet.From = "quiet", pfx("10.0.0.2/32")
	r := compileFor(t, st, Section{Sources: []Source{quiet, s}})
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 5)
	mapFlow(t, st, r, udp(alice, 40000, server2, 53), 6)
	b := mapFlow(t, st, r, udp(bob, 40000, server, 53), 7)
	st.Release(a.Handle, server, 8, true)
	st.Release(a.Handle, server2, 9, true)
	st.Release(b.Handle, server, 9, true)
	if len(got) != 2 || !got[0].Began || got[0].At != 5 || got[1].Began || got[1].At != 9 {
		t.Fatalf("got %+v; want the beginning and the end of one mapping", got)
	}
	for _, e := range got {
		if e.Inside != alice || e.InPort != 40000 || e.Outside != wan || e.OutPort != a.Port || e.Remote != 0 || e.Rule != "masq" {
			t.Errorf("got %+v", e)
		}
	}
}

func TestN56OtherProtocolsByAddress(t *testing.T) {
	for _, proto := range []uint8{flow.SCTP, flow.GRE, flow.ESP, 253, 0, 255} {
		st, r := newTest(t, sourceOnly(masquerade()))
		a := mapFlow(t, st, r, other(proto, alice, server), 0)
		wantOutside(t, a, wan, 0)
		if again := mapFlow(t, st, r, other(proto, alice, server), 0); again != a {
			t.Errorf("protocol %d: got %+v again; want %+v", proto, again, a)
		}
		if _, reason := tryMap(t, st, r, other(proto, bob, server), 0); reason != drop.NATPortsExhausted {
			t.Errorf("protocol %d: a second host to the same remote: got %v", proto, reason)
		}
		mapFlow(t, st, r, other(proto, bob, server2), 0)
		st.Release(a.Handle, server, 0, false)
		st.Release(a.Handle, server, 0, false)
		mapFlow(t, st, r, other(proto, bob, server), 0)
	}
	// A pool gives the second host another address.
	st, r := newTest(t, sourceOnly(pool("198.51.100.8", "198.51.100.9")))
	a, b := mapFlow(t, st, r, other(flow.GRE, alice, server), 0), mapFlow(t, st, r, other(flow.GRE, bob, server), 0)
	if a.Addr == b.Addr {
		t.Errorf("two hosts speak GRE with one remote from %08x", a.Addr)
	}
}

func TestReleaseOfNothingIsCountedNotObeyed(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	st.Release(0, server, 0, true)
	st.Release(a.Handle, server, 0, true)
	st.Release(a.Handle, server, 0, true)
	if got := st.Stats(); got.Stray != 1 || got.Mappings != 0 {
		t.Errorf("got %+v; want 1 stray, no mapping", got)
	}
	wantOutside(t, mapFlow(t, st, r, udp(alice, 40000, server, 53), 0), wan, 40000)
}
