package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"openvra/dataplane/link/netdev"
)

// kernel is the gateway's view of the Linux host it runs on, over rtnetlink, in the
// network namespace in which it was opened.
type kernel struct {
	conn    *rtnetlink.Conn
	control int // socket for questions by device name
}

func openKernel() (*kernel, error) {
	control, err := netdev.Control()
	if err != nil {
		return nil, err
	}
	c, err := rtnetlink.Dial(&netlink.Config{Strict: true})
	if err != nil {
		unix.Close(control)
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &kernel{conn: c, control: control}, nil
}

func (k *kernel) close() {
	k.conn.Close()
	unix.Close(k.control)
}

// index returns the index of the device of that name, 0 if there is none.
func (k *kernel) index(device string) int {
	i, err := netdev.Index(k.control, device)
	if err != nil {
		return 0
	}
	return i
}

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
