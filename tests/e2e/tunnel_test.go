package e2e

import (
	"context"
	"net/netip"
	"testing"
	"time"

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

// TestTunnelLearnsPathMTU narrows the link behind the router: the gateway learns of it
// from the router and tells senders, less the outer header, and TCP goes on.
func TestTunnelLearnsPathMTU(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	conn, err := s.Client.DialTCP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod2Port))
	must(t, err)
	defer conn.Close()
	must(t, lab.Exchange(conn, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 1}))
	must(t,
		s.Router.IP(ctx, "link set eth1 mtu 1400"),
		s.Worker2.IP(ctx, "link set eth0 mtu 1400\n"+"link set tunl0 mtu 1380"))
	var pong lab.Pong
	eventually(t, 5*time.Second, "the gateway tells a sender of MTU 1380", func() bool {
		pong, err = s.Client.Ping(ctx, lab.Ping{To: lab.Outside2Static, Size: 1452, DontFragment: true}, wait/4)
		return err == nil && pong.MTU == 1380
	})
	if pong.From != lab.OutsideAddr && pong.From != lab.Outside2Static {
		t.Errorf("%v said so; want the gateway", pong.From)
	}
	pong, err = s.Client.Ping(ctx, lab.Ping{To: lab.Outside2Static, Size: 1352, DontFragment: true}, wait)
	if err != nil || !pong.Reply() {
		t.Errorf("ping of 1380 bytes: %v, %v", pong, err)
	}
	must(t, lab.Exchange(conn, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 2}))
	tunnels, err := s.admin.Tunnels(ctx)
	must(t, err)
	for _, w := range tunnels[0].Workers {
		if w.Name == "worker2" && w.MTU != 1400 {
			t.Errorf("the tunnel to worker2 shows MTU %d; want 1400", w.MTU)
		}
	}
}
