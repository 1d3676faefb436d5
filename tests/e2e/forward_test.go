package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"openvra/tools/lab"
)

const wait = 2 * time.Second

var internet = netip.AddrPortFrom(lab.InternetAddr, lab.ServicePort)

// TestForwarding drives each kind of traffic through every way of the lab, with one
// worker and with two, and with each way out of worker2.
func TestForwarding(t *testing.T) {
	for _, row := range []struct {
		name    string
		opts    lab.Options
		config  lab.Config
		worker1 bool // IP-in-IP to worker1, too
	}{
		{"one worker", lab.Options{}, lab.Config{Workers: 1}, false},
		{"two workers", lab.Options{}, lab.Config{Workers: 2}, false},
		{"pod2 leaves plain, comes back by IP-in-IP", lab.Options{Uplink: lab.Plain}, lab.Config{}, false},
		{"IP-in-IP always", lab.Options{}, lab.Config{Mode: "Always"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t, row.opts, row.config)
			s.checkTCP()
			s.checkUDP()
			s.checkPing()
			if got := s.Worker1Counters().Decapsulated > 0; got != row.worker1 {
				t.Errorf("worker1 got IP-in-IP: %v; want %v", got, row.worker1)
			}
			if s.Worker2Counters().Decapsulated == 0 {
				t.Error("nothing reached worker2 by IP-in-IP")
			}
			if row.config.Workers > 1 {
				s.checkEveryWorkerWorked()
			}
		})
	}
}

func (s *site) checkTCP() {
	s.t.Helper()
	for _, f := range []struct {
		name   string
		from   *lab.Host
		source netip.Addr
		to     netip.AddrPort
	}{
		{"pod1 to the internet", s.Pod1, lab.Pod1Addr, internet},
		{"pod2 to the internet", s.Pod2, lab.Pod2Addr, internet},
		{"internet to pod1", s.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod1Port)},
		{"internet to pod2", s.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port)},
		{"router to pod2, not translated", s.Router, netip.Addr{}, netip.AddrPortFrom(lab.Pod2Addr, lab.ServicePort)},
		{"pod1 to pod2 by the outside address: hairpin", s.Pod1, lab.Pod1Addr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port)},
	} {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		if err := f.from.TCP(ctx, f.source, f.to, lab.Transfer{Up: 8 << 20, Down: 8 << 20, Seed: 1}); err != nil {
			s.t.Errorf("TCP %s: %v", f.name, err)
		}
		cancel()
	}
}

func (s *site) checkUDP() {
	s.t.Helper()
	for _, f := range []struct {
		name   string
		from   *lab.Host
		source netip.Addr
		to     netip.AddrPort
		size   int
	}{
		{"pod1 to the internet", s.Pod1, lab.Pod1Addr, internet, 64},
		{"pod2 to the internet", s.Pod2, lab.Pod2Addr, internet, 1400},
		{"pod1 to the internet, in fragments", s.Pod1, lab.Pod1Addr, internet, 4000},
		{"pod2 to the internet, in fragments", s.Pod2, lab.Pod2Addr, internet, 4000},
		{"internet to pod1", s.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod1Port), 64},
		{"internet to pod2", s.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port), 1400},
		{"internet to pod2, in fragments", s.Client, lab.InternetAddr, netip.AddrPortFrom(lab.OutsideAddr, lab.Pod2Port), 4000},
	} {
		e, err := f.from.UDP(s.t.Context(), f.source, f.to, 50, f.size, wait)
		if err != nil || e.Received != 50 || e.Wrong != 0 || e.From != f.to {
			s.t.Errorf("UDP %s: %+v, %v; want 50 answers from %v", f.name, e, err, f.to)
		}
	}
}

func (s *site) checkPing() {
	s.t.Helper()
	for _, f := range []struct {
		name   string
		from   *lab.Host
		source netip.Addr
		to     netip.Addr
	}{
		{"gateway from outside", s.Client, netip.Addr{}, lab.OutsideAddr},
		{"gateway from worker1", s.Worker1, netip.Addr{}, lab.InsideAddr},
		{"gateway from pod2", s.Pod2, lab.Pod2Addr, lab.InsideAddr},
		{"gateway's far address from outside", s.Client, netip.Addr{}, lab.InsideAddr},
		{"internet from pod1", s.Pod1, lab.Pod1Addr, lab.InternetAddr},
		{"internet from pod2", s.Pod2, lab.Pod2Addr, lab.InternetAddr},
		{"pod1 one to one", s.Client, lab.InternetAddr, lab.Outside1Static},
		{"pod2 one to one", s.Client, lab.InternetAddr, lab.Outside2Static},
		{"internet from pod2's static address", s.Pod2, lab.Pod2Static, lab.InternetAddr},
	} {
		if f.name == "gateway's far address from outside" {
			must(s.t, s.Client.IP(s.t.Context(), "route replace 10.0.0.1/32 via 203.0.113.2"))
		}
		pong, err := f.from.Ping(s.t.Context(), lab.Ping{Source: f.source, To: f.to, Size: 56}, wait)
		if err != nil || !pong.Reply() || pong.From != f.to {
			s.t.Errorf("ping %s: %v, %v; want a reply from %v", f.name, pong, err, f.to)
		}
	}
}

// checkEveryWorkerWorked makes many flows and wants each worker to have had some.
func (s *site) checkEveryWorkerWorked() {
	s.t.Helper()
	load, err := s.StartLoad(s.t.Context(), 200, 200)
	must(s.t, err)
	time.Sleep(time.Second)
	if r := load.Stop(); r.Lost > 0 || len(r.Errors) > 0 {
		s.t.Errorf("%v: %v", r, r.Errors)
	}
	for _, w := range s.status().Workers {
		if w.Sessions == 0 {
			s.t.Errorf("worker %d has no session", w.Worker)
		}
	}
}

// TestMasqueradeShowsTheOutsideAddress looks at who the internet thinks it talks to,
// and at what the session says of why.
func TestMasqueradeShowsTheOutsideAddress(t *testing.T) {
	s := newSite(t, lab.Options{}, lab.Config{})
	s.config.Socket = s.Socket()
	text, err := s.config.YAML()
	must(t, err)
	must(t, s.WriteConfigText(text+`
policy:
  ruleSets: [{name: internet, rules: [{number: 10, action: accept, protocol: tcp}]}]
  zones: [{from: cluster, to: internet, ruleSet: internet}]
`))
	s.startGateway()
	server, err := s.ServeTCP(s.Client, internet)
	must(t, err)
	must(t, s.Pod2.TCP(t.Context(), lab.Pod2Addr, internet, lab.Transfer{Up: 100, Down: 100}))
	must(t, s.Pod2.TCP(t.Context(), lab.Pod2Static, internet, lab.Transfer{Up: 100, Down: 100}))
	remotes := server.Remotes()
	if len(remotes) != 2 || remotes[lab.OutsideAddr] != 1 || remotes[lab.Outside2Static] != 1 {
		t.Errorf("connections came from %v; want one each from %v and %v", remotes, lab.OutsideAddr, lab.Outside2Static)
	}
	list, err := s.admin.Sessions(t.Context(), map[string][]string{"src": {lab.Pod2Addr.String()}, "protocol": {"tcp"}})
	must(t, err)
	if len(list.Sessions) != 1 {
		t.Fatalf("%d sessions from pod2; want 1: %+v", len(list.Sessions), list.Sessions)
	}
	session := list.Sessions[0]
	if session.Reply.Dst != lab.OutsideAddr || session.In != "calico" || session.Out != "outside" {
		t.Errorf("session %+v; want it translated to %v, from the tunnel to outside", session, lab.OutsideAddr)
	}
	why := fmt.Sprint(session.Why)
	for _, want := range []string{"pods-out", "internet rule 10", "gateway.yaml:"} {
		if !contains(why, want) {
			t.Errorf("the session's reasons are %s; want %q among them", why, want)
		}
	}
}

// TestHeldPacketsLeaveAtOnce pings twenty neighbors that the gateway has to ask for
// first, over two workers: whichever of them hears the ARP reply, the packet that
// waits for it leaves.
func TestHeldPacketsLeaveAtOnce(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Workers: 2})
	const neighbors = 20
	late := 0
	for i := range byte(neighbors) {
		addr := netip.AddrFrom4([4]byte{203, 0, 113, 100 + i})
		must(t, s.Client.IP(t.Context(), fmt.Sprintf("addr add %v/24 dev eth0", addr)))
		pong, err := s.Pod1.Ping(t.Context(), lab.Ping{Source: lab.Pod1Addr, To: addr, Size: 56}, wait)
		if err != nil || !pong.Reply() {
			t.Errorf("ping %v: %v, %v", addr, pong, err)
		}
		if pong.Took > 50*time.Millisecond {
			late++
		}
	}
	if late > neighbors/5 {
		t.Errorf("%d of %d first packets were more than 50 ms under way", late, neighbors)
	}
}

// TestHostService reaches a service of the gateway's host, which is punted to its
// kernel, and nothing else there.
func TestHostService(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Host: []string{"{name: ssh, protocol: tcp, ports: 22}"}})
	_, err := s.ServeTCP(s.Gateway, netip.MustParseAddrPort("0.0.0.0:22"))
	must(t, err)
	_, err = s.ServeTCP(s.Gateway, netip.MustParseAddrPort("0.0.0.0:23"))
	must(t, err)
	to := netip.AddrPortFrom(lab.OutsideAddr, 22)
	if err := s.Client.TCP(t.Context(), netip.Addr{}, to, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 9}); err != nil {
		t.Errorf("TCP to the host's service: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Client.TCP(ctx, netip.Addr{}, netip.AddrPortFrom(lab.OutsideAddr, 23), lab.Transfer{}); err == nil {
		t.Error("a port that is no service was reached")
	}
}

// TestVLAN reaches a host behind a sub-port, whose frames carry a tag.
func TestVLAN(t *testing.T) {
	s := start(t, lab.Options{Trunk: true}, lab.Config{Trunk: true})
	tagged := netip.AddrPortFrom(lab.TaggedAddr, lab.ServicePort)
	_, err := s.ServeTCP(s.Tagged, tagged)
	must(t, err)
	capture, err := s.Capture(s.Tagged, "eth0")
	must(t, err)
	if err := s.Client.TCP(t.Context(), netip.Addr{}, tagged, lab.Transfer{Up: 4 << 20, Down: 4 << 20, Seed: 2}); err != nil {
		t.Errorf("TCP into the VLAN: %v", err)
	}
	if err := s.Tagged.TCP(t.Context(), netip.Addr{}, netip.AddrPortFrom(lab.Pod2Addr, lab.ServicePort), lab.Transfer{Up: 4 << 20, Down: 4 << 20, Seed: 2}); err != nil {
		t.Errorf("TCP from the VLAN to pod2: %v", err)
	}
	pong, err := s.Tagged.Ping(t.Context(), lab.Ping{To: lab.TrunkAddr, Size: 1472, DontFragment: true}, wait)
	if err != nil || !pong.Reply() {
		t.Errorf("ping the gateway in the VLAN: %v, %v", pong, err)
	}
	frames := capture.Stop()
	for _, f := range frames {
		if f.VLAN != lab.TrunkVLAN {
			t.Fatalf("a frame crossed the trunk in VLAN %d; want %d", f.VLAN, lab.TrunkVLAN)
		}
	}
	if len(frames) == 0 {
		t.Error("nothing crossed the trunk")
	}
}
