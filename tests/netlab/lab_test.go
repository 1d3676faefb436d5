package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain fails when goroutines stay behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	status := m.Run()
	if err := settle(before); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// settle gives goroutines that are about to end a second to do so.
func settle(before int) error {
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return errors.Join(fmt.Errorf("%d goroutines are left over", runtime.NumGoroutine()-before), errors.New(string(stacks)))
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func port(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// lines are what a connection says: n of them, each of its own.
func lines(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("line %d of %d", i+1, n))
	}
	return list
}

// through checks that a connection has said all of its lines and closed.
func through(t *testing.T, c *Conn, want []string) {
	t.Helper()
	if !slices.Equal(c.Said, want) || !c.Closed || c.Reset {
		t.Errorf("connection to %v: %d of %d lines were echoed, closed %v, reset %v", c.key.peer, len(c.Said), len(want), c.Closed, c.Reset)
	}
}

// noDrops checks that gateways have dropped nothing but questions for others.
func noDrops(t *testing.T, gs ...*Gateway) {
	t.Helper()
	for _, g := range gs {
		d := g.Drops()
		if delete(d, "arp_not_for_us"); len(d) > 0 {
			t.Errorf("gateway %s dropped %v", g.name, d)
		}
	}
}

// natGateway is a gateway that hides its inside behind its outside address.
func natGateway(inside, outside, via string) string {
	return fmt.Sprintf(`
ports:
  - {name: outside, driver: memory, addresses: [%s]}
  - {name: inside, driver: memory, addresses: [%s]}
routes:
  - {to: 0.0.0.0/0, via: [%s]}
nat:
  source:
    - {name: out, out: [outside], translate: masquerade}
limits: {sessions: 4096}
`, outside, inside, via)
}

// twoNATs is a host behind a gateway behind a gateway, and a server in front.
func twoNATs(t *testing.T) (host, server *Host, home, carrier *Gateway, middle *Link) {
	l := New(t)
	lan, middle, internet := l.Link("lan"), l.Link("middle"), l.Link("internet")
	home = l.Gateway("home", 1, natGateway("10.0.0.1/24", "192.0.2.2/24", "192.0.2.1"), map[string]*Link{"inside": lan, "outside": middle})
	carrier = l.Gateway("carrier", 1, natGateway("192.0.2.1/24", "203.0.113.2/24", "203.0.113.9"), map[string]*Link{"inside": middle, "outside": internet})
	host = l.Host("host", lan, "10.0.0.10/24", "10.0.0.1")
	server = l.Host("server", internet, "203.0.113.9/24", "")
	server.EchoUDP()
	server.Serve(80)
	host.Meet(server.Addr())
	return host, server, home, carrier, middle
}

func TestTwoNATsInARow(t *testing.T) {
	host, server, home, carrier, _ := twoNATs(t)
	l := host.lab
	var echoes []string
	host.UDP = func(d Datagram) { echoes = append(echoes, d.Data) }
	want := lines(20)
	c := host.Dial(port("203.0.113.9:80"), want...)
	host.Ping(addr("203.0.113.9"), 7, 1)
	host.Ping(addr("192.0.2.1"), 8, 1)
	host.Send(5000, port("203.0.113.9:53"), "datagram")
	host.PingTTL(addr("203.0.113.9"), 9, 1, 2)
	l.Until("the connection closes", func() bool { return c.Closed })
	l.Run(100 * time.Millisecond)

	through(t, c, want)
	if host.Pongs[7] != 1 || host.Pongs[8] != 1 || host.Pongs[9] != 0 || !slices.Equal(echoes, []string{"datagram"}) {
		t.Errorf("got pongs %v, echoes %v", host.Pongs, echoes)
	}
	if want := []ICMPError{{addr("192.0.2.1"), 11, 0, 0}}; !slices.Equal(host.Errors, want) {
		t.Errorf("got errors %v; want %v: traceroute sees the second gateway", host.Errors, want)
	}
	for _, c := range server.Conns() {
		if c.Peer.Addr() != addr("203.0.113.2") {
			t.Errorf("the server sees %v; want the carrier's address", c.Peer)
		}
	}
	noDrops(t, home)
	if d := carrier.Drops(); len(d) != 1 || d["ttl_exceeded"] != 1 {
		t.Errorf("carrier dropped %v; want the packet without a hop left", d)
	}
}

func TestLossBetweenTwoNATs(t *testing.T) {
	host, _, home, carrier, middle := twoNATs(t)
	middle.Lose = func(n int, _ []byte) bool { return n%7 == 3 }
	want := lines(40)
	c := host.Dial(port("203.0.113.9:80"), want...)
	host.lab.Until("the connection closes", func() bool { return c.Closed })
	through(t, c, want)
	if c.Retransmits == 0 || middle.lost == 0 {
		t.Errorf("got %d retransmissions, %d frames lost; want some", c.Retransmits, middle.lost)
	}
	noDrops(t, home, carrier)
}

// tunnelGateway has pods of its own and reaches those of its peer by IP-in-IP. zone is
// that of what comes out of the tunnel; the pods are in zone pods.
func tunnelGateway(own, peer, pods, blocks, zone string) string {
	return fmt.Sprintf(`
ports:
  - {name: net, driver: memory, addresses: [%s/24]}
  - {name: pods, driver: memory, addresses: [%s]}
tunnels:
  - name: cluster
    local: %s
    mode: Always
    zone: %s
    pools: [172.30.0.0/16]
    workers: [{name: peer, address: %s, blocks: %s}]
limits: {sessions: 4096}
`, own, pods, own, zone, peer, blocks)
}

// twoTunnels are two gateways, with pods behind each, that believe each other to have
// 172.30.9.0/24.
func twoTunnels(t *testing.T, zone string) (pod1, pod2 *Host, g1, g2 *Gateway, net *Link) {
	l := New(t)
	left, net, right := l.Link("left"), l.Link("net"), l.Link("right")
	g1 = l.Gateway("g1", 1, tunnelGateway("10.0.0.1", "10.0.0.2", "172.30.1.1/24", "[172.30.2.0/24, 172.30.9.0/24]", zone), map[string]*Link{"pods": left, "net": net})
	g2 = l.Gateway("g2", 1, tunnelGateway("10.0.0.2", "10.0.0.1", "172.30.2.1/24", "[172.30.1.0/24, 172.30.9.0/24]", zone), map[string]*Link{"pods": right, "net": net})
	pod1 = l.Host("pod1", left, "172.30.1.10/24", "172.30.1.1")
	pod2 = l.Host("pod2", right, "172.30.2.10/24", "172.30.2.1")
	pod2.EchoUDP()
	pod2.Serve(80)
	pod1.Meet(pod2.Addr())
	return pod1, pod2, g1, g2, net
}

func TestTunnelBetweenTwoGateways(t *testing.T) {
	pod1, _, g1, g2, _ := twoTunnels(t, "cluster")
	l := pod1.lab
	var echoes int
	pod1.UDP = func(d Datagram) { echoes += len(d.Data) }
	want := lines(10)
	c := pod1.Dial(port("172.30.2.10:80"), want...)
	pod1.Ping(addr("172.30.2.10"), 7, 1)
	pod1.Send(5000, port("172.30.2.10:53"), strings.Repeat("x", 1480-28))
	l.Until("the connection closes", func() bool { return c.Closed })
	through(t, c, want)
	if pod1.Pongs[7] != 1 || echoes != 1480-28 {
		t.Errorf("got %d pongs, %d bytes echoed", pod1.Pongs[7], echoes)
	}
	noDrops(t, g1, g2)
	pod1.Send(5000, port("172.30.2.10:53"), strings.Repeat("x", 1481-28))
	l.Run(100 * time.Millisecond)
	if want := []ICMPError{{addr("172.30.1.1"), 3, 4, 1480}}; !slices.Equal(pod1.Errors, want) {
		t.Errorf("one byte too long: got errors %v; want %v", pod1.Errors, want)
	}
}

// A packet that each of two gateways takes for the other's ends: where it comes back it
// clashes with its own session or, where it is taken for the same flow, its hops run
// out. Nothing is made of it but one error.
func TestTunnelLoopEnds(t *testing.T) {
	for zone, c := range map[string]struct {
		reason string
		frames int // between the gateways, for each packet
		errors int
	}{
		"cluster": {"session_clash", 2, 0},
		"pods":    {"ttl_exceeded", 63, 1},
	} {
		t.Run("out of the tunnel into zone "+zone, func(t *testing.T) {
			pod1, _, g1, g2, net := twoTunnels(t, zone)
			l := pod1.lab
			before := net.Carried()
			const packets = 5
			for i := range uint16(packets) {
				pod1.Ping(addr("172.30.9.9"), 100+i, 1)
			}
			l.Run(time.Second)
			if n := net.Carried() - before; n < packets*c.frames || n > packets*(c.frames+1)+10 { // an error each, and ARP
				t.Errorf("%d packets made %d frames between the gateways; want %d for each, and an error at most", packets, n, c.frames)
			}
			if n := g1.Drops()[c.reason] + g2.Drops()[c.reason]; n != packets {
				t.Errorf("got %d drops of %s; want %d (%v, %v)", n, c.reason, packets, g1.Drops(), g2.Drops())
			}
			if len(pod1.Errors) != packets*c.errors {
				t.Errorf("got errors %v; want %d", pod1.Errors, packets*c.errors)
			}
			before = net.Carried()
			l.Run(10 * time.Second)
			if n := net.Carried() - before; n > 20 { // ARP now and then
				t.Errorf("%d frames more in 10 s of silence: something still goes round", n)
			}
		})
	}
}
