package e2e

import (
	"context"
	"net/netip"

	"openvra/tools/ipip"
	"openvra/tools/lab"
)

// strangersTunnel gives the router a tunnel to the gateway, and an address of pod1's
// block to send from.
func (s *site) strangersTunnel(ctx context.Context) error {
	_, err := s.Tunnel(ctx, s.Router, lab.RouterAddr, "addr add "+lab.Pod1Static.String()+`/32 dev tunl0
		route add 198.51.100.10/32 dev tunl0`,
		ipip.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Remote: lab.InsideAddr})
	return err
}
