package config

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// randomPrefixes are close together, so that many overlap and some are equal.
func randomPrefixes(rng *rand.Rand, n int) (list []netip.Prefix) {
	for range n {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(3)), byte(rng.IntN(4) << 6), byte(rng.IntN(4) << 6)})
		list = append(list, netip.PrefixFrom(a, 8+rng.IntN(25)).Masked())
	}
	return list
}

func TestOverlappingFindsWhatTryingAllPairsFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		list := randomPrefixes(rng, rng.IntN(8))
		reported := map[int]bool{}
		overlapping(len(list), func(i int) netip.Prefix { return list[i] }, func(first, later int) {
			if first >= later || !list[first].Overlaps(list[later]) {
				t.Fatalf("%v: got %d and %d; want a pair that overlaps, in order", list, first, later)
			}
			reported[first], reported[later] = true, true
		})
		for i := range list {
			overlaps := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p != list[i] && p.Overlaps(list[i]) })
			equal := 0
			for _, p := range list {
				if p == list[i] {
					equal++
				}
			}
			if want := overlaps || equal > 1; reported[i] != want {
				t.Fatalf("%v: %v reported: got %v; want %v", list, list[i], reported[i], want)
			}
		}
	}
}

func TestCoveringFindsWhatALinearSearchFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		list := randomPrefixes(rng, rng.IntN(8))
		var s prefixSet
		for _, p := range list {
			s.add(p, p.String())
		}
		p := randomPrefixes(rng, 1)[0]
		var want netip.Prefix
		for _, in := range list {
			if in.Bits() <= p.Bits() && in.Contains(p.Addr()) && (!want.IsValid() || in.Bits() > want.Bits()) {
				want = in
			}
		}
		got, owner, ok := s.covering(p)
		if got != want || ok != want.IsValid() || ok && owner != want.String() {
			t.Fatalf("%v in %v: got %v, %q, %v; want %v", p, list, got, owner, ok, want)
		}
	}
}
