package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"openvra/tools/lab/vlan"
)

// trunk gives the tagged host a device in VLAN TrunkVLAN of its eth0, which itself
// has no address.
func (l *Lab) trunk(ctx context.Context) error {
	if l.Tagged == nil {
		return nil
	}
	if err := l.subInterface(ctx, l.Tagged, "eth0", TaggedAddr); err != nil {
		return err
	}
	return errors.Join(
		l.Tagged.IP(ctx, fmt.Sprintf("route add default via %s", TrunkAddr)),
		l.Client.IP(ctx, fmt.Sprintf("route add %s/32 via %s", TaggedAddr, OutsideAddr)))
}

// subInterface gives a host a device vlan0 in VLAN TrunkVLAN of its device parent,
// which the lab serves until Close.
func (l *Lab) subInterface(ctx context.Context, h *Host, parent string, addr netip.Addr) error {
	var sub *vlan.Device
	err := h.Do(func() (err error) {
		sub, err = vlan.Open(parent, "vlan0", TrunkVLAN)
		return err
	})
	if err != nil {
		return fmt.Errorf("make VLAN device: %w", err)
	}
	l.running.Go(func() { sub.Run(l.ctx) })
	return h.IP(ctx, fmt.Sprintf(`addr add %s/24 dev vlan0
		link set vlan0 up`, addr))
}
