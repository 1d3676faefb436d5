package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// kernel is the gateway's view of the Linux host it runs on, over rtnetlink, in the
// network namespace in which it was opened.
type kernel struct {
	conn *rtnetlink.Conn
	log  *slog.Logger
}

func openKernel(log *slog.Logger) (*kernel, error) {
	c, err := rtnetlink.Dial(&netlink.Config{Strict: true})
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &kernel{conn: c, log: log}, nil
}

func (k *kernel) close() { k.conn.Close() }

// addresses returns the IPv4 addresses that the kernel has on a device.
func (k *kernel) addresses(index int) ([]netip.Addr, error) {
	msgs, err := k.conn.Address.List()
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var list []netip.Addr
	for _, m := range msgs {
		if int(m.Index) != index || m.Family != unix.AF_INET || m.Attributes == nil {
			continue
		}
		ip := m.Attributes.Local
		if ip == nil {
			ip = m.Attributes.Address
		}
		if a, ok := netip.AddrFromSlice(ip.To4()); ok {
			list = append(list, a)
		}
	}
	return list, nil
}

// watch sends on the channel whenever links or addresses change, until ctx ends.
// Several changes may be one message: the receiver looks for itself.
func (k *kernel) watch(ctx context.Context) (<-chan struct{}, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR,
	})
	if err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	changed := make(chan struct{}, 1)
	context.AfterFunc(ctx, func() { c.Close() })
	go func() {
		defer close(changed)
		for {
			if _, err := c.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return // closed
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}

// Policy routing of what the host sends from the gateway's addresses: a rule for each
// leads to a table with one route, through the host port.
const (
	hostTable    = 7654
	hostPriority = 7654
	hostProtocol = 0xfa // rtm_protocol, marks rules as ours
)

// attachHost gives the host port's device the gateway's addresses, and routes what the
// host sends from them through it. What is there already stays.
func (k *kernel) attachHost(index int, addrs []netip.Addr) error {
	have, err := k.addresses(index)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if !slices.Contains(have, a) {
			if err := k.conn.Address.New(hostAddress(index, a)); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("add %v to the host port: %w", a, err)
			}
		}
	}
	for _, a := range have {
		if !slices.Contains(addrs, a) {
			if err := k.conn.Address.Delete(hostAddress(index, a)); err != nil {
				return fmt.Errorf("take %v off the host port: %w", a, err)
			}
		}
	}
	if err := k.conn.Route.Replace(&rtnetlink.RouteMessage{
		Family: unix.AF_INET, Table: unix.RT_TABLE_UNSPEC, Protocol: unix.RTPROT_STATIC,
		Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{OutIface: uint32(index), Table: hostTable},
	}); err != nil {
		return fmt.Errorf("route the host's packets: %w", err)
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

// hostRules makes the routing rules exactly those for addrs.
func (k *kernel) hostRules(addrs []netip.Addr) error {
	rules, err := k.conn.Rule.List()
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	missing := slices.Clone(addrs)
	for i := range rules {
		r := &rules[i]
		if r.Attributes == nil || r.Attributes.Priority == nil || *r.Attributes.Priority != hostPriority || r.Attributes.Src == nil {
			continue
		}
		a, _ := netip.AddrFromSlice(r.Attributes.Src.To4())
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

func hostRule(a netip.Addr) *rtnetlink.RuleMessage {
	src := net.IP(a.AsSlice())
	table, priority, protocol := uint32(hostTable), uint32(hostPriority), uint8(hostProtocol)
	return &rtnetlink.RuleMessage{
		Family: unix.AF_INET, SrcLength: 32, Action: unix.FR_ACT_TO_TBL,
		Attributes: &rtnetlink.RuleAttributes{Src: &src, Table: &table, Priority: &priority, Protocol: &protocol},
	}
}
