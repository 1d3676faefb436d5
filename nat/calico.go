package nat

import "net/netip"

// An IPPool is what natOutgoing needs of a Calico IPPool.
type IPPool struct {
	CIDR        netip.Prefix
	NATOutgoing bool
	// Disabled pools give out no addresses any more; they count all the same.
	Disabled bool
}

// NATOutgoing returns the source rule of Calico's natOutgoing: flows from a pool
// that asks for it to a destination in no pool are masqueraded. Pools that do not
// ask, and disabled ones, count as destinations, as in Calico's data plane. Without
// a pool that asks there is no rule: false.
func NATOutgoing(name string, line int, out LinkSet, pools []IPPool) (Source, bool) {
	s := Source{Name: name, Line: line, Out: out, Kind: Masquerade}
	for _, p := range pools {
		if p.NATOutgoing {
			s.From = append(s.From, p.CIDR)
		}
		s.NotTo = append(s.NotTo, p.CIDR)
	}
	return s, len(s.From) > 0
}
