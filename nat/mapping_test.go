package nat

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

func TestN2AddressPoolingPaired(t *testing.T) {
	st, r := newTest(t, sourceOnly(pool("198.51.100.8", "198.51.100.15")))
	used := map[uint32]bool{}
	for host := range uint32(64) {
		first := mapFlow(t, st, r, udp(alice+host, 5000, server, 53), 0)
		used[first.Addr] = true
		for n := range uint16(20) {
			f := udp(alice+host, 5001+n, server+uint32(n), 53)
			if n%2 == 0 {
				f.Proto = flow.TCP
			}
			if got := mapFlow(t, st, r, f, 0); got.Addr != first.Addr {
				t.Fatalf("host %d: got outside %08x and %08x", host, first.Addr, got.Addr)
			}
		}
	}
	if len(used) < 6 {
		t.Errorf("64 hosts use %d of 8 addresses; want them spread", len(used))
	}
}

func TestN2PairingIsStrictWhenTheAddressIsFull(t *testing.T) {
	s := pool("198.51.100.8", "198.51.100.9")
	s.Ports = PortRange{40000, 40001}
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	mapFlow(t, st, r, udp(alice, 40001, server, 53), 0)
	if _, reason := tryMap(t, st, r, udp(alice, 40002, server, 53), 0); reason != drop.NATPortsExhausted {
		t.Errorf("third port of a host: got %v; want %v", reason, drop.NATPortsExhausted)
	}
	for n := range uint16(2) {
		if b := mapFlow(t, st, r, udp(bob, 40000+n, server, 53), 0); b.Addr == a.Addr {
			t.Errorf("another host got the full address")
		}
	}
}

func TestN2HostsWithoutMappingsFindRoomInTheWholePool(t *testing.T) {
	s := pool("198.51.100.0", "198.51.100.63")
	s.Ports = PortRange{40000, 40001}
	st, r := newTest(t, sourceOnly(s))
	for n := range uint32(100) {
		if _, reason := tryMap(t, st, r, udp(alice+n, 40000, server, 53), 0); reason != drop.None {
			t.Errorf("host %d of 100 on 128 ports: got %v", n, reason)
		}
	}
}

// N6: contiguity is not promised, so nothing is tested for it.

func TestN7OutsidePortsAreHardToGuess(t *testing.T) {
	draw := func(seed byte) map[uint16]bool {
		st := New(Config{Seed: [32]byte{seed}})
		r := compileFor(t, st, sourceOnly(masquerade()))
		ports := map[uint16]bool{}
		for host := range uint32(1001) {
			ports[mapFlow(t, st, r, udp(alice+host, 40000, server, 53), 0).Port] = true
		}
		return ports
	}
	one, two := draw(1), draw(2)
	var buckets [63]int
	both := 0
	for p := range one {
		buckets[(p-1024)>>10]++
		if two[p] {
			both++
		}
	}
	for i, n := range buckets {
		if n == 0 || n > 50 {
			t.Errorf("ports from %d: got %d of 1,000 mappings; want about 16", 1024+i<<10, n)
		}
	}
	if both > 100 {
		t.Errorf("two seeds share %d of 1,000 ports; want about 31", both)
	}
}

func TestN11BehaviorDoesNotChangeWithLoad(t *testing.T) {
	s := masquerade()
	s.Ports = PortRange{1000, 1099} // 24 low ports, 76 high
	st, r := newTest(t, sourceOnly(s))
	for n := range uint32(24) {
		mapFlow(t, st, r, udp(alice+n, 500, server, 53), 0)
	}
	if _, reason := tryMap(t, st, r, udp(alice+99, 500, server, 53), 0); reason != drop.NATPortsExhausted {
		t.Errorf("low ports used up: got %v; want no way into the high ones", reason)
	}
	first := mapFlow(t, st, r, udp(alice, 500, server2, 99), 0)
	if again := mapFlow(t, st, r, udp(alice, 500, server, 53), 0); again != first {
		t.Errorf("got %+v under exhaustion; want the mapping %+v", again, first)
	}
}

func TestN13Filtering(t *testing.T) {
	none := [3]bool{}
	for filter, want := range map[Filtering][3]bool{
		AddressAndPortDependent: none,
		AddressDependent:        {true, true, false},
		EndpointIndependent:     {true, true, true},
	} {
		s := masquerade()
		s.Filtering = filter
		st, r := newTest(t, sourceOnly(s))
		tr := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
		for i, from := range []Flow{
			udp(server, 53, tr.Addr, tr.Port), udp(server, 9999, tr.Addr, tr.Port), udp(server2, 53, tr.Addr, tr.Port),
		} {
			got, reason := st.Inbound(from)
			if admitted := got.Handle != 0; admitted != want[i] {
				t.Errorf("%v, remote %d: got %+v, %v; want admitted %v", filter, i, got, reason, want[i])
			} else if admitted && (got.Addr != alice || got.Port != 40000 || reason != drop.None) {
				t.Errorf("%v, remote %d: got inside %+v, %v", filter, i, got, reason)
			} else if !admitted && want != none && reason != drop.NATFiltered {
				t.Errorf("%v, remote %d: got %v; want %v", filter, i, reason, drop.NATFiltered)
			}
		}
		if got, reason := st.Inbound(udp(server, 53, tr.Addr, tr.Port+1)); got.Handle != 0 || reason != drop.None {
			t.Errorf("%v: got %+v, %v for a port without mapping", filter, got, reason)
		}
	}
}

func TestN13AddressDependentHoleClosesWithItsLastSession(t *testing.T) {
	s := masquerade()
	s.Filtering = AddressDependent
	st, r := newTest(t, sourceOnly(s))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	mapFlow(t, st, r, udp(alice, 40000, server2, 53), 0)
	st.Release(a.Handle, server, 0, false)
	if _, reason := st.Inbound(udp(server, 53, a.Addr, a.Port)); reason != drop.NATFiltered {
		t.Errorf("got %v from a remote without sessions; want %v", reason, drop.NATFiltered)
	}
	if got, _ := st.Inbound(udp(server2, 53, a.Addr, a.Port)); got.Handle != a.Handle {
		t.Errorf("got %+v from the other remote; want the mapping", got)
	}
}

func TestN14Hairpin(t *testing.T) {
	sec := Section{
		Sources: []Source{masquerade()},
		Destinations: []Destination{{
			Name: "web", In: Links(outsidePort), To: pfx("198.51.100.1/32"), Protos: []uint8{flow.TCP},
			Ports: []PortRange{{80, 80}}, New: pfx("10.0.0.2/32")[0], Hairpin: true,
		}},
		OneToOne: []OneToOne{{
			Name: "one", Outside: pfx("198.51.100.7/32")[0], Inside: pfx("10.0.0.7/32")[0], Links: Links(outsidePort), Hairpin: true,
		}},
	}
	st, r := newTest(t, sec)
	f := tcp(alice, 40000, wan, 80)
	to, ok := r.Destination(f)
	if !ok || to.Addr != bob || !to.Hairpin {
		t.Fatalf("got %+v, %v; want a hairpin to the server", to, ok)
	}
	after := f
	after.Dst, after.DstPort = to.Addr, to.Port
	tr, reason := st.Map(r.HairpinSource(f), after, wan, 0)
	if reason != drop.None {
		t.Fatal(reason)
	}
	// The mapping is the one that the client shows to the whole world.
	wantOutside(t, tr, wan, 40000)
	if out := mapFlow(t, st, r, tcp(alice, 40000, server, 443), 0); out != tr {
		t.Errorf("got %+v outside; want %+v as in the hairpin", out, tr)
	}
	// A one-to-one host shows its own address.
	f.Src = ip("10.0.0.7")
	own, _ := st.Map(r.HairpinSource(f), f, wan, 0)
	wantOutside(t, own, ip("198.51.100.7"), 40000)
	if to, ok = r.Destination(tcp(alice, 1, ip("198.51.100.7"), 22)); !ok || !to.Hairpin {
		t.Errorf("one-to-one: got %+v, %v; want a hairpin", to, ok)
	}
	f.In = outsidePort
	if to, _ = r.Destination(f); to.Hairpin {
		t.Error("a packet from outside is called a hairpin")
	}
	sec.Destinations[0].Hairpin = false
	if to, ok = compileFor(t, st, sec).Destination(tcp(alice, 40000, wan, 80)); ok {
		t.Errorf("got %+v with hairpin off", to)
	}
}

func TestN14HairpinWithoutSourceRule(t *testing.T) {
	st, r := newTest(t, Section{})
	tr, reason := st.Map(r.HairpinSource(tcp(alice, 40000, wan, 80)), tcp(alice, 40000, bob, 80), wan, 0)
	if reason != drop.None {
		t.Fatal(reason)
	}
	wantOutside(t, tr, wan, 40000)
}

func TestN14HairpinBetweenMappings(t *testing.T) {
	s := masquerade()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	b := mapFlow(t, st, r, udp(bob, 50000, server, 53), 0)
	f := udp(alice, 40000, b.Addr, b.Port)
	a, _ := st.Map(r.HairpinSource(f), f, wan, 0)
	got, reason := st.Inbound(udp(a.Addr, a.Port, b.Addr, b.Port))
	if reason != drop.None || got.Addr != bob || got.Port != 50000 {
		t.Errorf("got %+v, %v; want the other inside host", got, reason)
	}
}

func TestN17NoTranslationWithoutRule(t *testing.T) {
	s := masquerade()
	s.From = pfx("10.0.0.0/24")
	_, r := newTest(t, sourceOnly(s))
	if rule := r.Source(udp(ip("10.0.1.1"), 1, server, 1), outsidePort); rule != nil {
		t.Errorf("got rule %q for a source of no rule", rule.Name)
	}
	if rule := r.Source(udp(alice, 1, server, 1), insidePort); rule != nil {
		t.Errorf("got rule %q on a port of no rule", rule.Name)
	}
}

func TestN18BurstOfFirstPacketsMakesOneMapping(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	const workers, rounds = 8, 500
	got := [workers][rounds]Translation{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				f := udp(alice+uint32(n%5), uint16(40000+n), server+uint32(w), 53)
				got[w][n], _ = st.Map(r.Source(f, outsidePort), f, wan, 0)
			}
		})
	}
	wg.Wait()
	for w := range workers {
		if got[w] != got[0] {
			t.Fatalf("workers 0 and %d made different mappings", w)
		}
	}
	if n := st.Stats().Mappings; n != rounds {
		t.Errorf("got %d mappings; want %d", n, rounds)
	}
}

func TestN19MappingsNeverTakeReservedTuples(t *testing.T) {
	st, r := newTest(t, Section{
		Sources: []Source{masquerade()},
		Destinations: []Destination{{
			Name: "web", To: pfx("198.51.100.0/29"), Protos: []uint8{flow.TCP, flow.UDP},
			Ports: []PortRange{{40000, 40009}}, New: pfx("10.0.0.2/32")[0],
		}},
		OneToOne: []OneToOne{{Name: "one", Outside: pfx("198.51.100.7/32")[0], Inside: pfx("10.0.0.7/32")[0]}},
		Reserved: []Reserved{
			{Proto: flow.UDP, Ports: PortRange{500, 500}},
			{Addr: netip.MustParseAddr("198.51.100.1"), Proto: flow.UDP, Ports: PortRange{4500, 4500}},
		},
	})
	for _, port := range []uint16{500, 4500, 40000, 40009} {
		tr := mapFlow(t, st, r, udp(alice, port, server, 53), 0)
		if tr.Port == port {
			t.Errorf("a mapping took port %d", port)
		}
		if tr.Port >= 40000 && tr.Port <= 40009 {
			t.Errorf("port %d: got static port %d", port, tr.Port)
		}
	}
	wantOutside(t, mapFlow(t, st, r, udp(alice, 40010, server, 53), 0), wan, 40010)
	wantOutside(t, mapFlow(t, st, r, tcp(alice, 500, server, 53), 0), wan, 500)
	f := udp(alice, 7, server, 53)
	if _, reason := st.Map(r.Source(f, outsidePort), f, ip("198.51.100.7"), 0); reason != drop.NATPortsExhausted {
		t.Errorf("got %v on a one-to-one address; want %v", reason, drop.NATPortsExhausted)
	}
	g := other(flow.GRE, alice, server)
	if _, reason := st.Map(r.Source(g, outsidePort), g, ip("198.51.100.7"), 0); reason != drop.NATPortsExhausted {
		t.Errorf("GRE: got %v on a one-to-one address; want %v", reason, drop.NATPortsExhausted)
	}
}

func TestN29ICMPQueriesByIdentifier(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	a := mapFlow(t, st, r, icmp(alice, 77, server), 0)
	wantOutside(t, a, wan, 77)
	if again := mapFlow(t, st, r, icmp(alice, 77, server2), 0); again != a {
		t.Errorf("got %+v to a second destination; want %+v", again, a)
	}
	if b := mapFlow(t, st, r, icmp(bob, 77, server), 0); b.Port == 77 {
		t.Error("two hosts share an outside identifier")
	}
	wantOutside(t, mapFlow(t, st, r, icmp(alice, 0, server), 0), wan, 0)
	wantOutside(t, mapFlow(t, st, r, udp(alice, 77, server, 53), 0), wan, 77)
}

func TestTwiceNAT(t *testing.T) {
	s := masquerade()
	s.Name, s.Out, s.To = "in", Links(insidePort), pfx("10.0.0.2/32")
	st, r := newTest(t, Section{
		Sources: []Source{s},
		Destinations: []Destination{{
			Name: "web", In: Links(outsidePort), To: pfx("198.51.100.1/32"), New: pfx("10.0.0.2/32")[0],
		}},
	})
	f := tcp(server, 5555, wan, 80)
	f.In = outsidePort
	to, _ := r.Destination(f)
	f.Dst = to.Addr
	gateway := ip("10.0.0.254")
	tr, reason := st.Map(r.Source(f, insidePort), f, gateway, 0)
	if reason != drop.None {
		t.Fatal(reason)
	}
	wantOutside(t, tr, gateway, 5555)
}

func TestNATOutgoing(t *testing.T) {
	s, ok := NATOutgoing("nat-outgoing", 1, nil, []IPPool{
		{CIDR: pfx("172.30.0.0/16")[0], NATOutgoing: true},
		{CIDR: pfx("172.31.0.0/16")[0]},
		{CIDR: pfx("192.0.2.0/24")[0], Disabled: true},
	})
	if !ok {
		t.Fatal("got no rule")
	}
	_, r := newTest(t, sourceOnly(s))
	for _, row := range []struct {
		src, dst string
		want     bool
	}{
		{"172.30.1.1", "203.0.113.1", true},
		{"172.30.1.1", "172.30.2.2", false},
		{"172.30.1.1", "172.31.2.2", false},
		{"172.30.1.1", "192.0.2.1", false},
		{"172.31.1.1", "203.0.113.1", false},
		{"10.0.0.1", "203.0.113.1", false},
	} {
		if got := r.Source(udp(ip(row.src), 1, ip(row.dst), 1), 0) != nil; got != row.want {
			t.Errorf("%s to %s: got translated %v; want %v", row.src, row.dst, got, row.want)
		}
	}
	if _, ok := NATOutgoing("none", 1, nil, []IPPool{{CIDR: pfx("172.31.0.0/16")[0]}}); ok {
		t.Error("got a rule without a pool that asks for it")
	}
}

func TestNoAllocsPerMapping(t *testing.T) {
	st, r := newTest(t, sourceOnly(pool("198.51.100.8", "198.51.100.15")))
	c := rand.New(rand.NewPCG(1, 1))
	churn := func() {
		f := udp(alice+c.Uint32N(100), uint16(c.Uint32()), server+c.Uint32N(100), 443)
		tr, _ := st.Map(r.Source(f, outsidePort), f, wan, 0)
		st.Release(tr.Handle, f.Dst, 0, true)
	}
	for range 20_000 {
		churn()
	}
	if n := testing.AllocsPerRun(10_000, churn); n > 0 {
		t.Errorf("got %v allocations for a mapping; want 0", n)
	}
}
