package appliance

import (
	"net/netip"

	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/fib"
	"openvra/nat"
)

// addRoutes makes the tables: connected subnets, tunnels' pools, then what the file
// lists, which wins where it says the same prefix.
func (b *builder) addRoutes() error {
	tables := map[string]*fib.Builder{config.MainTable: fib.NewBuilder()}
	table := func(name string) *fib.Builder {
		if tables[name] == nil {
			tables[name] = fib.NewBuilder()
		}
		return tables[name]
	}
	listed := map[netip.Prefix]bool{}
	for i := range b.c.Routes {
		if b.c.Routes[i].Table == config.MainTable {
			listed[b.c.Routes[i].To] = true
		}
	}
	main := table(config.MainTable)
	for i := range b.plan.Ports {
		p := &b.plan.Ports[i]
		if p.Kind == dataplane.PortAbsent || p.Kind == dataplane.PortTunnel {
			continue
		}
		for _, a := range p.Addresses {
			if a.Bits() == 32 || listed[a.Masked()] {
				continue
			}
			listed[a.Masked()] = true
			r := fib.Route{Prefix: a.Masked(), Kind: fib.Connected, Line: p.Line, Source: "port " + p.Name,
				Hops: []fib.Hop{{Port: uint16(i), Tunnel: fib.NoTunnel}}}
			if err := main.Add(r); err != nil {
				return err
			}
		}
	}
	for i := range b.plan.Tunnels {
		t := &b.plan.Tunnels[i]
		for _, pool := range b.c.Tunnels[i].Pools {
			if listed[pool] {
				continue
			}
			listed[pool] = true
			r := fib.Route{Prefix: pool, Kind: fib.Connected, Line: t.Line, Source: "tunnel " + t.Name,
				Hops: []fib.Hop{{Port: t.Port, Tunnel: int16(i)}}}
			if err := main.Add(r); err != nil {
				return err
			}
		}
	}
	for i := range b.c.Routes {
		c := &b.c.Routes[i]
		if err := table(c.Table).Add(b.route(c)); err != nil {
			return err
		}
	}
	named := map[string]*fib.Table{}
	for name, t := range tables {
		if name != config.MainTable {
			named[name] = t.Build()
		}
	}
	b.t.tables = fib.NewSet(main.Build(), named)
	for _, z := range b.c.Zones {
		if realm, ok := b.realms.number[z.Name]; ok && z.Table != config.MainTable {
			v := b.t.tables.View(z.Table)
			b.t.views[realm] = &v
		}
	}
	return nil
}

func (b *builder) route(c *config.Route) fib.Route {
	r := fib.Route{Prefix: c.To, Line: c.Line, Source: "static"}
	switch {
	case c.Blackhole:
		r.Kind = fib.Blackhole
	case c.Unreachable:
		r.Kind = fib.Unreachable
	case c.Tunnel != "":
		r.Kind = fib.Connected
		port := b.ports.number[c.Tunnel]
		r.Hops = []fib.Hop{{Port: port, Tunnel: b.plan.Ports[port].Tunnel}}
	case len(c.Via) == 0:
		r.Kind = fib.Connected
		r.Hops = []fib.Hop{{Port: b.ports.number[c.Port], Tunnel: fib.NoTunnel}}
	default:
		r.Kind = fib.Via
		for _, h := range c.Via {
			r.Hops = append(r.Hops, fib.Hop{Via: h.Address, Port: b.ports.number[h.Port], Tunnel: fib.NoTunnel, Weight: uint8(h.Weight)})
		}
	}
	return r
}

// links returns the logical ports that a list of port and zone names means; nil for
// an empty list, which means all.
func (b *builder) links(list []string) nat.LinkSet {
	if len(list) == 0 {
		return nil
	}
	var ports []uint16
	for _, n := range list {
		if i, ok := b.ports.number[n]; ok && int(i) < len(b.plan.Ports) && b.plan.Ports[i].Kind != dataplane.PortAbsent {
			ports = append(ports, i)
		}
		ports = append(ports, b.zones[n]...)
	}
	return nat.Links(ports...)
}

func (b *builder) addNAT() error {
	var s nat.Section
	for i := range b.c.NAT.OneToOne {
		c := &b.c.NAT.OneToOne[i]
		s.OneToOne = append(s.OneToOne, nat.OneToOne{
			Name: c.Name, Line: c.Line, Outside: c.Outside, Inside: c.Inside, Links: b.links(c.Out), Hairpin: true,
		})
	}
	for i := range b.c.NAT.Destination {
		c := &b.c.NAT.Destination[i]
		s.Destinations = append(s.Destinations, nat.Destination{
			Name: c.Name, Line: c.Line, In: b.links(c.In), From: c.From, To: []netip.Prefix{netip.PrefixFrom(c.To, 32)},
			Protos: protos(c.Protocol), Ports: ranges(c.Ports),
			New: netip.PrefixFrom(c.Translate.Address, 32), NewPorts: portRange(c.Translate.Ports), Hairpin: c.Hairpin, Log: c.Log,
		})
	}
	for i := range b.c.NAT.Source {
		c := &b.c.NAT.Source[i]
		r := nat.Source{
			Name: c.Name, Line: c.Line, Out: b.links(c.Out), From: c.From, NotFrom: c.NotFrom, To: c.To, NotTo: c.NotTo,
			Protos: protos(c.Protocol), DstPorts: ranges(c.Ports), Kind: nat.Pool, Log: c.Log, Ports: portRange(c.Translate.Ports),
		}
		switch {
		case c.Exempt:
			r.Kind, r.Ports = nat.Exempt, nat.PortRange{}
		case c.Translate.Masquerade():
			r.Kind = nat.Masquerade
		default:
			for _, a := range c.Translate.Addresses {
				r.Addresses = append(r.Addresses, nat.AddrRange{First: a.First, Last: a.Last})
			}
		}
		s.Sources = append(s.Sources, r)
	}
	s.Reserved = b.reserved()
	rules, err := nat.Compile(s)
	if err != nil {
		return err
	}
	b.t.rules = rules
	// Outside addresses of pools and static rules are the gateway's: it answers
	// ARP for those that lie in a connected subnet.
	for i := range b.c.NAT.OneToOne {
		b.claim(b.c.NAT.OneToOne[i].Outside)
	}
	for i := range b.c.NAT.Destination {
		b.claim(netip.PrefixFrom(b.c.NAT.Destination[i].To, 32))
	}
	for i := range b.c.NAT.Source {
		for _, r := range b.c.NAT.Source[i].Translate.Addresses {
			if r.First.IsValid() {
				b.claimRange(r.First, r.Last)
			}
		}
	}
	return nil
}

// reserved are the tuples that services of the host listen on.
func (b *builder) reserved() (list []nat.Reserved) {
	for i := range b.c.Host.Services {
		s := &b.c.Host.Services[i]
		addrs := s.Addresses
		if len(addrs) == 0 {
			addrs = []netip.Addr{{}}
		}
		for _, a := range addrs {
			for _, p := range s.Protocol {
				if len(s.Ports) == 0 {
					continue // all ports of an address: it would leave none to translate with
				}
				for _, r := range s.Ports {
					list = append(list, nat.Reserved{Addr: a, Proto: uint8(p), Ports: portRange(r)})
				}
			}
		}
	}
	return list
}

// claim makes addresses of a prefix that lies in a connected subnet the gateway's.
func (b *builder) claim(p netip.Prefix) {
	last := u32(p.Addr()) | uint32(1<<(32-p.Bits())-1)
	b.claimRange(p.Addr(), ip4(last))
}

const maxClaim = 1 << 16 // addresses of one range that the gateway answers ARP for

func (b *builder) claimRange(first, last netip.Addr) {
	lo, hi := u32(first), u32(last)
	if hi-lo >= maxClaim {
		hi = lo + maxClaim - 1
	}
	for a := uint64(lo); a <= uint64(hi); a++ {
		if _, ok := b.t.owned[uint32(a)]; ok {
			continue
		}
		r := b.t.tables.Main().Lookup(uint32(a))
		b.t.owned[uint32(a)] = dataplane.NoPort // routed to us: no ARP
		if r != nil && r.Kind == fib.Connected && r.Hops[0].Tunnel == fib.NoTunnel {
			b.t.owned[uint32(a)] = r.Hops[0].Port
		}
	}
}

func protos(ps []config.Protocol) (list []uint8) {
	for _, p := range ps {
		if p == config.AnyProtocol {
			return nil
		}
		list = append(list, uint8(p))
	}
	return list
}

func ranges(rs []config.PortRange) (list []nat.PortRange) {
	for _, r := range rs {
		list = append(list, portRange(r))
	}
	return list
}

func portRange(r config.PortRange) nat.PortRange { return nat.PortRange{First: r.First, Last: r.Last} }
