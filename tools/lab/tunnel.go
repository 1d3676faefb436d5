package lab

import (
	"context"
	"net/netip"

	"openvra/tools/ipip"
)

// tunnels gives each worker its end of IP-in-IP, with the routes that Calico's
// agent would have set.
func (l *Lab) tunnels(ctx context.Context) (err error) {
	everything := netip.MustParsePrefix("0.0.0.0/0")
	block1, block2 := netip.MustParsePrefix("172.30.1.0/26"), netip.MustParsePrefix("172.30.2.0/26")
	l.worker1, err = l.Tunnel(ctx, l.Worker1, Worker1Addr, `addr add 172.30.1.0/32 dev tunl0
		route add 172.30.2.0/26 dev tunl0`,
		ipip.Route{Prefix: block2, Remote: Worker2Addr}, ipip.Route{Prefix: everything, Remote: InsideAddr})
	if err != nil {
		return err
	}
	routes := "addr add 172.30.2.0/32 dev tunl0\n" + "route add 172.30.1.0/26 dev tunl0\n"
	if l.opts.Uplink == Tunnel {
		// Only what the pods send: the worker's own packets go by the router.
		routes += `rule add from 172.30.2.0/26 lookup 100
			route add throw 172.30.2.0/26 table 100
			route add default dev tunl0 table 100`
	}
	l.worker2, err = l.Tunnel(ctx, l.Worker2, Worker2Addr, routes,
		ipip.Route{Prefix: block1, Remote: Worker1Addr},
		ipip.Route{Prefix: everything, Remote: InsideAddr})
	return err
}

// Tunnel gives host h a device tunl0, which the lab serves until Close, and runs
// script, lines for ip(8), when it is up.
func (l *Lab) Tunnel(ctx context.Context, h *Host, local netip.Addr, script string, routes ...ipip.Route) (*ipip.Endpoint, error) {
	var e *ipip.Endpoint
	err := h.Do(func() (err error) {
		e, err = ipip.Open(ipip.Config{Device: "tunl0", Local: local, Routes: routes})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.running.Go(func() { e.Run(l.ctx) })
	return e, h.IP(ctx, "link set tunl0 mtu 1480 up\n"+script)
}
