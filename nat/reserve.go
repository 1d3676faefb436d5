package nat

import (
	"cmp"
	"net/netip"
	"slices"

	"openvra/dataplane/flow"
)

// A portSet is sorted port ranges that neither overlap nor touch.
type portSet []PortRange

var allPorts = PortRange{0, 65535}

func mergePorts(s []PortRange) portSet {
	slices.SortFunc(s, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	var out portSet
	for _, r := range s {
		if n := len(out); n > 0 && uint32(r.First) <= uint32(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// from returns the part of s that starts with the first range not before port.
func (s portSet) from(port uint16) portSet {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s[mid].Last < port {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return s[lo:]
}

func (s portSet) has(port uint16) bool {
	s = s.from(port)
	return len(s) > 0 && s[0].First <= port
}

// word returns s within ports 64w to 64w+63, a bit each.
func (s portSet) word(w int) uint64 {
	var bits uint64
	low := w << 6
	for _, r := range s.from(uint16(low)) {
		first, last := max(int(r.First)-low, 0), min(int(r.Last)-low, 63)
		if first > 63 {
			break
		}
		bits |= ^uint64(0) >> (63 - last) &^ (1<<first - 1)
	}
	return bits
}

// A tupleSet is a set of outside tuples that mappings must not take (N19: port
// shadowing, CVE-2021-3773).
type tupleSet struct {
	// lengths are the prefix lengths in use, longest first.
	lengths []int
	// sets holds, of every prefix given, the ports of it and of all prefixes
	// around it.
	sets map[tupleKey]portSet
}

type tupleKey struct {
	addr  uint32
	bits  uint8
	class uint8
}

// Protocol classes: the protocols with a port space of their own, and the rest.
const (
	classOther = iota
	classTCP
	classUDP
	classICMP
	classes
)

func classOf(proto uint8) uint8 {
	switch proto {
	case flow.TCP:
		return classTCP
	case flow.UDP:
		return classUDP
	case flow.ICMP:
		return classICMP
	}
	return classOther
}

// of returns the ports that mappings on the address must not take.
func (t *tupleSet) of(addr uint32, class uint8) portSet {
	for _, n := range t.lengths {
		if s, ok := t.sets[tupleKey{addr & mask(n), uint8(n), class}]; ok {
			return s
		}
	}
	return nil
}

// A tupleSetBuilder gathers what goes into a tupleSet.
type tupleSetBuilder map[tupleKey][]PortRange

func (b tupleSetBuilder) add(p netip.Prefix, class uint8, r PortRange) {
	k := tupleKey{prefixSpan(p).first, uint8(p.Bits()), class}
	b[k] = append(b[k], r)
}

func (b tupleSetBuilder) build() tupleSet {
	t := tupleSet{sets: make(map[tupleKey]portSet, len(b))}
	keys := make([]tupleKey, 0, len(b))
	for k := range b {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y tupleKey) int { return cmp.Compare(x.bits, y.bits) })
	for _, k := range keys {
		// The nearest prefix around k is complete by now.
		t.sets[k] = mergePorts(slices.Concat(b[k], t.of(k.addr, k.class)))
		if n := int(k.bits); !slices.Contains(t.lengths, n) {
			t.lengths = slices.Insert(t.lengths, 0, n)
		}
	}
	return t
}
