package appliance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"openvra/dataplane"
)

// The host port is a TUN that has the gateway's addresses, so that sockets of the host
// can be bound to them. What the host sends from them goes back by the TUN: a routing
// rule for each address leads to a table with one route. The addresses and the route go
// with the TUN, however the gateway ends; the rules stay when it is killed, lead to an
// empty table then, and are removed by the next start.
const (
	hostTable    = 7654
	hostPriority = 7654
	hostProtocol = 0xfa // rtm_protocol, marks rules as ours
)

// attachHost tells the kernel of the host port's addresses.
func (g *Gateway) attachHost(d *decider) error {
	p, ok := g.ports[hostPort]
	if !ok {
		return g.detachHost()
	}
	if err := g.kernel.attachHost(p.Info().Index, d.hostAddresses()); err != nil {
		return fmt.Errorf("host port: %w", err)
	}
	g.hostAttached = true
	return nil
}

// detachHost removes the rules of the host port, if there are any.
func (g *Gateway) detachHost() error {
	if !g.hostAttached {
		return nil
	}
	g.hostAttached = false
	return g.kernel.hostRules(nil)
}

// hostAddresses are the addresses at which the host can serve: those of all ports.
func (t *decider) hostAddresses() (list []netip.Addr) {
	for i := range t.plan.Ports {
		if p := &t.plan.Ports[i]; p.Kind == dataplane.PortEthernet || p.Kind == dataplane.PortPoint {
			for _, a := range p.Addresses {
				list = append(list, a.Addr())
			}
		}
	}
	return list
}

// sweepHost removes the rules that a killed gateway has left. It is an error, where this
// gateway is to have a host port, if another one that lives has one: its table is used.
func (k *kernel) sweepHost(wanted bool) error {
	used, err := k.hostTableUsed()
	switch {
	case err == nil && used && wanted:
		return fmt.Errorf("host port: routing table %d is in use, by another gateway with a host port", hostTable)
	case err == nil && !used:
		err = k.hostRules(nil)
	}
	if err != nil && wanted { // a kernel without policy routing is no other gateway's concern
		return fmt.Errorf("host port: %w", err)
	}
	return nil
}

func (k *kernel) hostTableUsed() (bool, error) {
	routes, err := k.conn.Route.List()
	if err != nil {
		return false, fmt.Errorf("list routes: %w", err)
	}
	return slices.ContainsFunc(routes, func(r rtnetlink.RouteMessage) bool {
		return r.Family == unix.AF_INET && r.Attributes.Table == hostTable
	}), nil
}

// attachHost gives the host port's device the addresses, these and no others, and
// routes what the host sends from them through it. What is there already stays.
func (k *kernel) attachHost(index int, addrs []netip.Addr) error {
	have, err := k.addresses(index)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if !slices.Contains(have, a) {
			if err := k.conn.Address.New(hostAddress(index, a)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("add %v: %w", a, err)
			}
		}
	}
	for _, a := range have {
		if !slices.Contains(addrs, a) {
			if err := k.conn.Address.Delete(hostAddress(index, a)); err != nil {
				return fmt.Errorf("take %v away: %w", a, err)
			}
		}
	}
	if err := k.conn.Route.Replace(&rtnetlink.RouteMessage{
		Family: unix.AF_INET, Table: unix.RT_TABLE_UNSPEC, Protocol: unix.RTPROT_STATIC,
		Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{OutIface: uint32(index), Table: hostTable},
	}); err != nil {
		return fmt.Errorf("route what the host sends: %w", err)
	}
	return k.hostRules(addrs)
}

func hostAddress(index int, a netip.Addr) *rtnetlink.AddressMessage {
	ip := net.IP(a.AsSlice())
	return &rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: 32, Scope: unix.RT_SCOPE_UNIVERSE, Index: uint32(index),
		Attributes: &rtnetlink.AddressAttributes{Address: ip, Local: ip},
	}
}

// hostRules makes the routing rules of ours exactly those for addrs.
func (k *kernel) hostRules(addrs []netip.Addr) error {
	rules, err := k.conn.Rule.List()
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	missing := slices.Clone(addrs)
	for i := range rules {
		a, ours := hostRuleOf(&rules[i])
		if !ours {
			continue
		}
		if j := slices.Index(missing, a); j >= 0 {
			missing = slices.Delete(missing, j, j+1)
			continue
		}
		if err := k.conn.Rule.Delete(hostRule(a)); err != nil {
			return fmt.Errorf("delete the routing rule from %v: %w", a, err)
		}
	}
	for _, a := range missing {
		if err := k.conn.Rule.Add(hostRule(a)); err != nil {
			return fmt.Errorf("add a routing rule from %v: %w", a, err)
		}
	}
	return nil
}

// hostRuleOf returns the address that a rule of ours is for.
func hostRuleOf(r *rtnetlink.RuleMessage) (netip.Addr, bool) {
	t := r.Attributes
	if r.Family != unix.AF_INET || t == nil || t.Src == nil || t.Priority == nil || *t.Priority != hostPriority ||
		t.Protocol == nil || *t.Protocol != hostProtocol {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(t.Src.To4())
}

func hostRule(a netip.Addr) *rtnetlink.RuleMessage {
	src := net.IP(a.AsSlice())
	table, priority, protocol := uint32(hostTable), uint32(hostPriority), uint8(hostProtocol)
	return &rtnetlink.RuleMessage{
		Family: unix.AF_INET, SrcLength: 32, Action: unix.FR_ACT_TO_TBL,
		Attributes: &rtnetlink.RuleAttributes{Src: &src, Table: &table, Priority: &priority, Protocol: &protocol},
	}
}
