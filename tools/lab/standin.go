package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"openvra/tools/ipip"
)

// StandIn makes the kernel of the gateway's namespace do the gateway's job: it
// proves the lab itself, and is what benchmarks compare with. Needs nft(8).
func (l *Lab) StandIn(ctx context.Context) error {
	nft := l.Gateway.Command(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(fmt.Sprintf(`
table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat
		iifname outside ip daddr %[1]s tcp dport %[2]d dnat to %[4]s:%[6]d
		iifname outside ip daddr %[1]s tcp dport %[3]d dnat to %[5]s:%[6]d
		iifname outside ip daddr %[1]s udp dport %[2]d dnat to %[4]s:%[6]d
		iifname outside ip daddr %[1]s udp dport %[3]d dnat to %[5]s:%[6]d
		iifname outside ip daddr %[7]s dnat to %[9]s
		iifname outside ip daddr %[8]s dnat to %[10]s
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname outside ip saddr %[9]s snat to %[7]s
		oifname outside ip saddr %[10]s snat to %[8]s
		oifname outside ip saddr 172.30.0.0/16 masquerade
	}
}`, OutsideAddr, Pod1Port, Pod2Port, Pod1Addr, Pod2Addr, ServicePort,
		Outside1Static, Outside2Static, Pod1Static, Pod2Static))
	_, nftErr := output(nft, "nft in gateway")
	err := errors.Join(
		l.Gateway.Sysctl("ipv4/ip_forward", "1"),
		l.Gateway.IP(ctx, `addr add 203.0.113.2/24 dev outside
			addr add 203.0.113.11/32 dev outside
			addr add 203.0.113.12/32 dev outside
			addr add 10.0.0.1/24 dev inside
			route add default via 203.0.113.1
			route add 10.0.1.0/24 via 10.0.0.254
			route add 172.30.1.0/26 via 10.0.0.11`),
		nftErr)
	if err == nil && l.opts.Trunk {
		err = l.subInterface(ctx, l.Gateway, "trunk", TrunkAddr)
	}
	if err != nil {
		return err
	}
	_, err = l.Tunnel(ctx, l.Gateway, InsideAddr, "route add 172.30.2.0/26 dev tunl0 src 10.0.0.1",
		ipip.Route{Prefix: netip.MustParsePrefix("172.30.2.0/26"), Remote: Worker2Addr})
	return err
}
