package nat

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// A ruleList finds the first of many rules that matches, by tuple space search:
// rules that look at the same bits share a hash table under those bits, and a
// search asks each table, the one with the earliest rule first, until no table
// can hold an earlier rule than the best so far. Ten thousand rules that differ in
// address or port cost what one costs.
type ruleList struct {
	rules   []*Rule
	matches []match // of each rule
	tuples  []tuple
}

// A shape is the bits of a flow that the rules of one tuple look at.
type shape struct {
	bySource bool  // else by destination
	addrBits uint8 // leading bits of that address, 0 to 32
	portBits uint8 // leading bits of the destination port, 0 to 16
	proto    bool  // the protocol too
}

// A tuple holds the rules of one shape.
type tuple struct {
	shape
	first int32 // the earliest rule in it
	rules map[uint64][]int32
}

// maxPlaces bounds how many places of the index one rule takes; past it the
// rule is filed without its ports.
const maxPlaces = 4096

func (s shape) key(f *Flow) uint64 {
	a := f.Dst
	if s.bySource {
		a = f.Src
	}
	k := uint64(a&mask(int(s.addrBits))) << 24
	k |= uint64(f.DstPort>>(16-s.portBits)<<(16-s.portBits)) << 8
	if s.proto {
		k |= uint64(f.Proto)
	}
	return k
}

// find returns the first rule that holds for f on the link, or nil. With
// anywhere, links do not matter.
func (l *ruleList) find(f *Flow, link uint16, anywhere bool) *Rule {
	best := int32(len(l.rules))
	for i := range l.tuples {
		t := &l.tuples[i]
		if t.first >= best {
			break
		}
		for _, n := range t.rules[t.key(f)] {
			if n >= best {
				break
			}
			m := &l.matches[n]
			if m.holds(f, link) || anywhere && m.holdsAnywhere(f) {
				best = n
				break
			}
		}
	}
	if int(best) == len(l.rules) {
		return nil
	}
	return l.rules[best]
}

// build files every rule under the fields that tell it apart best.
func (l *ruleList) build(selectors []selector) {
	byShape := map[shape]*tuple{}
	for n, sel := range selectors {
		sel.each(func(s shape, f *Flow) {
			t := byShape[s]
			if t == nil {
				t = &tuple{shape: s, first: int32(n), rules: map[uint64][]int32{}}
				byShape[s] = t
			}
			k := s.key(f)
			t.rules[k] = append(t.rules[k], int32(n))
		})
	}
	for _, t := range byShape {
		l.tuples = append(l.tuples, *t)
	}
	slices.SortFunc(l.tuples, func(a, b tuple) int { return cmp.Compare(a.first, b.first) })
}

// A selector is the part of a rule that the index looks at.
type selector struct {
	from, to []netip.Prefix
	protos   []uint8
	ports    []PortRange
}

// each calls place once for every place that the rule takes, with a flow whose
// looked-at bits are those of the place.
func (s selector) each(place func(shape, *Flow)) {
	prefixes, bySource := s.to, false
	if len(s.to) == 0 || len(s.from) > 0 && shortest(s.from) > shortest(s.to) {
		prefixes, bySource = s.from, true
	}
	if len(prefixes) == 0 {
		prefixes = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	}
	protos := s.protos
	if len(protos) == 0 {
		protos = []uint8{0}
	}
	blocks := portBlocks(s.ports)
	if len(prefixes)*len(protos)*len(blocks) > maxPlaces {
		blocks = []portBlock{{}}
	}
	type spot struct {
		shape
		key uint64
	}
	seen := map[spot]bool{}
	for _, p := range prefixes {
		for _, proto := range protos {
			for _, b := range blocks {
				sh := shape{bySource, uint8(p.Bits()), b.bits, len(s.protos) > 0}
				a := addr4(p.Addr())
				f := Flow{Src: a, Dst: a, DstPort: b.port, Proto: proto}
				at := spot{sh, sh.key(&f)}
				if !seen[at] {
					seen[at] = true
					place(sh, &f)
				}
			}
		}
	}
}

func shortest(ps []netip.Prefix) int {
	n := 32
	for _, p := range ps {
		n = min(n, p.Bits())
	}
	return n
}

// A portBlock is 2^(16-bits) ports that share their leading bits.
type portBlock struct {
	port uint16
	bits uint8
}

// portBlocks cuts ranges into blocks, at most 30 a range. No range means all
// ports: one block.
func portBlocks(ranges []PortRange) []portBlock {
	if len(ranges) == 0 {
		return []portBlock{{}}
	}
	var out []portBlock
	for _, r := range ranges {
		for at := uint32(r.First); at <= uint32(r.Last); {
			size := min(bits.TrailingZeros32(at|1<<16), bits.Len32(uint32(r.Last)-at+1)-1)
			out = append(out, portBlock{uint16(at), uint8(16 - size)})
			at += 1 << size
		}
	}
	return out
}
