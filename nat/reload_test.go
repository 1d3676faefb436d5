package nat

import (
	"fmt"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// A reload compiles new rules over live mappings; each session then asks Keep.

func TestKeep(t *testing.T) {
	base := pool("198.51.100.8", "198.51.100.11")
	with := func(change func(*Source)) Section {
		s := base
		change(&s)
		return sourceOnly(s)
	}
	static := Section{Sources: []Source{base}, Destinations: []Destination{{
		Name: "web", To: pfx("198.51.100.8/30"), Protos: []uint8{flow.UDP}, Ports: []PortRange{{40000, 40000}}, New: pfx("10.0.0.9/32")[0],
	}}}
	for name, row := range map[string]struct {
		s    Section
		want bool
	}{
		"same rules":             {sourceOnly(base), true},
		"renamed":                {with(func(s *Source) { s.Name = "new" }), true},
		"pool grown":             {with(func(s *Source) { s.Addresses = []AddrRange{addrs("198.51.100.0", "198.51.100.99")} }), true},
		"pool moved":             {with(func(s *Source) { s.Addresses = []AddrRange{addrs("192.0.2.8", "192.0.2.11")} }), false},
		"port out of range":      {with(func(s *Source) { s.Ports = PortRange{1024, 39999} }), false},
		"port still in range":    {with(func(s *Source) { s.Ports = PortRange{1024, 40000} }), true},
		"now a masquerade":       {sourceOnly(masquerade()), false},
		"now exempt":             {sourceOnly(Source{Name: "x", Kind: Exempt}), false},
		"port became static":     {static, false},
		"filter widened":         {with(func(s *Source) { s.Filtering = EndpointIndependent }), true},
		"now one-to-one":         {Section{OneToOne: []OneToOne{{Name: "o", Outside: pfx("198.51.100.8/32")[0], Inside: pfx("10.0.0.1/32")[0]}}}, false},
		"rule of the same range": {Section{Sources: []Source{{Name: "a", Kind: Pool, Addresses: base.Addresses}, base}}, true},
	} {
		st, r := newTest(t, sourceOnly(base))
		f := udp(alice, 40000, server, 53)
		tr := mapFlow(t, st, r, f, 0)
		r2 := compileFor(t, st, row.s)
		rule := r2.Source(f, outsidePort)
		if got := st.MayKeep(tr.Handle, rule, f, wan); got != row.want {
			t.Errorf("%s: got may be kept %v; want %v", name, got, row.want)
		}
		if m, ok := st.Lookup(tr.Handle); !ok || m.Rule != "pool" {
			t.Errorf("%s: got %+v after a preview; want the mapping under its old rule", name, m)
		}
		if got := st.Keep(tr.Handle, rule, f, wan); got != row.want {
			t.Errorf("%s: got kept %v; want %v", name, got, row.want)
		}
		if row.want {
			if got := mapFlow(t, st, r2, udp(alice, 40000, server2, 53), 0); got != tr {
				t.Errorf("%s: a new flow gets %+v; want %+v as the kept one", name, got, tr)
			}
			if n := rule.Counters().Active.Load(); n != 1 {
				t.Errorf("%s: got %d active mappings of the new rule; want 1", name, n)
			}
		}
	}
}

func TestMasqueradeFollowsTheAddress(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 40000, server, 53)
	old := mapFlow(t, st, r, f, 0)
	moved := ip("198.51.100.99")
	rule := r.Source(f, outsidePort)
	if st.Keep(old.Handle, rule, f, moved) {
		t.Error("a mapping stays on an address that went")
	}
	tr, reason := st.Map(rule, f, moved, 0)
	if reason != drop.None {
		t.Fatal(reason)
	}
	wantOutside(t, tr, moved, 40000)
	// Two ports with an address each: both mappings live side by side.
	if again := mapFlow(t, st, r, udp(alice, 40000, server2, 53), 0); again != old {
		t.Errorf("got %+v by the first port; want %+v", again, old)
	}
	st.Release(old.Handle, server, 0, true)
	st.Release(old.Handle, server2, 0, true)
	if again, _ := st.Map(rule, f, moved, 0); again != tr {
		t.Errorf("got %+v by the second port; want %+v", again, tr)
	}
}

func TestPairedAddressSurvivesGrownPool(t *testing.T) {
	st, r := newTest(t, sourceOnly(pool("198.51.100.8", "198.51.100.11")))
	var before []Translation
	for n := range uint32(50) {
		before = append(before, mapFlow(t, st, r, udp(alice+n, 40000, server, 53), 0))
	}
	r = compileFor(t, st, sourceOnly(pool("198.51.100.0", "198.51.100.31")))
	for n := range uint32(50) {
		if got := mapFlow(t, st, r, udp(alice+n, 41000, server, 53), 0); got.Addr != before[n].Addr {
			t.Errorf("host %d moved from %08x to %08x", n, before[n].Addr, got.Addr)
		}
	}
}

func TestFilterOfAReload(t *testing.T) {
	s := masquerade()
	st, r := newTest(t, sourceOnly(s))
	f := udp(alice, 40000, server, 53)
	tr := mapFlow(t, st, r, f, 0)
	stranger := udp(server2, 1, tr.Addr, tr.Port)
	set := func(filter Filtering) {
		s.Filtering = filter
		r = compileFor(t, st, sourceOnly(s))
		if !st.Keep(tr.Handle, r.Source(f, outsidePort), f, wan) {
			t.Fatal("a changed filter ends the mapping")
		}
	}
	set(EndpointIndependent)
	if got, _ := st.Inbound(stranger); got.Handle != tr.Handle {
		t.Error("a filter opened by reload stays shut")
	}
	set(AddressAndPortDependent)
	if _, reason := st.Inbound(stranger); reason != drop.NATFiltered {
		t.Errorf("a filter shut by reload answers %v", reason)
	}
	set(AddressDependent)
	if _, reason := st.Inbound(udp(server, 1, tr.Addr, tr.Port)); reason != drop.NATFiltered {
		t.Errorf("a mapping whose sessions were not counted answers %v", reason)
	}
	set(EndpointIndependent)
	compileFor(t, st, Section{})
	if _, reason := st.Inbound(stranger); reason != drop.NATFiltered {
		t.Errorf("a mapping whose rule went answers %v", reason)
	}
}

func TestCountersGoByNameAcrossReloads(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 40000, server, 53)
	r.Source(f, outsidePort).Hit()
	mapFlow(t, st, r, f, 0)
	r = compileFor(t, st, Section{Sources: []Source{{Name: "first", Kind: Exempt, To: pfx("192.0.2.0/24")}, masquerade()}})
	c := r.Source(f, outsidePort).Counters()
	c2 := r.All()[0].Counters()
	if c.Hits.Load() != 1 || c.Active.Load() != 1 || c2.Hits.Load() != 0 {
		t.Errorf("got %d hits, %d active, %d hits of a new rule; want 1, 1, 0", c.Hits.Load(), c.Active.Load(), c2.Hits.Load())
	}
}

func TestRulesBeforeAReloadMayStillMap(t *testing.T) {
	st, old := newTest(t, sourceOnly(masquerade()))
	s := masquerade()
	s.Name = "new"
	compileFor(t, st, sourceOnly(s))
	mapFlow(t, st, old, udp(alice, 40000, server, 53), 0)
	for m := range st.Mappings() {
		if m.Rule != "masq" {
			t.Errorf("got rule %q for a mapping by the rules before; want masq", m.Rule)
		}
	}
}

func TestManyReloadsWithNewNamesDoNotGrow(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 40000, server, 53)
	tr := mapFlow(t, st, r, f, 0)
	for n := range 500 {
		s := masquerade()
		s.Name = fmt.Sprint("r", n)
		compileFor(t, st, sourceOnly(s))
	}
	if n := len(*st.slots.Load()); n > 8 {
		t.Errorf("got counters of %d names after 500 reloads; want a few", n)
	}
	for m := range st.Mappings() {
		if m.Handle != tr.Handle || m.Rule != "masq" || m.Sessions != 1 {
			t.Errorf("got %+v; want the mapping under its old rule", m)
		}
	}
}

func TestFindChangesNothing(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 40000, server, 53)
	rule := r.Source(f, outsidePort)
	if tr, ok := st.Find(rule, f, wan); ok {
		t.Errorf("got %+v before the first mapping", tr)
	}
	want := mapFlow(t, st, r, f, 0)
	if tr, ok := st.Find(rule, udp(alice, 40000, server2, 1), wan); !ok || tr != want {
		t.Errorf("got %+v, %v; want %+v", tr, ok, want)
	}
	st.Release(want.Handle, server, 0, true)
	if n := st.Stats().Mappings; n != 0 {
		t.Errorf("got %d mappings; want none: to find is not to hold", n)
	}
	if m, ok := st.Lookup(want.Handle); ok {
		t.Errorf("got %+v of a mapping that ended", m)
	}
}

func TestOutsideEndpointIsComparedWhole(t *testing.T) {
	s := masquerade()
	s.Filtering = EndpointIndependent
	st, r := newTest(t, sourceOnly(s))
	tr := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	if _, _, ok := st.admit(tr.Handle, flow.Make(wan, 0, 40001, 0, flow.UDP, 1), server); ok {
		t.Error("a mapping whose hash collides is taken for another")
	}
}

func TestAnnounces(t *testing.T) {
	_, r := newTest(t, Section{
		Sources:      []Source{pool("198.51.100.8", "198.51.100.9"), masquerade()},
		OneToOne:     []OneToOne{{Name: "o", Outside: pfx("198.51.100.16/30")[0], Inside: pfx("10.0.0.0/30")[0]}},
		Destinations: []Destination{{Name: "d", To: pfx("198.51.100.1/32"), New: pfx("10.0.0.9/32")[0]}},
	})
	for a, want := range map[string]bool{
		"198.51.100.8": true, "198.51.100.9": true, "198.51.100.10": false, "198.51.100.1": false,
		"198.51.100.16": true, "198.51.100.19": true, "198.51.100.20": false,
	} {
		if got := r.Announces(ip(a)); got != want {
			t.Errorf("%s: got %v; want %v", a, got, want)
		}
	}
}
