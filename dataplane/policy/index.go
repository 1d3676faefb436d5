package policy

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// A span is the values from first to last, both included.
type span struct{ first, last uint32 }

// everything is what an empty list matches.
func everything() []span { return []span{{0, math.MaxUint32}} }

func prefixSpans(list []netip.Prefix) []span {
	if len(list) == 0 {
		return everything()
	}
	spans := make([]span, 0, len(list))
	for _, p := range list {
		a := p.Masked().Addr().As4()
		first := binary.BigEndian.Uint32(a[:])
		spans = append(spans, span{first, first | uint32(uint64(1)<<(32-p.Bits())-1)})
	}
	return merged(spans)
}

func portSpans(list []PortRange) []span {
	if len(list) == 0 {
		return everything()
	}
	spans := make([]span, 0, len(list))
	for _, p := range list {
		spans = append(spans, span{uint32(p.First), uint32(p.Last)})
	}
	return merged(spans)
}

func protocolSpans(list []uint8) []span {
	if len(list) == 0 {
		return everything()
	}
	spans := make([]span, 0, len(list))
	for _, p := range list {
		spans = append(spans, span{uint32(p), uint32(p)})
	}
	return merged(spans)
}

// merged returns the same values as spans that neither overlap nor touch, in order.
func merged(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && uint64(s.first) <= uint64(out[n-1].last)+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// An index says for each value of a field which rules it matches.
type index struct {
	// starts are the first values of the intervals, in order; the first is 0.
	starts []uint32
	// at is where in words the set of each interval begins. Intervals share sets.
	at []uint32
	// words hold the sets: summary words, then those words that are not 0.
	words []uint64
	// summary is the number of summary words of a set.
	summary int
}

// A set is the rules of an interval: bit i of the summary says that word i is not 0.
type set struct{ summary, words []uint64 }

// word returns the word of bit of summary word i, which must be set; words must begin
// with those of summary word i.
func (s *set) word(i, bit int) uint64 {
	return s.words[bits.OnesCount64(s.summary[i]&(1<<bit-1))]
}

// find returns the rules that v matches.
func (x *index) find(v uint32) set {
	i, n := 0, len(x.starts)
	for n > 1 { // starts[i] <= v holds throughout
		half := n / 2
		if x.starts[i+half] <= v {
			i += half
		}
		n -= half
	}
	at := x.words[x.at[i]:]
	return set{at[:x.summary], at[x.summary:]}
}

// An edge is where a rule begins to match, or ceases to.
type edge struct {
	value uint32
	rule  int32
}

// compile makes the index of a field of n rules whose spans are merged.
func compile(n int, spans func(rule int) []span, maxWords int) (index, error) {
	var edges []edge
	for i := range n {
		for _, s := range spans(i) {
			edges = append(edges, edge{s.first, int32(i)})
			if s.last != math.MaxUint32 {
				edges = append(edges, edge{s.last + 1, int32(i)})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.value, b.value) })
	size := (n + 63) / 64
	x := index{summary: (size + 63) / 64}
	live := make([]uint64, size)
	known := map[string]uint32{}
	for i, value := 0, uint32(0); ; value = edges[i].value {
		for ; i < len(edges) && edges[i].value == value; i++ {
			live[edges[i].rule/64] ^= 1 << (edges[i].rule % 64)
		}
		x.starts = append(x.starts, value)
		x.at = append(x.at, x.store(live, known))
		if len(x.words) > maxWords {
			return index{}, ErrTooLarge
		}
		if i == len(edges) {
			return x, nil
		}
	}
}

// store returns where the set of live is, appending it if it is not known.
func (x *index) store(live []uint64, known map[string]uint32) uint32 {
	at := len(x.words)
	for range x.summary {
		x.words = append(x.words, 0)
	}
	for i, w := range live {
		if w != 0 {
			x.words[at+i/64] |= 1 << (i % 64)
			x.words = append(x.words, w)
		}
	}
	key := make([]byte, 0, 8*(len(x.words)-at))
	for _, w := range x.words[at:] {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	if before, ok := known[string(key)]; ok {
		x.words = x.words[:at]
		return before
	}
	known[string(key)] = uint32(at)
	return uint32(at)
}
