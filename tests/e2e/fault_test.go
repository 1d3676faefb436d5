package e2e

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"openvra/tools/lab"
)

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// echo says whether a datagram from pod2 to the internet comes back soon.
func (s *site) echo() bool {
	e, err := s.Pod2.UDP(s.t.Context(), lab.Pod2Addr, internet, 1, 32, 100*time.Millisecond)
	return err == nil && e.Received == 1
}

// TestPortFlapKeepsSessions takes the far end of the outside port down and up twenty
// times under hash-checked flows.
func TestPortFlapKeepsSessions(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	conn, err := s.Pod2.DialTCP(ctx, lab.Pod2Addr, internet)
	must(t, err)
	defer conn.Close()
	must(t, lab.Exchange(conn, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 1}))
	before := s.longFlows()
	for range 20 {
		must(t, s.Client.IP(ctx, "link set eth0 down"))
		time.Sleep(50 * time.Millisecond)
		must(t, s.Client.IP(ctx, "link set eth0 up"))
		eventually(t, time.Second, "forwarding is back after a flap", s.echo)
	}
	must(t, lab.Exchange(conn, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 2}))
	after := s.longFlows()
	for id, flow := range before {
		if after[id] != flow {
			t.Errorf("session %d was %q and is %q", id, flow, after[id])
		}
	}
}

// TestPortRecreatedIsAttached deletes the outside port's device and makes it again.
func TestPortRecreatedIsAttached(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	for range 3 {
		must(t, s.Gateway.IP(ctx, "link del outside"))
		eventually(t, 3*time.Second, "the port is seen to be gone", func() bool { return !s.portUp("outside") })
		must(t, s.Gateway.Connect(ctx, "outside", s.Client, "eth0"), s.Client.IP(ctx, "addr add 203.0.113.1/24 dev eth0"))
		eventually(t, 3*time.Second, "forwarding is back after the port was made again", s.echo)
	}
	must(t, s.Client.TCP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod2Port), lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 5}))
}

func (s *site) portUp(name string) bool {
	s.t.Helper()
	ports, err := s.admin.Ports(s.t.Context())
	must(s.t, err)
	for _, p := range ports {
		if p.Name == name {
			return p.Up
		}
	}
	s.t.Fatalf("the gateway has no port %q", name)
	return false
}

// TestSecondInstanceIsRefused starts another gateway on the same ports.
func TestSecondInstanceIsRefused(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	second := lab.Config{Socket: s.Dir + "/second.sock"}
	text, err := second.YAML()
	must(t, err)
	path := s.Dir + "/second.yaml"
	must(t, os.WriteFile(path, []byte(text), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := s.Gateway.Exec(ctx, binary, "run", "-c", path)
	if err == nil || ctx.Err() != nil || !contains(out, `port "outside"`) || !contains(out, "in use") {
		t.Errorf("a second gateway: %v: %s; want a refusal that says that port outside is in use", err, out)
	}
	eventually(t, time.Second, "the first gateway still forwards", s.echo)
}

// filters counts the programs at a device's TCX ingress.
func (s *site) filters(device string) int {
	s.t.Helper()
	n := 0
	must(s.t, s.Gateway.Do(func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		r, err := link.QueryPrograms(link.QueryOptions{Target: dev.Index, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			n = len(r.Programs)
		}
		return err
	}))
	return n
}

// TestStopIsClean sends SIGTERM: the gateway's TUN, its filters, its socket and its
// answers are gone, and a new one starts at once.
func TestStopIsClean(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{Host: []string{"{name: ssh, protocol: tcp, ports: 22}"}})
	ctx := t.Context()
	links, err := s.Gateway.Exec(ctx, "ip", "-br", "link")
	must(t, err)
	if !contains(links, "vra0") {
		t.Errorf("no host device while the gateway runs: %s", links)
	}
	if s.filters("outside") == 0 || s.filters("inside") == 0 {
		t.Error("no filter keeps the kernel from the ports while the gateway runs")
	}
	s.stop()
	after, err := s.Gateway.Exec(ctx, "ip", "-br", "addr")
	must(t, err)
	if contains(after, "vra0") || contains(after, "203.0.113.2") {
		t.Errorf("left behind: %s", after)
	}
	if n := s.filters("outside") + s.filters("inside"); n != 0 {
		t.Errorf("%d filters left behind", n)
	}
	if _, err := os.Stat(s.Socket()); !os.IsNotExist(err) {
		t.Errorf("the admin socket is left behind: %v", err)
	}
	if pong, err := s.Client.Ping(ctx, lab.Ping{To: lab.OutsideAddr, Size: 56}, wait/4); err == nil {
		t.Errorf("a stopped gateway answers: %v", pong)
	}
	s.startGateway()
	eventually(t, 2*time.Second, "a new gateway forwards", s.echo)
}

// keptAddr is an address that the gateway's kernel keeps on the outside port.
var keptAddr = netip.MustParseAddr("203.0.113.50")

// TestKernelKeepsItsAddress has an operator's connection to the kernel's address on
// the outside port live through start, SIGKILL and a second start of the gateway.
func TestKernelKeepsItsAddress(t *testing.T) {
	s := newSite(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	must(t, s.Gateway.IP(ctx, "addr add 203.0.113.50/24 dev outside"), s.WriteConfig(s.config), s.ServeAll())
	_, err := s.ServeTCP(s.Gateway, addrPort(keptAddr, 22))
	must(t, err)
	ssh, err := s.Client.DialTCP(ctx, netip.Addr{}, addrPort(keptAddr, 22))
	must(t, err)
	defer ssh.Close()
	works := func(when string) {
		t.Helper()
		if err := lab.Exchange(ssh, lab.Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 4}); err != nil {
			t.Fatalf("the operator's connection, %s: %v", when, err)
		}
		must(t, s.Client.IP(ctx, "neigh flush dev eth0"))
		if pong, err := s.Client.Ping(ctx, lab.Ping{To: keptAddr, Size: 56}, wait); err != nil || !pong.Reply() {
			t.Errorf("ping the kernel's address, %s: %v, %v", when, pong, err)
		}
	}
	works("before the gateway")
	s.startGateway()
	works("while the gateway runs")
	eventually(t, time.Second, "the gateway forwards", s.echo)
	must(t, s.gateway.Signal(syscall.SIGKILL))
	<-s.gateway.Exited()
	works("after the gateway was killed")
	if n := s.filters("outside"); n != 0 {
		t.Errorf("%d filters outlive the gateway", n)
	}
	s.startGateway()
	works("after the gateway came back")
	eventually(t, 2*time.Second, "the second gateway forwards", s.echo)
	s.stop()
	works("after the gateway was stopped")
}
