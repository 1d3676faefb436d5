package appliance

import (
	"net/netip"
	"slices"

	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/fib"
	"openvra/dataplane/flow"
	"openvra/dataplane/neigh"
	"openvra/nat"
)

// decider answers the path's questions for one plan. It does not change once the
// plan is published; safe for concurrent use.
type decider struct {
	plan   *dataplane.Plan
	config *config.Config
	hasher flow.Hasher
	tables *fib.Set
	// views are the tables of the zones that have one, by realm.
	views map[uint16]*fib.View
	// owned are the gateway's addresses, with the port that has them.
	owned map[uint32]uint16
	// kernel are the addresses that the host's kernel keeps on ports, with the port.
	kernel map[uint32]uint16
	// subnets are the connected prefixes of each port.
	subnets  [][]netip.Prefix
	rules    *nat.Rules
	nat      *nat.State
	log      *natLog // nil where nothing is logged
	static   []neigh.StaticEntry
	zones    zonePolicy
	services []service
	hostWay  uint32
	// soft becomes the state's when the plan is adopted.
	soft map[string]softTunnel
}

// service is a class of packets to own addresses that the host gets.
type service struct {
	config.Service
}

// match says whether the packet is of the service.
func (s *service) match(f *nat.Flow) bool {
	proto := func(p config.Protocol) bool { return p == config.AnyProtocol || uint8(p) == f.Proto }
	port := func(r config.PortRange) bool { return r.First <= f.DstPort && f.DstPort <= r.Last }
	from := func(p netip.Prefix) bool { return p.Contains(ip4(f.Src)) }
	return slices.ContainsFunc(s.Protocol, proto) &&
		(len(s.Ports) == 0 || slices.ContainsFunc(s.Ports, port)) &&
		(len(s.Addresses) == 0 || slices.Contains(s.Addresses, ip4(f.Dst))) &&
		(len(s.From) == 0 || slices.ContainsFunc(s.From, from))
}

func (t *decider) serviceFor(f *nat.Flow) *service {
	for i := range t.services {
		if t.services[i].match(f) {
			return &t.services[i]
		}
	}
	return nil
}

func (t *decider) own(a uint32) bool { _, ok := t.owned[a]; return ok }

// Has is Own for an address of another type.
func (t *decider) Has(a netip.Addr) bool { return a.Is4() && t.own(u32(a)) }

// Own implements dataplane.Decider.
func (t *decider) Own(a uint32) bool { return t.own(a) }

// OwnOn implements dataplane.Decider.
func (t *decider) OwnOn(port uint16, a uint32) bool { p, ok := t.owned[a]; return ok && p == port }

// Subnet implements dataplane.Decider.
func (t *decider) Subnet(port uint16, a uint32) bool {
	return slices.ContainsFunc(t.subnets[port], func(p netip.Prefix) bool { return p.Contains(ip4(a)) })
}

// Release implements dataplane.Decider.
func (t *decider) Release(mapping, remote uint32, now int64, closed bool) {
	t.nat.Release(nat.Handle(mapping), remote, now, closed)
}

// lookup finds the route of a packet that came in by port.
func (t *decider) lookup(dst uint32, port uint16) *fib.Route {
	if port != dataplane.NoPort {
		if v := t.views[t.plan.Ports[port].Realm]; v != nil {
			return v.Lookup(dst)
		}
	}
	return t.tables.Main().Lookup(dst)
}

// Reverse implements dataplane.Decider: RFC 3704 sections 2.2 and 2.4.
func (t *decider) Reverse(src uint32, port uint16) bool {
	mode := t.plan.Ports[port].ReversePath
	if mode == dataplane.ReversePathOff {
		return true
	}
	r := t.lookup(src, port)
	if r == nil || r.Kind == fib.Blackhole || r.Kind == fib.Unreachable {
		return false
	}
	if mode == dataplane.ReversePathLoose {
		return true
	}
	for i := range r.Hops {
		if way, reason := t.wayBy(&r.Hops[i], src, 0); reason == drop.None && t.portOf(way) == port {
			return true
		}
	}
	return false
}

// WayTo implements dataplane.Decider.
func (t *decider) WayTo(dst uint32, in uint16) uint32 {
	if in == t.plan.HostPort && t.own(dst) {
		return t.hostWay
	}
	if t.own(dst) {
		return t.hostWay // 0 without a host
	}
	_, way, _ := t.way(dst, in, 0)
	return way
}

// way returns the route and the way to dst of a packet that came in by port.
func (t *decider) way(dst uint32, in uint16, hash uint64) (*fib.Route, uint32, drop.Reason) {
	r := t.lookup(dst, in)
	if r == nil {
		return nil, 0, drop.NoRoute
	}
	switch r.Kind {
	case fib.Blackhole:
		return r, 0, drop.Blackhole
	case fib.Unreachable:
		return r, 0, drop.NoRoute
	case fib.Local:
		return r, 0, drop.LocalNotServed
	case fib.Connected:
		if broadcast(r.Prefix, dst) && r.Hops[0].Tunnel == fib.NoTunnel {
			return r, 0, drop.DirectedBroadcast
		}
	}
	hop := t.pick(r, hash)
	way, reason := t.wayBy(hop, dst, hash)
	return r, way, reason
}

// pick chooses a hop whose port is up, the flow's own if it is.
func (t *decider) pick(r *fib.Route, hash uint64) *fib.Hop {
	hop := r.Pick(hash)
	if t.plan.Ports[hop.Port].Up {
		return hop
	}
	var up []fib.Hop
	for _, h := range r.Hops {
		if t.plan.Ports[h.Port].Up {
			up = append(up, h)
		}
	}
	if len(up) == 0 {
		return hop
	}
	rest := *r
	rest.Hops = up
	return rest.Pick(hash)
}

// wayBy returns the way to dst by a hop.
func (t *decider) wayBy(hop *fib.Hop, dst uint32, hash uint64) (uint32, drop.Reason) {
	if hop.Tunnel != fib.NoTunnel {
		return t.tunnelWay(&t.plan.Tunnels[hop.Tunnel], hop.Tunnel, dst, hash)
	}
	next := dst
	if hop.Via.IsValid() {
		next = u32(hop.Via)
	}
	return t.add(dataplane.Way{NextHop: next}, hop.Port)
}

// tunnelWay returns the way to the worker that has the pod dst: encapsulated, or
// plain where the tunnel's mode says so.
func (t *decider) tunnelWay(tun *dataplane.Tunnel, index int16, dst uint32, hash uint64) (uint32, drop.Reason) {
	peer := tun.Peer(dst)
	if peer == nil {
		return 0, drop.NoRoute
	}
	r := t.tables.Main().Lookup(peer.Addr)
	if r == nil || len(r.Hops) == 0 {
		return 0, drop.NoRoute
	}
	hop := t.pick(r, hash)
	if hop.Tunnel != fib.NoTunnel {
		return 0, drop.TunnelNested
	}
	way := dataplane.Way{NextHop: peer.Addr}
	if hop.Via.IsValid() {
		way.NextHop = u32(hop.Via)
	}
	if tun.Encapsulates(peer.Addr, t.subnetOf(tun.Local)) {
		way.Encap, way.Tunnel, way.Peer = true, index, uint16(peer.Index)
		way.OuterSrc, way.OuterDst = tun.Local, peer.Addr
	}
	return t.add(way, hop.Port)
}

// subnetOf returns the subnet of the port address a.
func (t *decider) subnetOf(a uint32) netip.Prefix {
	for _, p := range t.plan.Ports[t.owned[a]].Addresses {
		if u32(p.Addr()) == a {
			return p.Masked()
		}
	}
	return netip.Prefix{}
}

// add completes a way by a port, and returns its index.
func (t *decider) add(way dataplane.Way, port uint16) (uint32, drop.Reason) {
	p := &t.plan.Ports[port]
	if !p.Up {
		return 0, drop.PortDown
	}
	way.Port, way.Physical, way.Kind = port, p.Physical, p.Kind
	way.MTU, way.MSS, way.SrcMAC, way.Tags = p.MTU, p.MSS, p.MAC, p.Tags
	if way.Encap {
		tp := &t.plan.Ports[t.plan.Tunnels[way.Tunnel].Port]
		way.MTU -= overhead
		if tp.MTU != 0 {
			way.MTU = min(way.MTU, tp.MTU)
		}
		way.MSS = tp.MSS
	}
	if way.MSS == mssAuto {
		way.MSS = uint16(max(int(way.MTU)-40, 0))
	}
	if p.Kind != dataplane.PortEthernet {
		way.NextHop = 0
	}
	if i := t.plan.Ways.Add(way); i != 0 {
		return i, drop.None
	}
	return 0, drop.NeighborTableFull
}

const (
	overhead = 20     // of the outer IPv4 header, in bytes
	mssAuto  = 0xffff // in Port.MSS: what the way's MTU allows
)

// portOf returns the logical port of a way: the tunnel's if it encapsulates.
func (t *decider) portOf(way uint32) uint16 {
	v := &t.plan.Ways.All()[way]
	if v.Encap {
		return t.plan.Tunnels[v.Tunnel].Port
	}
	return v.Port
}

// addressOf returns the first address of a port, 0 if it has none.
func (t *decider) addressOf(port uint16) uint32 {
	if a := t.plan.Ports[port].Addresses; len(a) > 0 {
		return u32(a[0].Addr())
	}
	return 0
}

// broadcast says whether a is the broadcast or the network address of a subnet that
// has them (RFC 3021: not those of 31 bits).
func broadcast(p netip.Prefix, a uint32) bool {
	if p.Bits() >= 31 {
		return false
	}
	host := uint32(1)<<(32-p.Bits()) - 1
	return a&host == host || a&host == 0
}

func ip4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func u32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
