package e2e

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"openvra/tools/lab"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// TestPathMTU sends packets that just fit and that are a byte too long, with the
// ping that everybody has and with our own, which sees who complains.
func TestPathMTU(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	for _, row := range []struct {
		name    string
		from    *lab.Host
		to      netip.Addr
		payload int
		mtu     int // 0 for a reply
	}{
		{"plain, full frame", s.Client, lab.Outside1Static, 1472, 0},
		{"IP-in-IP, full", s.Client, lab.Outside2Static, 1452, 0},
		{"IP-in-IP, a byte too long", s.Client, lab.Outside2Static, 1453, 1480},
		{"IP-in-IP, full frame", s.Client, lab.Outside2Static, 1472, 1480},
		{"not translated, a byte too long", s.Router, lab.Pod2Addr, 1453, 1480},
		{"gateway itself, full frame", s.Client, lab.OutsideAddr, 1472, 0},
	} {
		pong, err := row.from.Ping(t.Context(), lab.Ping{To: row.to, Size: row.payload, DontFragment: true}, wait)
		if err != nil || pong.MTU != row.mtu || pong.Reply() != (row.mtu == 0) {
			t.Errorf("%s: %v, %v; want MTU %d", row.name, pong, err, row.mtu)
		}
		if row.mtu > 0 && pong.From != lab.OutsideAddr && pong.From != lab.InsideAddr {
			t.Errorf("%s: %v complained; want the gateway", row.name, pong.From)
		}
	}
	if _, err := exec.LookPath("ping"); err != nil {
		t.Fatal("the rest needs ping(8), package iputils-ping")
	}
	if _, err := s.Client.Exec(t.Context(), "ping", "-c1", "-W2", "-M", "do", "-s", "1452", lab.Outside2Static.String()); err != nil {
		t.Errorf("ping -M do -s 1452: %v", err)
	}
	// The kernel has learned the path's MTU by now and may complain by itself.
	out, err := s.Client.Exec(t.Context(), "ping", "-c1", "-W2", "-M", "do", "-s", "1453", lab.Outside2Static.String())
	if err == nil || !contains(out, "mtu = 1480") && !contains(out, "mtu=1480") {
		t.Errorf("ping -M do -s 1453: %v: %s; want mtu 1480", err, out)
	}
	// Without DF, what is too long goes in fragments.
	if _, err := s.Client.Exec(t.Context(), "ping", "-c3", "-i0.2", "-W2", "-M", "dont", "-s", "3000", lab.Outside2Static.String()); err != nil {
		t.Errorf("ping -M dont -s 3000: %v", err)
	}
}

// TestTraceroute sees the gateway as a hop in each direction, by the address of the
// port that the packet came in by.
func TestTraceroute(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	for _, row := range []struct {
		name   string
		from   *lab.Host
		source netip.Addr
		to     netip.Addr
		want   []netip.Addr // not valid: whoever
	}{
		{"pod1 to the internet", s.Pod1, lab.Pod1Addr, lab.InternetAddr, []netip.Addr{lab.Worker1Addr, lab.InsideAddr, lab.InternetAddr}},
		{"internet to pod1", s.Client, lab.ClientAddr, lab.Outside1Static, []netip.Addr{lab.OutsideAddr, {}, lab.Outside1Static}},
		{"router to pod1", s.Router, netip.Addr{}, lab.Pod1Addr, []netip.Addr{lab.InsideAddr, lab.Worker1Addr, lab.Pod1Addr}},
		{"to the gateway", s.Client, netip.Addr{}, lab.OutsideAddr, []netip.Addr{lab.OutsideAddr}},
	} {
		hops, err := row.from.Trace(ctx, row.source, row.to, 6, wait)
		same := slices.EqualFunc(hops, row.want, func(got, want netip.Addr) bool { return got == want || !want.IsValid() })
		if err != nil || !same {
			t.Errorf("%s: %v, %v; want %v", row.name, hops, err, row.want)
		}
	}
	if _, err := exec.LookPath("traceroute"); err != nil {
		t.Fatal("the rest needs traceroute(8)")
	}
	out, err := s.Pod1.Exec(ctx, "traceroute", "-n", "-q1", "-w2", "-m5", lab.InternetAddr.String())
	if err != nil || !contains(out, " 2  10.0.0.1 ") || !contains(out, " 3  198.51.100.10 ") {
		t.Errorf("UDP traceroute: %v: %s; want 10.0.0.1 second, 198.51.100.10 third", err, out)
	}
	out, err = s.Client.Exec(ctx, "traceroute", "-n", "-q1", "-w2", "-m5", "-T", "-p", fmt.Sprint(lab.Pod1Port), lab.OutsideAddr.String())
	if err != nil || !contains(out, " 1  203.0.113.2 ") {
		t.Errorf("TCP traceroute to a forwarded port: %v: %s; want the gateway first", err, out)
	}
}

// TestUnknownTunnelRemote sends IP-in-IP from an address that is no worker's.
func TestUnknownTunnelRemote(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	// The router's address is in nobody's list. It claims to carry pod1's packets.
	must(t, s.strangersTunnel(ctx))
	capture, err := s.Capture(s.Client, "eth0")
	must(t, err)
	before := s.dropped("tunnel_unknown_peer")
	if _, err := s.Router.Ping(ctx, lab.Ping{Source: lab.Pod1Static, To: lab.InternetAddr, Size: 56}, wait/4); err == nil {
		t.Error("a stranger's tunneled ping was answered")
	}
	if s.dropped("tunnel_unknown_peer") == before {
		t.Error("tunnel_unknown_peer did not count it")
	}
	if n := len(icmpFrames(capture.Stop(), 8)); n != 0 {
		t.Errorf("%d pings left by the outside port", n)
	}
}
