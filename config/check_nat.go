package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// nat checks the rules of address translation.
func (k *checker) nat() {
	names, matchers := map[string]int{}, map[string]int{}
	for i := range k.NAT.Source {
		r := &k.NAT.Source[i]
		k.hidden(matchers, fmt.Sprint(r.Out, r.From, r.NotFrom, r.To, r.NotTo, r.Protocol, r.Ports), r.Line, "nat", "source", i)
		k.once(names, r.Name, r.Line, "a name", "nat", "source", i, "name")
		k.portsOrZones(r.Out, "nat", "source", i, "out")
		k.portsNeedProtocol(r.Protocol, r.Ports, "nat", "source", i)
		k.source(i, r)
	}
	names, matchers = map[string]int{}, map[string]int{}
	for i := range k.NAT.Destination {
		r := &k.NAT.Destination[i]
		k.hidden(matchers, fmt.Sprint(r.In, r.To, r.Protocol, r.Ports, r.From), r.Line, "nat", "destination", i)
		k.once(names, r.Name, r.Line, "a name", "nat", "destination", i, "name")
		k.portsOrZones(r.In, "nat", "destination", i, "in")
		k.portsNeedProtocol(r.Protocol, r.Ports, "nat", "destination", i)
		k.destination(i, r)
	}
	k.oneToOne()
}

// hidden reports a rule that never decides, as an earlier one matches the same.
func (k *checker) hidden(seen map[string]int, matcher string, line int, path ...any) {
	if k.broken["nat"] {
		return // a matcher that could not be read looks absent
	}
	if before, again := seen[matcher]; again {
		k.wrong("a rule that never decides", fmt.Sprintf("other packets than the rule on line %d matches", before), path...)
		return
	}
	seen[matcher] = line
}

// source checks the translation of source rule i.
func (k *checker) source(i int, r *SourceNAT) {
	t := &r.Translate
	at := []any{"nat", "source", i, "translate"}
	switch {
	case k.broken["nat"]: // a translation that could not be read looks absent
	case r.Exempt && len(t.Addresses) > 0:
		k.wrong("a translation", "none beside exempt: true", at...)
	case !r.Exempt && len(t.Addresses) == 0:
		k.wrong("nothing", "masquerade, an address, or a mapping of addresses and ports; or exempt: true", at...)
	case !r.Exempt && len(r.Out) == 0:
		k.wrong("nothing", "the ports or zones the packets leave by", "nat", "source", i, "out")
	}
	for j, a := range t.Addresses {
		switch {
		case a == AddressRange{}:
			if len(t.Addresses) > 1 {
				k.wrong("", "masquerade alone, or addresses", join(at, "addresses", j)...)
			}
		case !unicast(a.First) || !unicast(a.Last):
			k.wrong("", "addresses of hosts", join(at, "addresses", j)...)
		}
	}
	slicesOverlap(t.Addresses, func(j int) {
		k.wrong("", "each address once", join(at, "addresses", j)...)
	})
}

// slicesOverlap calls found for ranges that overlap an earlier one in address order.
func slicesOverlap(ranges []AddressRange, found func(index int)) {
	order := make([]int, 0, len(ranges))
	for i, r := range ranges {
		if r != (AddressRange{}) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return ranges[a].First.Compare(ranges[b].First) })
	var last netip.Addr
	for _, i := range order {
		if last.IsValid() && !last.Less(ranges[i].First) {
			found(i)
		}
		if !last.IsValid() || last.Less(ranges[i].Last) {
			last = ranges[i].Last
		}
	}
}

// destination checks the translation of destination rule i.
func (k *checker) destination(i int, r *DestinationNAT) {
	if r.To.IsValid() && !unicast(r.To) {
		k.wrong("", "the address of a host", "nat", "destination", i, "to")
	}
	to := r.Translate
	if !to.Address.IsValid() {
		return
	}
	if !unicast(to.Address) {
		k.wrong("", "the address of a host", "nat", "destination", i, "translate")
		return
	}
	n := to.Ports.Count()
	switch {
	case n == 0 || k.broken["nat"]:
	case len(r.Ports) != 1:
		k.wrong("", "no new ports, or one port or range in ports", "nat", "destination", i, "translate")
	case r.Ports[0].Count() != n:
		k.wrong("", fmt.Sprintf("as many ports as %s, %d", r.Ports[0], r.Ports[0].Count()), "nat", "destination", i, "translate")
	}
}

// portsNeedProtocol holds ports to protocols that have them, and any to standing alone.
func (k *checker) portsNeedProtocol(protocols []Protocol, ports []PortRange, path ...any) {
	if k.broken[path[0].(string)] {
		return
	}
	if slices.Contains(protocols, AnyProtocol) && len(protocols) > 1 {
		k.wrong("any beside others", "any alone", join(path, "protocol")...)
	}
	k.keyNeedsProtocol("ports", protocols, ports, path...)
}

// keyNeedsProtocol holds the ports of a key to protocols that have them.
func (k *checker) keyNeedsProtocol(key string, protocols []Protocol, ports []PortRange, path ...any) {
	without := func(p Protocol) bool { return !p.HasPorts() }
	if len(ports) > 0 && !k.broken[path[0].(string)] && (len(protocols) == 0 || slices.ContainsFunc(protocols, without)) {
		k.wrong("", "protocol tcp or udp beside "+key, join(path, key)...)
	}
}

// oneToOne checks one-to-one rules.
func (k *checker) oneToOne() {
	names := map[string]int{}
	rules := k.NAT.OneToOne
	for i, r := range rules {
		at := []any{"nat", "oneToOne", i}
		k.once(names, r.Name, r.Line, "a name", join(at, "name")...)
		k.portsOrZones(r.Out, join(at, "out")...)
		if !r.Outside.IsValid() || !r.Inside.IsValid() {
			continue
		}
		if r.Outside.Bits() != r.Inside.Bits() {
			k.wrong("", fmt.Sprintf("a prefix as long as outside, /%d", r.Outside.Bits()), join(at, "inside")...)
		}
		if !unicast(r.Outside.Addr()) {
			k.wrong("", "addresses of hosts", join(at, "outside")...)
		}
		if !unicast(r.Inside.Addr()) {
			k.wrong("", "addresses of hosts", join(at, "inside")...)
		}
	}
	k.ownPrefix("outside", func(i int) netip.Prefix { return rules[i].Outside })
	k.ownPrefix("inside", func(i int) netip.Prefix { return rules[i].Inside })
}

// ownPrefix holds one-to-one rules to prefixes, under key, that do not overlap.
func (k *checker) ownPrefix(key string, prefix func(int) netip.Prefix) {
	rules := k.NAT.OneToOne
	overlapping(len(rules), prefix, func(first, later int) {
		k.wrong("", fmt.Sprintf("addresses of its own; line %d has %s", rules[first].Line, prefix(first)),
			"nat", "oneToOne", later, key)
	})
}

// host checks local services.
func (k *checker) host() {
	names := map[string]int{}
	for i := range k.Host.Services {
		s := &k.Host.Services[i]
		at := []any{"host", "services", i}
		k.once(names, s.Name, s.Line, "a name", join(at, "name")...)
		k.portsNeedProtocol(s.Protocol, s.Ports, at...)
		for j, a := range s.Addresses {
			if _, own := k.own[a]; !own && a.IsValid() && !k.broken["ports"] {
				k.wrong("", "an address of a port", join(at, "addresses", j)...)
			}
		}
	}
	if len(k.Host.Services) > 0 && !k.Host.Enabled && !k.broken["host"] {
		k.wrong("", "host.enabled: true beside services", "host", "services")
	}
}
