package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"openvra/tools/lab"
)

// ssh is a host's service for the configuration.
const ssh = "{name: ssh, protocol: tcp, ports: 22}"

// hostRules returns the addresses that the gateway's kernel sends by way of the host
// port, in order.
func (s *site) hostRules() (from []string) {
	s.t.Helper()
	out, err := s.Gateway.Exec(s.t.Context(), "ip", "rule")
	must(s.t, err)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 4 && slices.Contains(f, "7654") {
			from = append(from, f[2])
		}
	}
	slices.Sort(from)
	return from
}

// hostGone wants that nothing of the host port is left, rules aside.
func (s *site) hostGone() {
	s.t.Helper()
	out, err := s.Gateway.Exec(s.t.Context(), "sh", "-c", "ip -4 -br addr; ip -4 route show table all")
	must(s.t, err)
	for _, left := range []string{"vra0", lab.OutsideAddr.String(), "7654"} {
		if contains(out, left) {
			s.t.Errorf("%s is left: %s", left, out)
		}
	}
}

// TestHostPortReachesTheKernel has sockets of the gateway's host serve, and ask, from the
// gateway's addresses, while the gateway itself answers pings.
func TestHostPortReachesTheKernel(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Host: []string{
		ssh, "{name: dns, protocol: udp, ports: 53, addresses: 10.0.0.1, from: 10.0.0.0/16}",
	}})
	ctx := t.Context()
	must(t, s.Gateway.Sysctl("ipv4/conf/all/rp_filter", "1")) // as many systems have it
	for _, at := range []string{"203.0.113.2:22", "10.0.0.1:22"} {
		_, err := s.ServeTCP(s.Gateway, netip.MustParseAddrPort(at))
		must(t, err)
	}
	must(t, s.ServeUDP(s.Gateway, netip.MustParseAddrPort("10.0.0.1:53")))
	before, err := s.Gateway.Stats("vra0")
	must(t, err)
	transfer := lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 3}
	if err := s.Client.TCP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, 22), transfer); err != nil {
		t.Errorf("TCP from the internet: %v", err)
	}
	if err := s.Pod2.TCP(ctx, lab.Pod2Addr, addrPort(lab.InsideAddr, 22), transfer); err != nil {
		t.Errorf("TCP from pod2, through the tunnel: %v", err)
	}
	after, err := s.Gateway.Stats("vra0")
	must(t, err)
	if after.RxPackets == before.RxPackets || after.TxPackets == before.TxPackets {
		t.Errorf("the host device carried %+v and then %+v; want more both ways", before, after)
	}
	if err := s.Gateway.TCP(ctx, lab.OutsideAddr, internet, transfer); err != nil {
		t.Errorf("TCP from the host to the internet: %v", err)
	}
	dns := addrPort(lab.InsideAddr, 53)
	if e, err := s.Worker2.UDP(ctx, lab.Worker2Addr, dns, 5, 100, wait); err != nil || e.Received != 5 {
		t.Errorf("UDP from worker2: %+v, %v", e, err)
	}
	if e, err := s.Client.UDP(ctx, lab.InternetAddr, dns, 1, 100, wait/4); err == nil && e.Received > 0 {
		t.Error("UDP from the internet reached a service that is for 10.0.0.0/16")
	}
	pong, err := s.Client.Ping(ctx, lab.Ping{To: lab.OutsideAddr, Size: 56}, wait)
	if err != nil || !pong.Reply() {
		t.Errorf("ping: %v, %v", pong, err)
	}
	if echoes, err := s.Gateway.Exec(ctx, "sh", "-c", "nstat -asz IcmpInEchos | grep -w IcmpInEchos"); err != nil || strings.Fields(echoes)[1] != "0" {
		t.Errorf("the host's kernel was pinged, too: %s, %v", echoes, err)
	}
}

// TestHostPortComesAndGoes follows the TUN, its addresses and its routing rules through
// reloads, a kill, a second start and a stop.
func TestHostPortComesAndGoes(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Host: []string{ssh}})
	_, err := s.ServeTCP(s.Gateway, netip.MustParseAddrPort("0.0.0.0:22"))
	must(t, err)
	served := func(when string) {
		t.Helper()
		if err := s.Client.TCP(t.Context(), netip.Addr{}, addrPort(lab.OutsideAddr, 22), lab.Transfer{Up: 1000, Down: 1000}); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	rules := func(when string, want ...string) {
		t.Helper()
		if got := s.hostRules(); !slices.Equal(got, want) {
			t.Errorf("%s: rules from %v; want %v", when, got, want)
		}
	}
	all := []string{"10.0.0.1", "203.0.113.11", "203.0.113.12", "203.0.113.2"}
	good := s.text(s.config)
	fewer := strings.Replace(good, "vips: [203.0.113.11, 203.0.113.12]", "vips: [203.0.113.11]", 1)
	rules("at the start", all...)
	served("at the start")
	s.reloadGood(fewer)
	rules("with a VIP less", all[0], all[1], all[3])
	s.reloadGood(s.text(lab.Config{}))
	rules("without a host port")
	s.hostGone()
	s.reloadGood(strings.Replace(good, "enabled: true", "enabled: true\n  mtu: 1400", 1))
	rules("with the host port again", all...)
	served("with another MTU")
	s.reloadGood(strings.Replace(good, "enabled: true", "enabled: true\n  device: vra1", 1))
	served("with another device")
	rules("with another device", all...)

	must(t, s.gateway.Signal(syscall.SIGKILL))
	<-s.gateway.Exited()
	s.hostGone()
	rules("after it was killed", all...)
	must(t, s.WriteConfigText(fewer))
	s.startGateway()
	rules("after the next start", all[0], all[1], all[3])
	served("after the next start")
	must(t, s.gateway.Signal(syscall.SIGKILL))
	<-s.gateway.Exited()
	must(t, s.WriteConfigText(s.text(lab.Config{})))
	s.startGateway()
	rules("after a start without a host port")
	s.reloadGood(good)
	served("after a reload with it")
	s.stop()
	rules("after the stop")
	s.hostGone()
}

// TestHostDeviceIsMadeAgain deletes the host device: it comes back, and serves.
func TestHostDeviceIsMadeAgain(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Host: []string{ssh}})
	_, err := s.ServeTCP(s.Gateway, netip.MustParseAddrPort("0.0.0.0:22"))
	must(t, err)
	must(t, s.Gateway.IP(t.Context(), "link del vra0"))
	eventually(t, 5*time.Second, "the host's service is back", func() bool {
		c, err := s.Client.DialTCP(t.Context(), netip.Addr{}, addrPort(lab.OutsideAddr, 22))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// reloadGood is reload for a file that must be applied.
func (s *site) reloadGood(text string) {
	s.t.Helper()
	if r := s.reload(text); !r.OK || len(r.Warnings) > 0 {
		s.t.Fatalf("reload: %v, warnings %v", r.Errors, r.Warnings)
	}
}
