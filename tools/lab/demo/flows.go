package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"openvra/tools/lab"
)

// size is what a TCP transfer carries each way, in bytes.
const size = 8 << 20

const wait = 2 * time.Second

// A flow is one kind of traffic: path draws its way, run drives it and says what
// came of it.
type flow struct {
	name, path string
	run        func(context.Context, *lab.Lab) (string, error)
}

// flows come in the order in which they are shown.
func flows() []flow {
	internet := netip.AddrPortFrom(lab.InternetAddr, lab.ServicePort)
	return []flow{
		{"the gateway answers ping, outside and inside",
			"client ──▶ gateway ◀── pod2", pingGateway},
		{"pod1 to the internet: masquerade",
			"pod1 ── worker1 ── gateway [172.30.1.10 → 203.0.113.2] ── client", func(ctx context.Context, l *lab.Lab) (string, error) {
				return transfer(ctx, l.Pod1, lab.Pod1Addr, internet)
			}},
		{"pod2 to the internet: out of IP-in-IP, masquerade",
			"pod2 ── worker2 ══ IP-in-IP ══ gateway [172.30.2.10 → 203.0.113.2] ── client", func(ctx context.Context, l *lab.Lab) (string, error) {
				return transfer(ctx, l.Pod2, lab.Pod2Addr, internet)
			}},
		{"internet to pod1: DNAT",
			"client ── gateway [203.0.113.2:8080 → 172.30.1.10:80] ── worker1 ── pod1", func(ctx context.Context, l *lab.Lab) (string, error) {
				return transfer(ctx, l.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod1Port))
			}},
		{"internet to pod2: DNAT, into IP-in-IP",
			"client ── gateway [203.0.113.2:8081 → 172.30.2.10:80] ══ IP-in-IP ══ worker2 ── pod2", func(ctx context.Context, l *lab.Lab) (string, error) {
				return transfer(ctx, l.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port))
			}},
		{"UDP to pod2: DNAT, into IP-in-IP",
			"client ── gateway [203.0.113.2:8081 → 172.30.2.10:80] ══ IP-in-IP ══ worker2 ── pod2", datagrams},
		{"ping pod1 and pod2 by their own outside addresses: one to one",
			"client ── gateway [203.0.113.12 → 172.30.2.20] ══ IP-in-IP ══ worker2 ── pod2", pingPods},
		{"path MTU: a packet that does not fit IP-in-IP",
			"client ──▶ gateway ╳ 1481 > 1480 ══ IP-in-IP ══ worker2", tooLong},
		{"traceroute out and in",
			"pod1 ── worker1 ── gateway ── client", trace},
	}
}

func transfer(ctx context.Context, from *lab.Host, source netip.Addr, to netip.AddrPort) (string, error) {
	if err := from.TCP(ctx, source, to, lab.Transfer{Up: size, Down: size, Seed: 1}); err != nil {
		return "", err
	}
	return fmt.Sprintf("TCP, %d MiB each way, SHA-256 equal at both ends", size>>20), nil
}

func datagrams(ctx context.Context, l *lab.Lab) (string, error) {
	e, err := l.Client.UDP(ctx, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port), 200, 512, wait)
	if err == nil && e.Received != e.Sent {
		err = errors.New("some were lost")
	}
	return fmt.Sprintf("%d datagrams sent, %d came back", e.Sent, e.Received), err
}

func pingGateway(ctx context.Context, l *lab.Lab) (string, error) {
	return pings(ctx,
		from{l.Client, lab.Ping{To: lab.OutsideAddr, Size: 56}},
		from{l.Pod2, lab.Ping{To: lab.InsideAddr, Size: 56}})
}

func pingPods(ctx context.Context, l *lab.Lab) (string, error) {
	return pings(ctx,
		from{l.Client, lab.Ping{To: lab.Outside1Static, Size: 1472, DontFragment: true}},
		from{l.Client, lab.Ping{To: lab.Outside2Static, Size: 1452, DontFragment: true}})
}

// A from is a ping and who sends it.
type from struct {
	host *lab.Host
	ping lab.Ping
}

// pings wants an echo reply to each.
func pings(ctx context.Context, all ...from) (string, error) {
	var said []string
	for _, f := range all {
		pong, err := f.host.Ping(ctx, f.ping, wait)
		if err != nil {
			return "", fmt.Errorf("ping %v from %s: %w", f.ping.To, f.host.Name, err)
		}
		if !pong.Reply() {
			return "", fmt.Errorf("ping %v from %s: %v", f.ping.To, f.host.Name, pong)
		}
		said = append(said, fmt.Sprintf("%d bytes: %v", f.ping.Size+28, pong))
	}
	return strings.Join(said, "; "), nil
}

func tooLong(ctx context.Context, l *lab.Lab) (string, error) {
	pong, err := l.Client.Ping(ctx, lab.Ping{To: lab.Outside2Static, Size: 1453, DontFragment: true}, wait)
	if err == nil && pong.MTU != 1480 {
		err = fmt.Errorf("%v; want MTU 1480", pong)
	}
	return pong.String(), err
}

func trace(ctx context.Context, l *lab.Lab) (string, error) {
	out, err := l.Pod1.Trace(ctx, lab.Pod1Addr, lab.InternetAddr, 5, wait)
	if want := []netip.Addr{lab.Worker1Addr, lab.InsideAddr, lab.InternetAddr}; err == nil && !slices.Equal(out, want) {
		err = fmt.Errorf("from pod1: %v; want %v", out, want)
	}
	if err != nil {
		return "", err
	}
	in, err := l.Client.Trace(ctx, netip.Addr{}, lab.Outside1Static, 5, wait)
	if err == nil && (len(in) != 3 || !in[0].IsValid() || !in[1].IsValid()) {
		err = fmt.Errorf("from client: %v; want the gateway, worker1, %v", in, lab.Outside1Static)
	}
	return fmt.Sprintf("out %v; in %v", out, in), err
}
