package nat

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"openvra/dataplane/flow"
)

// findLinear is ruleList.find without an index.
func findLinear(l *ruleList, f *Flow, link uint16, anywhere bool) *Rule {
	for n, m := range l.matches {
		if m.holds(f, link) || anywhere && m.holdsAnywhere(f) {
			return l.rules[n]
		}
	}
	return nil
}

// A crowd makes random addresses, prefixes and ports that often meet.
type crowd struct{ *rand.Rand }

func (c crowd) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(c.IntN(2)), byte(c.IntN(3)), byte(c.IntN(6))})
}

func (c crowd) prefixes() []netip.Prefix {
	var ps []netip.Prefix
	for range max(0, c.IntN(5)-2) {
		bits := []int{0, 8, 16, 24, 30, 31, 32, 32, 32}[c.IntN(9)]
		ps = append(ps, netip.PrefixFrom(c.addr(), bits))
	}
	return ps
}

func (c crowd) links() LinkSet {
	switch c.IntN(4) {
	case 0:
		return Links(outsidePort)
	case 1:
		return Links(insidePort, 70)
	case 2:
		return Links()
	}
	return nil
}

func (c crowd) protos() []uint8 {
	return [][]uint8{nil, {flow.TCP}, {flow.UDP}, {flow.TCP, flow.UDP}, {flow.ICMP}, {flow.GRE}}[c.IntN(6)]
}

func (c crowd) port() uint16 {
	return []uint16{1, 2, 63, 64, 80, 443, 1000, 1023, 1024, 65535}[c.IntN(10)]
}

func (c crowd) ports(protos []uint8) []PortRange {
	var rs []PortRange
	if len(protos) == 0 || protos[0] == flow.ICMP || protos[0] == flow.GRE {
		return nil
	}
	for range c.IntN(3) {
		a, b := c.port(), c.port()
		rs = append(rs, PortRange{min(a, b), max(a, b)})
	}
	return rs
}

func (c crowd) flow() Flow {
	f := Flow{Src: addr4(c.addr()), Dst: addr4(c.addr()), In: []uint16{0, 1, 2, 70}[c.IntN(4)]}
	switch f.Proto = []uint8{flow.TCP, flow.UDP, flow.ICMP, flow.GRE, flow.ESP}[c.IntN(5)]; f.Proto {
	case flow.TCP, flow.UDP:
		f.SrcPort, f.DstPort = c.port(), c.port()
	case flow.ICMP:
		f.SrcPort = c.port()
		f.DstPort = f.SrcPort
	}
	return f
}

func (c crowd) section(n int) Section {
	var s Section
	for i := range n {
		protos := c.protos()
		s.Sources = append(s.Sources, Source{
			Name: fmt.Sprint("s", i), Out: c.links(), From: c.prefixes(), NotFrom: c.prefixes(),
			To: c.prefixes(), NotTo: c.prefixes(), Protos: protos, DstPorts: c.ports(protos), Kind: Masquerade,
		})
		protos = c.protos()
		s.Destinations = append(s.Destinations, Destination{
			Name: fmt.Sprint("d", i), In: c.links(), From: c.prefixes(), NotFrom: c.prefixes(), To: c.prefixes(),
			Protos: protos, Ports: c.ports(protos), New: netip.PrefixFrom(c.addr(), 32), Hairpin: c.IntN(2) == 0,
		})
	}
	return s
}

func TestRuleSearchAgreesWithLinearTwin(t *testing.T) {
	c := crowd{rand.New(rand.NewPCG(7, 8))}
	for range 60 {
		r, err := Compile(c.section(1 + c.IntN(60)))
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			f, link := c.flow(), uint16(c.IntN(3))
			for _, l := range []*ruleList{&r.sources, &r.destinations} {
				for _, anywhere := range []bool{false, true} {
					got, want := l.find(&f, link, anywhere), findLinear(l, &f, link, anywhere)
					if got != want {
						t.Fatalf("flow %+v on %d, anywhere %v: got %+v; want %+v", f, link, anywhere, got, want)
					}
				}
			}
		}
	}
}

func TestPortBlocksCoverTheirRangeOnce(t *testing.T) {
	c := rand.New(rand.NewPCG(9, 10))
	for range 200 {
		a, b := uint16(c.Uint32()), uint16(c.Uint32())
		r := PortRange{min(a, b), max(a, b)}
		blocks := portBlocks([]PortRange{r})
		if len(blocks) > 30 {
			t.Errorf("%v: got %d blocks; want at most 30", r, len(blocks))
		}
		at := uint32(r.First)
		for _, b := range blocks {
			if uint32(b.port) != at || at&(1<<(16-b.bits)-1) != 0 {
				t.Fatalf("%v: block %+v at %d", r, b, at)
			}
			at += 1 << (16 - b.bits)
		}
		if at != uint32(r.Last)+1 {
			t.Fatalf("%v: blocks end at %d", r, at)
		}
	}
}

func TestSpansAgreeWithPrefixes(t *testing.T) {
	c := crowd{rand.New(rand.NewPCG(11, 12))}
	for range 500 {
		ps := append(c.prefixes(), c.prefixes()...)
		s := prefixSpans(ps)
		for range 20 {
			a, want := c.addr(), false
			for _, p := range ps {
				want = want || p.Contains(a)
			}
			if s.has(addr4(a)) != want {
				t.Fatalf("%v has %v: got %v", ps, a, !want)
			}
		}
	}
}

func TestTupleSetHasTheTuplesOfAllPrefixesAround(t *testing.T) {
	c := crowd{rand.New(rand.NewPCG(13, 14))}
	for range 100 {
		b := tupleSetBuilder{}
		type given struct {
			p     netip.Prefix
			class uint8
			r     PortRange
		}
		var all []given
		for range c.IntN(20) {
			x, y := c.port(), c.port()
			g := given{netip.PrefixFrom(c.addr(), []int{0, 8, 24, 32}[c.IntN(4)]), uint8(c.IntN(classes)), PortRange{min(x, y), max(x, y)}}
			b.add(g.p, g.class, g.r)
			all = append(all, g)
		}
		set := b.build()
		for range 200 {
			a, class, port, want := c.addr(), uint8(c.IntN(classes)), c.port(), false
			for _, g := range all {
				want = want || g.class == class && g.p.Contains(a) && g.r.has(port)
			}
			if set.of(addr4(a), class).has(port) != want {
				t.Fatalf("%v: %v class %d port %d: got %v", all, a, class, port, !want)
			}
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for want, s := range map[string]Section{
		"name":          {Sources: []Source{masquerade(), masquerade()}},
		"kind":          sourceOnly(Source{Name: "a"}),
		"addresses":     sourceOnly(Source{Name: "a", Kind: Masquerade, Addresses: []AddrRange{addrs("192.0.2.1", "192.0.2.2")}}),
		"lower first":   sourceOnly(pool("192.0.2.9", "192.0.2.1")),
		"at most":       sourceOnly(pool("10.0.0.0", "10.255.255.255")),
		"protocols":     sourceOnly(Source{Name: "a", Kind: Masquerade, DstPorts: []PortRange{{1, 2}}}),
		"IPv4 prefix":   sourceOnly(Source{Name: "a", Kind: Masquerade, From: pfx("2001:db8::/32")}),
		"max ports":     sourceOnly(Source{Name: "a", Kind: Masquerade, MaxPorts: -1}),
		"outside por":   sourceOnly(Source{Name: "a", Kind: Masquerade, Ports: PortRange{5, 4}}),
		"block: got 1;": sourceOnly(Source{Name: "a", Kind: Masquerade, Block: 1}),
		"one for each": sourceOnly(Source{
			Name: "a", Kind: Pool, Addresses: []AddrRange{addrs("192.0.2.1", "192.0.2.2")}, Ports: PortRange{1024, 65535},
			From: pfx("10.0.0.0/24"), Block: 512,
		}),
		"beside over": sourceOnly(Source{Name: "a", Kind: Masquerade, Overload: true, Filtering: EndpointIndependent}),
		"filtering":   sourceOnly(Source{Name: "a", Kind: Masquerade, Filtering: 3}),
		"inside":      {OneToOne: []OneToOne{{Name: "a", Outside: pfx("192.0.2.0/24")[0], Inside: pfx("10.0.0.0/25")[0]}}},
		"new:":        {Destinations: []Destination{{Name: "a", To: pfx("192.0.2.0/24"), New: pfx("10.0.0.0/25")[0]}}},
		"new ports":   {Destinations: []Destination{{Name: "a", New: pfx("10.0.0.1/32")[0], NewPorts: PortRange{1, 2}}}},
		"got \"inval": {Destinations: []Destination{{Name: "a"}}},
		"reserved":    {Reserved: []Reserved{{Ports: PortRange{2, 1}}}},
	} {
		if _, err := Compile(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error that says %q", err, want)
		}
	}
	two := Section{Sources: []Source{{Name: "a", Line: 3}, {Name: "b", Line: 7}}}
	if _, err := Compile(two); err == nil || strings.Count(err.Error(), "line ") != 2 {
		t.Errorf("got %v; want both faults", err)
	}
}

func TestManyRulesOfOneAddressAreNotSearchedOneByOne(t *testing.T) {
	var s Section
	for i := range 10_000 {
		s.Destinations = append(s.Destinations, Destination{
			Name: fmt.Sprint("d", i), To: pfx("198.51.100.1/32"), Protos: []uint8{flow.TCP},
			Ports: []PortRange{{uint16(1000 + i), uint16(1000 + i)}}, New: pfx("10.0.0.1/32")[0],
		})
	}
	r, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, tu := range r.destinations.tuples {
		for k, list := range tu.rules {
			if len(list) > 1 {
				t.Fatalf("place %x of shape %+v holds %d rules; want 1", k, tu.shape, len(list))
			}
		}
	}
	if n := len(r.destinations.tuples); n != 1 {
		t.Errorf("got %d tuples; want 1", n)
	}
}
