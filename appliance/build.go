package appliance

import (
	"fmt"
	"net/netip"

	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/fib"
	"openvra/dataplane/flow"
	"openvra/dataplane/link"
	"openvra/dataplane/neigh"
	"openvra/dataplane/session"
	"openvra/dataplane/tunnel"
	"openvra/nat"
)

// names gives numbers to names for good: a port or zone keeps its number through
// reloads, so that what sessions hold never changes its meaning.
type names struct {
	number map[string]uint16
	list   []string
}

func (n *names) of(name string) (uint16, error) {
	if i, ok := n.number[name]; ok {
		return i, nil
	}
	if len(n.list) >= dataplane.NoPort {
		return 0, fmt.Errorf("name %q: got %d names since the start; want fewer: restart", name, len(n.list))
	}
	if n.number == nil {
		n.number = map[string]uint16{}
	}
	i := uint16(len(n.list))
	n.number[name] = i
	n.list = append(n.list, name)
	return i, nil
}

// state is what outlives a plan and is shared by all that follow.
type state struct {
	ports, realms names
	hasher        flow.Hasher
	neighbors     *neigh.Table
	nat           *nat.State
	// log is nil where nothing is logged.
	log *natLog
	// generation is that of the plan adopted last.
	generation uint32
	// soft is what is known of tunnel paths, by the tunnel's name.
	soft map[string]softTunnel
}

// adopt makes what a plan needs of the shared state so, before the plan is used. What
// could fail, build has looked at.
func (s *state) adopt(d *decider, now int64) error {
	if err := s.neighbors.SetStatic(d.static, now); err != nil {
		return err
	}
	s.neighbors.SetReachable(int64(d.config.Timeouts.Neighbor))
	s.nat.Bind(d.rules)
	s.soft, s.generation = d.soft, d.plan.Generation
	return nil
}

type softTunnel struct {
	tunnel *tunnel.Tunnel
	state  *tunnel.SoftState
}

// builder makes a plan of a configuration.
type builder struct {
	*state
	c      *config.Config
	device func(name string) link.Info
	plan   *dataplane.Plan
	t      *decider
	zones  map[string][]uint16
	// anyMAC lets ports without a configured MAC take frames for every address:
	// for captures, which were taken elsewhere.
	anyMAC bool
}

// hostPort is the name of the logical port to the host; no configured name has it.
const hostPort = "host"

// build returns the plan of c. Device says what is known of an open physical port by
// its name in the configuration. Nothing but the registry of names changes.
func (s *state) build(c *config.Config, device func(string) link.Info, anyMAC bool) (*decider, error) {
	b := &builder{state: s, c: c, device: device, anyMAC: anyMAC, zones: map[string][]uint16{}}
	b.plan = &dataplane.Plan{
		Generation: s.generation + 1,
		HostPort:   dataplane.NoPort,
		Ways:       dataplane.NewWays(),
		Neighbors:  s.neighbors,
		Timeouts:   timeouts(c.Timeouts),
		Limits:     limits(c),
	}
	b.t = &decider{plan: b.plan, config: c, hasher: s.hasher, nat: s.nat, log: s.log, owned: map[uint32]uint16{}, views: map[uint16]*fib.View{}}
	b.plan.Decider = b.t
	for _, f := range []func() error{b.addPorts, b.addTunnels, b.addHost, b.addRoutes, b.addVia, b.addNeighbors, b.addPolicy, b.addNAT} {
		if err := f(); err != nil {
			return nil, err
		}
	}
	for len(b.plan.Ports) < len(b.ports.list) {
		b.plan.Ports = append(b.plan.Ports, dataplane.Port{Physical: dataplane.NoPort, Tunnel: -1})
	}
	b.t.subnets = make([][]netip.Prefix, len(b.plan.Ports))
	for i := range b.plan.Ports {
		for _, a := range b.plan.Ports[i].Addresses {
			b.t.subnets[i] = append(b.t.subnets[i], a.Masked())
		}
	}
	return b.t, nil
}

func timeouts(t config.Timeouts) *[session.States]uint32 {
	return session.Timeouts{
		TCPSyn: t.TCPSYN, TCPEstablished: t.TCPEstablished, TCPTransitory: t.TCPTransitory, TCPReset: t.TCPReset,
		UDP: t.UDP, UDPNew: t.UDP, ICMP: t.ICMP, Other: t.Other,
	}.Ticks()
}

func limits(c *config.Config) dataplane.Limits {
	l := c.Limits
	return dataplane.Limits{
		FragmentDatagrams: l.Fragments, FragmentBytes: int(l.FragmentBytes), FragmentsPer: l.FragmentsPerDatagram,
		FragmentTimeout: int64(c.Timeouts.Fragment),
		ICMPPerSecond:   l.ICMPErrorsPerSecond, ICMPBurst: l.ICMPErrorBurst, ICMPPerDestination: l.ICMPErrorsPerDestination,
		ARPPerSecond: l.ARPPerSecond, HalfOpenPercent: l.HalfOpenPercent, LogLinesPerSecond: l.LogLinesPerSecond,
		HeldPackets: l.HeldPackets, HeldPerNeighbor: l.NeighborQueue,
	}
}

// put stores a logical port under its name's number.
func (b *builder) put(p dataplane.Port) (uint16, error) {
	i, err := b.ports.of(p.Name)
	if err != nil {
		return 0, err
	}
	if p.Realm, err = b.realms.of(p.Zone); err != nil {
		return 0, err
	}
	for len(b.plan.Ports) <= int(i) {
		b.plan.Ports = append(b.plan.Ports, dataplane.Port{Physical: dataplane.NoPort, Tunnel: -1})
	}
	if p.Kind == dataplane.PortEthernet && p.Physical == dataplane.NoPort || p.Kind == dataplane.PortPoint || p.Kind == dataplane.PortHost {
		p.Physical = i // a device's own port
	}
	b.plan.Ports[i] = p
	b.zones[p.Zone] = append(b.zones[p.Zone], i)
	for _, a := range p.Addresses {
		b.t.owned[u32(a.Addr())] = i
	}
	return i, nil
}

func (b *builder) addPorts() error {
	for i := range b.c.Ports {
		c := &b.c.Ports[i]
		info := b.device(c.Name)
		p := dataplane.Port{
			Kind: dataplane.PortEthernet, Physical: dataplane.NoPort, Tunnel: -1,
			MAC: macOf(c.MAC, info), MTU: uint32(orDevice(c.MTU, info.MTU)), Up: info.Up,
			AnyMAC:      b.anyMAC && c.MAC == (config.MAC{}),
			ReversePath: reversePath(c.RPF), MSS: mss(c.MSSClamp),
			Name: c.Name, Zone: c.Zone, Addresses: withVIPs(c.Addresses, c.VIPs), Line: c.Line,
		}
		if info.L3 {
			p.Kind, p.MAC = dataplane.PortPoint, 0
		}
		if len(c.VLANs) > 0 {
			p.VLANs = map[[2]uint16]uint16{}
		}
		phys, err := b.put(p)
		if err != nil {
			return err
		}
		for j := range c.VLANs {
			v := &c.VLANs[j]
			sub := p
			sub.Physical, sub.VLANs, sub.Line = phys, nil, v.Line
			sub.Name, sub.Zone, sub.Addresses = v.Name, v.Zone, withVIPs(v.Addresses, v.VIPs)
			sub.ReversePath, sub.MSS = reversePath(v.RPF), mss(v.MSSClamp)
			if v.MTU != 0 {
				sub.MTU = uint32(v.MTU)
			}
			var key [2]uint16
			key, sub.Tags = tags(v)
			i, err := b.put(sub)
			if err != nil {
				return err
			}
			p.VLANs[key] = i
		}
	}
	return nil
}

// tags returns a sub-port's tags as parse looks them up, and as transmit writes them.
func tags(v *config.VLAN) ([2]uint16, [2]uint32) {
	outer := uint32(0x8100) << 16
	if v.Protocol == "802.1ad" {
		outer = 0x88a8 << 16
	}
	if v.ID != 0 {
		return [2]uint16{uint16(v.ID)}, [2]uint32{outer | uint32(v.ID)}
	}
	return [2]uint16{uint16(v.Outer), uint16(v.Inner)}, [2]uint32{outer | uint32(v.Outer), 0x8100<<16 | uint32(v.Inner)}
}

func withVIPs(as []netip.Prefix, vips []netip.Addr) []netip.Prefix {
	list := append([]netip.Prefix(nil), as...)
	for _, v := range vips {
		list = append(list, netip.PrefixFrom(v, 32))
	}
	return list
}

func macOf(m config.MAC, info link.Info) uint64 {
	b := [6]byte(m)
	if b == ([6]byte{}) {
		b = info.MAC
	}
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}

func orDevice(mtu, device int) int {
	if mtu == 0 || device != 0 && mtu > device {
		return device
	}
	return mtu
}

func reversePath(r config.RPF) dataplane.ReversePath {
	switch r {
	case config.RPFStrict:
		return dataplane.ReversePathStrict
	case config.RPFLoose:
		return dataplane.ReversePathLoose
	}
	return dataplane.ReversePathOff
}

func mss(n int) uint16 {
	if n == config.MSSAuto {
		return mssAuto
	}
	return uint16(n)
}

func (b *builder) addTunnels() error {
	soft := map[string]softTunnel{}
	for i := range b.c.Tunnels {
		c := &b.c.Tunnels[i]
		tc := tunnel.Config{
			Name: c.Name, Local: c.Local, Mode: tunnelModes[c.Mode], Pools: c.Pools,
			StrictSource: c.RPF == config.RPFStrict, PathMTUAge: int64(c.PMTUAge), PeerRate: c.PeerRate,
			Options: tunnel.Options{TTL: uint8(c.TTL), SetDF: c.DF == config.DFSet},
		}
		if c.DSCP == config.InheritDSCP {
			tc.Options.CopyDSCP = true
		} else {
			tc.Options.DSCP = uint8(c.DSCP)
		}
		for _, w := range c.Workers {
			tc.Workers = append(tc.Workers, tunnel.Worker{Name: w.Name, Address: w.Address, Blocks: w.Blocks, Line: w.Line})
		}
		t, err := tunnel.New(tc)
		if err != nil {
			return err
		}
		// The local end stays owned by the port that has it.
		at := b.t.owned[u32(c.Local)]
		port, err := b.put(dataplane.Port{
			Name: c.Name, Zone: c.Zone, Kind: dataplane.PortTunnel, Physical: dataplane.NoPort, Tunnel: int16(i),
			Up: true, MTU: uint32(c.MTU), MSS: mss(c.MSSClamp), ReversePath: reversePath(c.RPF),
			Addresses: []netip.Prefix{netip.PrefixFrom(c.Local, 32)}, Line: c.Line,
		})
		if err != nil {
			return err
		}
		b.t.owned[u32(c.Local)] = at
		before := b.soft[c.Name]
		st := tunnel.NewSoftState(t, before.tunnel, before.state)
		soft[c.Name] = softTunnel{t, st}
		b.plan.Tunnels = append(b.plan.Tunnels, dataplane.Tunnel{Tunnel: t, Soft: st, Port: port, Line: c.Line})
	}
	b.t.soft = soft
	return nil
}

// addVia notes by which ports the routes lead to the workers of tunnels.
func (b *builder) addVia() error {
	for i := range b.plan.Tunnels {
		t := &b.plan.Tunnels[i]
		t.Via = make([][]uint16, len(t.Peers()))
		for _, p := range t.Peers() {
			r := b.t.tables.Main().Lookup(p.Addr)
			if r == nil {
				continue
			}
			for _, h := range r.Hops {
				t.Via[p.Index] = append(t.Via[p.Index], h.Port)
			}
		}
	}
	return nil
}

var tunnelModes = map[config.Mode]tunnel.Mode{config.Always: tunnel.Always, config.CrossSubnet: tunnel.CrossSubnet, config.Never: tunnel.Never}

// addNeighbors takes the static neighbors in, if the table can hold them.
func (b *builder) addNeighbors() error {
	for i := range b.c.Neighbors {
		c := &b.c.Neighbors[i]
		b.t.static = append(b.t.static, neigh.StaticEntry{
			Port: b.ports.number[c.Port], IP: u32(c.Address), MAC: neigh.MACOf(c.MAC[:]),
		})
	}
	return b.neighbors.CheckStatic(b.t.static)
}

func (b *builder) addHost() error {
	if !b.c.Host.Enabled {
		return nil
	}
	info := b.device(hostPort)
	i, err := b.put(dataplane.Port{
		Name: hostPort, Zone: hostPort, Kind: dataplane.PortHost, Physical: dataplane.NoPort, Tunnel: -1,
		MTU: uint32(orDevice(b.c.Host.MTU, info.MTU)), Up: info.Up,
	})
	if err != nil {
		return err
	}
	b.plan.HostPort = i
	if info.Up {
		b.t.hostWay, _ = b.t.add(dataplane.Way{}, i)
	}
	for _, s := range b.c.Host.Services {
		b.t.services = append(b.t.services, service{s})
	}
	return nil
}
