package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// linear is the slow twin of Match.
func linear(rules []Rule, f Flow) *Rule {
	for i := range rules {
		r := &rules[i]
		if inPrefixes(r.From, f.Src) && inPrefixes(r.To, f.Dst) &&
			(len(r.Protocol) == 0 || slices.Contains(r.Protocol, f.Proto)) &&
			inPorts(r.SourcePorts, f.SrcPort) && inPorts(r.Ports, f.DstPort) {
			return r
		}
	}
	return nil
}

func address(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a)))
}

func inPrefixes(list []netip.Prefix, a uint32) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(address(a)) })
}

func inPorts(list []PortRange, port uint16) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(r PortRange) bool { return r.First <= port && port <= r.Last })
}

// check compares both on a flow.
func check(t *testing.T, r *Rules, f Flow) {
	t.Helper()
	if got, want := r.Match(f), linear(r.rules, f); got != want {
		t.Fatalf("flow %+v: got %+v; want %+v", f, got, want)
	}
}

func compiled(t testing.TB, rules []Rule) *Rules {
	t.Helper()
	r, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// some returns up to three values of a narrow choice, often none.
func some[T any](rnd *rand.Rand, one func() T) (list []T) {
	for range max(rnd.IntN(6)-2, 0) {
		list = append(list, one())
	}
	return list
}

func randomRules(rnd *rand.Rand, n int) []Rule {
	prefix := func() netip.Prefix {
		return netip.PrefixFrom(address(0x0a000000|rnd.Uint32N(64)<<uint(rnd.IntN(26))), rnd.IntN(33))
	}
	ports := func() PortRange {
		first := uint16(rnd.UintN(8)) * 9362
		return PortRange{first, first + uint16(rnd.UintN(uint(65536-int(first))))}
	}
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = Rule{
			From: some(rnd, prefix), To: some(rnd, prefix), SourcePorts: some(rnd, ports), Ports: some(rnd, ports),
			Protocol: some(rnd, func() uint8 { return uint8(rnd.UintN(4)) * 85 }), Line: i + 1,
		}
	}
	return rules
}

func randomFlow(rnd *rand.Rand) Flow {
	f := Flow{0x0a000000 | rnd.Uint32N(64)<<uint(rnd.IntN(26)), 0x0a000000 | rnd.Uint32N(64)<<uint(rnd.IntN(26)),
		uint16(rnd.UintN(1 << 16)), uint16(rnd.UintN(1 << 16)), uint8(rnd.UintN(4)) * 85}
	if rnd.IntN(8) == 0 {
		f.Src, f.Dst = ^uint32(0), 0
	}
	return f
}

func TestMatchIsLinear(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for _, n := range []int{0, 1, 2, 63, 64, 65, 200, 4097, 9000} {
		r := compiled(t, randomRules(rnd, n))
		for range 500 {
			f := randomFlow(rnd)
			check(t, r, f)
			if m := r.Match(f); m != nil && m.Line > 1 {
				matched++
			}
		}
	}
	if matched < 500 {
		t.Errorf("only %d flows matched a rule past the first: the test has lost its way", matched)
	}
}

// TestMatchIsLinearFarDown has rules so narrow that the first that matches may stand
// anywhere, and sets of which no word is full.
func TestMatchIsLinearFarDown(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 5))
	one := func() netip.Prefix { return netip.PrefixFrom(address(0x0a000000+rnd.Uint32N(16)), 32) }
	rules := make([]Rule, 12000)
	for i := range rules {
		port := uint16(rnd.UintN(64))
		rules[i] = Rule{From: []netip.Prefix{one()}, To: []netip.Prefix{one(), one()}, Ports: []PortRange{{port, port}}, Line: i + 1}
	}
	r := compiled(t, rules)
	far := 0
	for range 2000 {
		f := Flow{Src: 0x0a000000 + rnd.Uint32N(16), Dst: 0x0a000000 + rnd.Uint32N(16), DstPort: uint16(rnd.UintN(64)), Proto: 6}
		check(t, r, f)
		if m := r.Match(f); m != nil && m.Line > 4096 {
			far++
		}
	}
	if far < 100 {
		t.Errorf("only %d flows matched past rule 4096: the test has lost its way", far)
	}
}

// TestFarRules finds the only rule that matches wherever in the list it stands.
func TestFarRules(t *testing.T) {
	r := compiled(t, subnetRules(10000))
	for _, i := range []uint32{0, 1, 63, 64, 4095, 4096, 9999} {
		f := Flow{Src: 0xc6336407, Dst: 0x0a000000 + i<<8 + 5, SrcPort: 5000, DstPort: 443, Proto: 6}
		if m := r.Match(f); m == nil || m.Line != int(i)+1 {
			t.Errorf("rule %d: got %+v", i, m)
		}
		f.DstPort = 80
		if m := r.Match(f); m != nil {
			t.Errorf("port 80: got %+v; want none", m)
		}
	}
}

func TestBounds(t *testing.T) {
	if _, err := New(make([]Rule, maxRules+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d rules: got %v; want %v", maxRules+1, err, ErrTooLarge)
	}
	// Rules that each match all addresses but one: no set is sparse, no two are alike.
	var rules []Rule
	for i := range uint32(maxRules) {
		rules = append(rules, Rule{From: allBut(i << 8), To: allBut(i << 9)})
	}
	if _, err := New(rules); !errors.Is(err, ErrTooLarge) {
		t.Errorf("sets that overlap: got %v; want %v", err, ErrTooLarge)
	}
}

// allBut returns prefixes of every address but a.
func allBut(a uint32) (list []netip.Prefix) {
	for n := range 32 {
		list = append(list, netip.PrefixFrom(address(a^1<<(31-n)), n+1).Masked())
	}
	return list
}

func TestMatchDoesNotAllocate(t *testing.T) {
	r := compiled(t, subnetRules(1000))
	f := Flow{Src: 1, Dst: 0x0a000005, DstPort: 443, Proto: 6}
	if n := testing.AllocsPerRun(100, func() { r.Match(f) }); n != 0 {
		t.Errorf("%v allocations a match; want none", n)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), uint16(3), uint32(0x0a000001), uint32(0x0a000002), uint16(1), uint16(2), uint8(6))
	f.Add(uint64(2), uint16(300), uint32(0), ^uint32(0), uint16(0), uint16(0xffff), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, src, dst uint32, sport, dport uint16, proto uint8) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		check(t, compiled(t, randomRules(rnd, int(n%512))), Flow{src, dst, sport, dport, proto})
	})
}

// subnetRules are n rules, each about one subnet.
func subnetRules(n int) (rules []Rule) {
	for i := range uint32(n) {
		rules = append(rules, Rule{
			To: []netip.Prefix{netip.PrefixFrom(address(0x0a000000+i<<8), 24)}, Protocol: []uint8{6},
			Ports: []PortRange{{443, 443}}, Action: Accept, Line: int(i) + 1,
		})
	}
	return rules
}

// BenchmarkMatch looks up flows that match the last rule, and flows that match none;
// "members" is one rule with a list of so many addresses.
func BenchmarkMatch(b *testing.B) {
	lists := map[string][]Rule{}
	for _, n := range []int{10, 100, 1000, 10000} {
		lists[fmt.Sprintf("rules=%05d", n)] = subnetRules(n)
	}
	members := Rule{Line: 1}
	for i := range uint32(100000) {
		members.To = append(members.To, netip.PrefixFrom(address(0x0a000000+i*2), 32))
	}
	lists["members=100000"] = []Rule{members}
	for name, rules := range lists {
		r := compiled(b, rules)
		last := rules[len(rules)-1].To
		a := last[len(last)-1].Addr().As4()
		f := [2]Flow{{Src: 1, Dst: binary.BigEndian.Uint32(a[:]), DstPort: 443, Proto: 6}, {Src: 1, Dst: 9, DstPort: 443, Proto: 6}}
		for how, match := range map[string]func(Flow) *Rule{
			"compiled": r.Match, "linear": func(f Flow) *Rule { return linear(rules, f) },
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				for i := range b.N {
					if m := match(f[i&1]); (m == nil) != (i&1 == 1) {
						b.Fatalf("got %+v", m)
					}
				}
			})
		}
	}
}

// BenchmarkNew compiles lists: what a reload pays.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		rules := subnetRules(n)
		b.Run(fmt.Sprintf("rules=%05d", n), func(b *testing.B) {
			for b.Loop() {
				compiled(b, rules)
			}
		})
	}
}
