package fib

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// linear is the slow twin of Table.
type linear []Route

func (l linear) lookup(dst netip.Addr) *Route {
	var best *Route
	for i := range l {
		r := &l[i]
		if r.Prefix.Contains(dst) && (best == nil || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = r
		}
	}
	return best
}

func (l linear) without(p netip.Prefix) linear {
	return slices.DeleteFunc(slices.Clone(l), func(r Route) bool { return r.Prefix == p })
}

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func via(prefix string, hops ...Hop) Route {
	return Route{Prefix: netip.MustParsePrefix(prefix), Kind: Via, Hops: hops}
}

func hop(port uint16, via string) Hop {
	return Hop{Port: port, Via: netip.MustParseAddr(via), Tunnel: NoTunnel}
}

// random returns a route in 10.0.0.0/12, so that prefixes nest and collide.
func random(rnd *rand.Rand) Route {
	p, err := addr4(10<<24 | rnd.Uint32N(1<<20)).Prefix(12 + rnd.IntN(21))
	if err != nil {
		panic(err)
	}
	return Route{Prefix: p, Kind: Via, Line: rnd.Int(), Hops: []Hop{hop(uint16(rnd.IntN(4)), "192.0.2.1")}}
}

// same checks that table and twin agree on an address.
func same(t *testing.T, table *Table, twin linear, dst uint32) {
	t.Helper()
	got, want := table.Lookup(dst), twin.lookup(addr4(dst))
	switch {
	case got == nil && want == nil:
	case got == nil || want == nil:
		t.Fatalf("%v: got %v; want %v", addr4(dst), got, want)
	case got.Prefix != want.Prefix || got.Line != want.Line:
		t.Fatalf("%v: got %v; want %v", addr4(dst), got, want)
	}
}

func TestLookupAgreesWithLinearSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	b, twin := NewBuilder(), linear{}
	for range 2000 {
		r := random(rnd)
		switch err := b.Add(r); {
		case err == nil:
			twin = append(twin, r)
		case !errors.Is(err, ErrDuplicate):
			t.Fatal(err)
		}
	}
	table := b.Build()
	if table.Len() != len(twin) {
		t.Fatalf("got %d routes; want %d", table.Len(), len(twin))
	}
	for range 5000 {
		same(t, table, twin, 10<<24|rnd.Uint32N(1<<20))
	}
	same(t, table, twin, 11<<24)
}

func TestWithAndWithoutLeaveTheOldTableAlone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	table, twin := Empty(), linear{}
	type version struct {
		table *Table
		twin  linear
	}
	var versions []version
	for range 300 {
		r := random(rnd)
		if len(twin) > 0 && rnd.IntN(3) == 0 {
			p := twin[rnd.IntN(len(twin))].Prefix
			table, twin = table.Without(p), twin.without(p)
		} else {
			next, err := table.With(r)
			if err != nil {
				t.Fatal(err)
			}
			table, twin = next, append(twin.without(r.Prefix), r)
		}
		versions = append(versions, version{table, twin})
	}
	for _, v := range versions {
		if v.table.Len() != len(v.twin) {
			t.Fatalf("got %d routes; want %d", v.table.Len(), len(v.twin))
		}
		for range 50 {
			same(t, v.table, v.twin, 10<<24|rnd.Uint32N(1<<20))
		}
	}
}

func TestWithoutAnAbsentPrefixChangesNothing(t *testing.T) {
	table, err := Empty().With(via("192.0.2.0/24", hop(1, "198.51.100.1")))
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Without(netip.MustParsePrefix("192.0.2.0/25")).Len(); got != 1 {
		t.Fatalf("got %d routes; want 1", got)
	}
}

func TestIPv6(t *testing.T) {
	b := NewBuilder()
	for _, r := range []Route{via("2001:db8::/32", hop(1, "2001:db8::1")), via("2001:db8:1::/48", hop(2, "2001:db8::2")), via("0.0.0.0/0", hop(3, "192.0.2.1"))} {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	table := b.Build()
	for dst, port := range map[string]uint16{"2001:db8:1::9": 2, "2001:db8:2::9": 1, "::ffff:198.51.100.1": 3} {
		if r := table.LookupAddr(netip.MustParseAddr(dst)); r == nil || r.Hops[0].Port != port {
			t.Errorf("%s: got %v; want port %d", dst, r, port)
		}
	}
	if r := table.LookupAddr(netip.MustParseAddr("2001:db9::1")); r != nil {
		t.Errorf("got %v; want no route", r)
	}
}

func TestGetIsExact(t *testing.T) {
	table, err := Empty().With(via("10.0.0.0/8", hop(1, "192.0.2.1")))
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Get(netip.MustParsePrefix("10.0.0.0/8")); r == nil || r.Hops[0].Port != 1 {
		t.Errorf("got %v", r)
	}
	if r := table.Get(netip.MustParsePrefix("10.0.0.0/9")); r != nil {
		t.Errorf("a longer prefix: got %v", r)
	}
}

func TestAllStopsWhenTold(t *testing.T) {
	n := 0
	for range build(t, internet(100)).All() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("got %d routes; want 3", n)
	}
}

func TestAllIsInOrder(t *testing.T) {
	b := NewBuilder()
	for _, p := range []string{"203.0.113.0/24", "10.0.0.0/8", "10.0.0.0/16", "192.0.2.0/24"} {
		if err := b.Add(via(p, hop(1, "192.0.2.1"))); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for r := range b.Build().All() {
		got = append(got, r.Prefix.String())
	}
	if want := []string{"10.0.0.0/8", "10.0.0.0/16", "192.0.2.0/24", "203.0.113.0/24"}; !slices.Equal(got, want) {
		t.Fatalf("got %v; want %v", got, want)
	}
}

func TestWrongRoutesAreRefused(t *testing.T) {
	h := hop(1, "192.0.2.1")
	zoned := hop(1, "fe80::1%eth0")
	rows := map[string]Route{
		"no prefix":                  {Kind: Blackhole},
		"host bits":                  {Kind: Blackhole, Prefix: netip.MustParsePrefix("10.0.0.1/8")},
		"IPv4 in IPv6":               {Kind: Blackhole, Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104")},
		"no kind":                    {Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		"kind that is none":          {Kind: kinds, Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		"via without hop":            via("10.0.0.0/8"),
		"blackhole with hop":         {Kind: Blackhole, Prefix: netip.MustParsePrefix("10.0.0.0/8"), Hops: []Hop{h}},
		"local on two ports":         {Kind: Local, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Hops: []Hop{h, hop(2, "192.0.2.1")}},
		"hop of the other family":    via("2001:db8::/32", h),
		"same hop twice":             via("10.0.0.0/8", h, Hop{Via: h.Via, Port: 1, Tunnel: NoTunnel, Weight: 9}),
		"next hop with a zone":       via("fe80::/10", zoned),
		"more hops than can be kept": via("10.0.0.0/8", make([]Hop, MaxHops+1)...),
	}
	for name, r := range rows {
		if err := NewBuilder().Add(r); err == nil {
			t.Errorf("%s: Builder.Add took it", name)
		}
		if _, err := Empty().With(r); err == nil {
			t.Errorf("%s: Table.With took it", name)
		}
	}
}

func TestHopsAreTheTablesOwn(t *testing.T) {
	hops := []Hop{hop(1, "192.0.2.1")}
	b := NewBuilder()
	if err := b.Add(via("10.0.0.0/8", hops...)); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(via("10.1.0.0/16", hops...)); err != nil {
		t.Fatal(err)
	}
	hops[0].Port = 9
	table := b.Build()
	r := table.Lookup(0x0a020000)
	if r.Hops[0].Port != 1 {
		t.Fatal("changing the caller's hops changed the table")
	}
	if other := table.Lookup(0x0a010000); &other.Hops[0] != &r.Hops[0] {
		t.Fatal("equal hops are kept twice")
	}
}

func TestViewFallsBackToMain(t *testing.T) {
	build := func(rs ...Route) *Table {
		b := NewBuilder()
		for _, r := range rs {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		return b.Build()
	}
	s := NewSet(build(via("0.0.0.0/0", hop(1, "192.0.2.1")), via("10.0.0.0/8", hop(2, "192.0.2.2"))),
		map[string]*Table{"guest": build(via("10.1.0.0/16", hop(3, "192.0.2.3")))})
	rows := []struct {
		table string
		dst   uint32
		port  uint16
	}{
		{"guest", 0x0a010001, 3},
		{"guest", 0x0a020001, 2},
		{"guest", 0xc6336401, 1},
		{"", 0x0a010001, 2},
		{"no such", 0x0a010001, 2},
	}
	for _, r := range rows {
		if got := s.View(r.table).Lookup(r.dst); got == nil || got.Hops[0].Port != r.port {
			t.Errorf("%q %v: got %v; want port %d", r.table, addr4(r.dst), got, r.port)
		}
	}
	if got := NewSet(nil, nil).View("").Lookup(1); got != nil {
		t.Errorf("empty set: got %v", got)
	}
	if s.Table("guest") == nil || s.Table("none") != nil || s.Main() == nil {
		t.Error("Table or Main is wrong")
	}
}

// ecmp returns the route of 10.0.0.0/8 with the hops.
func ecmp(t *testing.T, hops ...Hop) *Route {
	t.Helper()
	table, err := Empty().With(via("10.0.0.0/8", hops...))
	if err != nil {
		t.Fatal(err)
	}
	return table.Lookup(10 << 24)
}

func TestPickSpreadsByWeight(t *testing.T) {
	hops := []Hop{hop(1, "192.0.2.1"), hop(2, "192.0.2.2"), hop(3, "192.0.2.3")}
	hops[1].Weight, hops[2].Weight = 2, 5
	r := ecmp(t, hops...)
	const flows = 200_000
	rnd := rand.New(rand.NewPCG(5, 6))
	var count [4]float64
	for range flows {
		count[r.Pick(rnd.Uint64()).Port]++
	}
	for port, weight := range []float64{1: 1, 2: 2, 3: 5} {
		if got, want := count[port]/flows, weight/8; math.Abs(got-want) > 0.01 {
			t.Errorf("port %d: got a share of %.3f; want %.3f", port, got, want)
		}
	}
}

func TestPickMovesOnlyTheFlowsOfAHopThatGoes(t *testing.T) {
	all := []Hop{hop(1, "192.0.2.1"), hop(2, "192.0.2.2"), hop(3, "192.0.2.3"), hop(4, "192.0.2.4")}
	before := ecmp(t, all...)
	after := ecmp(t, all[3], all[0], all[1]) // without port 3, and in another order
	rnd := rand.New(rand.NewPCG(7, 8))
	moved := 0
	for range 20_000 {
		hash := rnd.Uint64()
		was, is := before.Pick(hash).Port, after.Pick(hash).Port
		if was == 3 {
			moved++
		} else if was != is {
			t.Fatalf("flow %#x moved from port %d to %d, which were there all the time", hash, was, is)
		}
	}
	if moved < 4000 || moved > 6000 {
		t.Errorf("got %d flows on the hop that went; want about 5000", moved)
	}
}

func TestPickOfEqualWeightsIsThePickOfTheWeightedWay(t *testing.T) {
	even := ecmp(t, hop(1, "192.0.2.1"), hop(2, "192.0.2.2"), hop(3, "192.0.2.3"))
	weighted := *even
	weighted.Hops = append(slices.Clone(even.Hops), hop(4, "192.0.2.4"))
	weighted.Hops[3].identify()
	for i := range weighted.Hops {
		weighted.Hops[i].Weight = 200 // so that the fourth is next to never picked
	}
	weighted.Hops[3].Weight = 1
	rnd := rand.New(rand.NewPCG(13, 14))
	for range 20_000 {
		hash := rnd.Uint64()
		if got, want := weighted.Pick(hash).Port, even.Pick(hash).Port; got != want && got != 4 {
			t.Fatalf("flow %#x: got port %d; want %d", hash, got, want)
		}
	}
}

func TestPickOfFewHops(t *testing.T) {
	if h := (&Route{}).Pick(1); h != nil {
		t.Errorf("got %v; want nil", h)
	}
	if h := ecmp(t, hop(7, "192.0.2.1")).Pick(1); h.Port != 7 {
		t.Errorf("got port %d; want 7", h.Port)
	}
}

func TestLeaves(t *testing.T) {
	r := ecmp(t, hop(1, "192.0.2.1"), hop(2, "192.0.2.2"))
	if !r.Leaves(1) || !r.Leaves(2) || r.Leaves(3) {
		t.Error("Leaves does not name the ports of the hops")
	}
}

func TestLookupAndPickDoNotAllocate(t *testing.T) {
	r := ecmp(t, hop(1, "192.0.2.1"), hop(2, "192.0.2.2"))
	table, err := Empty().With(*r)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { table.Lookup(10 << 24).Pick(42) }); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}
