package nat

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"openvra/dataplane/flow"
)

// A span is a range of IPv4 addresses, both ends included.
type span struct{ first, last uint32 }

// spans is a set of addresses: sorted ranges that neither overlap nor touch.
type spans []span

func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func prefixSpan(p netip.Prefix) span {
	a := addr4(p.Addr())
	m := mask(p.Bits())
	return span{a & m, a | ^m}
}

// mask returns the netmask of a prefix length of 0 to 32 bits.
func mask(bits int) uint32 { return uint32(0xffffffff << (32 - uint(bits))) }

func prefixSpans(ps []netip.Prefix) spans {
	s := make([]span, 0, len(ps))
	for _, p := range ps {
		s = append(s, prefixSpan(p))
	}
	return mergeSpans(s)
}

// mergeSpans sorts s and joins what overlaps or touches. It overwrites s.
func mergeSpans(s []span) spans {
	slices.SortFunc(s, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && uint64(r.first) <= uint64(out[n-1].last)+1 {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return slices.Clip(out)
}

func (s spans) has(a uint32) bool {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s[mid].last < a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(s) && s[lo].first <= a
}

// A match is the condition of a rule. Empty fields match everything.
type match struct {
	links                    LinkSet
	anyLink                  bool // links do not matter: hairpin
	from, notFrom, to, notTo spans
	protos                   []uint8
	ports                    []PortRange
}

func (m *match) holds(f *Flow, link uint16) bool {
	return (m.anyLink || m.links.Has(link)) && m.holdsAnywhere(f)
}

// holdsAnywhere is holds without regard to the logical port.
func (m *match) holdsAnywhere(f *Flow) bool {
	return (len(m.from) == 0 || m.from.has(f.Src)) &&
		(len(m.to) == 0 || m.to.has(f.Dst)) &&
		(len(m.protos) == 0 || slices.Contains(m.protos, f.Proto)) &&
		(len(m.ports) == 0 || hasPort(m.ports, f)) &&
		!m.notFrom.has(f.Src) && !m.notTo.has(f.Dst)
}

func hasPort(ports []PortRange, f *Flow) bool {
	if f.Proto != flow.TCP && f.Proto != flow.UDP {
		return false
	}
	for _, r := range ports {
		if r.has(f.DstPort) {
			return true
		}
	}
	return false
}
