package config

import (
	"fmt"
	"net/netip"
)

// routes checks routes and finds the ports of next hops.
func (k *checker) routes() {
	type key struct {
		table string
		to    netip.Prefix
	}
	seen := make(map[key]int, len(k.Routes))
	pools := map[string]*prefixSet{}
	for i := range k.Tunnels {
		t := &k.Tunnels[i]
		pools[t.Name] = newPrefixSet(t.Pools, t.Name)
	}
	for i := range k.Routes {
		rt := &k.Routes[i]
		if rt.To.IsValid() && rt.Table != "" {
			if before, again := seen[key{rt.Table, rt.To}]; again {
				k.wrong("", fmt.Sprintf("a destination of its own in table %q; line %d has this one", rt.Table, before), "routes", i, "to")
			} else {
				seen[key{rt.Table, rt.To}] = rt.Line
			}
		}
		k.oneWay(i, rt)
		k.port(rt.Port, "routes", i, "port")
		if !forwardable(rt.To) {
			k.wrong("", "a destination outside 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3", "routes", i, "to")
		}
		k.throughTunnel(i, rt, pools)
		k.hops(i, rt)
	}
}

// throughTunnel checks the tunnel of route i, given the pools of each.
func (k *checker) throughTunnel(i int, rt *Route, pools map[string]*prefixSet) {
	if rt.Tunnel == "" || k.broken["tunnels"] {
		return
	}
	mine, ok := pools[rt.Tunnel]
	if !ok {
		k.wrong("", "the name of a tunnel", "routes", i, "tunnel")
		return
	}
	if _, _, inside := mine.covering(rt.To); !inside && rt.To.IsValid() {
		k.wrong("", fmt.Sprintf("a destination inside the pools of tunnel %q", rt.Tunnel), "routes", i, "to")
	}
}

// forwardable reports whether p may be routed (RFC 1812, 5.3.7); a prefix around more than what may
// not be, as the default route, may. So may one that is not valid.
func forwardable(p netip.Prefix) bool {
	if !p.IsValid() {
		return true
	}
	first := p.Addr().As4()[0]
	return p.Bits() < 3 || first < 224 && (p.Bits() < 8 || first != 0 && first != 127)
}

// oneWay holds a route to one way to go.
func (k *checker) oneWay(i int, rt *Route) {
	if k.broken["routes"] {
		return // a way that could not be read looks absent
	}
	ways, last := 0, ""
	for _, way := range [...]struct {
		key string
		set bool
	}{
		{"via", len(rt.Via) > 0}, {"port", rt.Port != "" && len(rt.Via) == 0}, {"tunnel", rt.Tunnel != ""},
		{"blackhole", rt.Blackhole}, {"unreachable", rt.Unreachable},
	} {
		if way.set {
			ways, last = ways+1, way.key
		}
	}
	const want = "exactly one of via, port, tunnel, blackhole: true and unreachable: true"
	switch {
	case ways == 0:
		k.wrong("no way to go", want, "routes", i)
	case ways > 1:
		k.wrong("", want, "routes", i, last)
	}
}

// hops checks the next hops of route i.
func (k *checker) hops(i int, rt *Route) {
	seen := make(map[netip.Addr]bool, len(rt.Via))
	if len(rt.Via) > maxHops {
		k.wrong(fmt.Sprintf("%d next hops", len(rt.Via)), fmt.Sprintf("at most %d", maxHops), "routes", i, "via")
		return
	}
	for j := range rt.Via {
		h := &rt.Via[j]
		if h.Port == "" {
			h.Port = rt.Port
		}
		if h.Port != rt.Port {
			k.port(h.Port, "routes", i, "via", j, "port")
		}
		if !h.Address.IsValid() {
			continue
		}
		if seen[h.Address] {
			k.wrong("", "a next hop once", "routes", i, "via", j, "address")
			continue
		}
		seen[h.Address] = true
		k.onSubnet(h.Port, h.Address, "routes", i, "via", j, "address")
		if h.Port == "" {
			_, h.Port, _ = k.connected[""].covering(single(h.Address))
		}
	}
}

// maxHops bounds the next hops of one route.
const maxHops = 64

// tunnels checks tunnels, their pools and their workers.
func (k *checker) tunnels() {
	type pool struct {
		prefix netip.Prefix
		tunnel int
		index  int
	}
	var pools []pool
	for i := range k.Tunnels {
		t := &k.Tunnels[i]
		k.once(k.names, t.Name, t.Line, "a name", "tunnels", i, "name")
		if _, own := k.own[t.Local]; !own && t.Local.IsValid() && !k.broken["ports"] {
			k.wrong("", "an address of a port", "tunnels", i, "local")
		}
		for j, p := range t.Pools {
			pools = append(pools, pool{p, i, j})
			if !forwardable(p) {
				k.wrong("", "a pool outside 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3", "tunnels", i, "pools", j)
			}
		}
		k.workers(i, t, newPrefixSet(t.Pools, t.Name))
	}
	overlapping(len(pools), func(i int) netip.Prefix { return pools[i].prefix }, func(first, later int) {
		k.wrong("", fmt.Sprintf("a pool that does not overlap %s of tunnel %q",
			pools[first].prefix, k.Tunnels[pools[first].tunnel].Name), "tunnels", pools[later].tunnel, "pools", pools[later].index)
	})
}

// workers checks the workers of tunnel i, whose pools are given.
func (k *checker) workers(i int, t *Tunnel, pools *prefixSet) {
	names, addresses, blocks := map[string]int{}, map[string]int{}, map[string]int{}
	for j, w := range t.Workers {
		at := []any{"tunnels", i, "workers", j}
		k.once(names, w.Name, w.Line, "a name", join(at, "name")...)
		if w.Address.IsValid() {
			k.once(addresses, w.Address.String(), w.Line, "an address", join(at, "address")...)
			if _, own := k.own[w.Address]; own || !unicast(w.Address) {
				k.wrong("", "another host's address, not the gateway's own", join(at, "address")...)
			}
		}
		for b, block := range w.Blocks {
			if !block.IsValid() {
				continue
			}
			if _, _, inside := pools.covering(block); !inside && !k.broken["tunnels"] {
				k.wrong("", "a block inside the tunnel's pools", join(at, "blocks", b)...)
			}
			k.once(blocks, block.String(), w.Line, "a block", join(at, "blocks", b)...)
		}
	}
}
