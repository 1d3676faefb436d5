// Package tests runs the whole gateway in memory: what crosses its packages. The folders
// below it hold the golden captures, the lab of several hosts, the end-to-end tests with
// the real binary, the whole-path benchmarks and the rules of the architecture.
package tests

import (
	"log/slog"
	"testing"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/link"
	"openvra/dataplane/link/memory"
	"openvra/dataplane/packet"
)

// coreYAML has one of everything: plain and tagged ports, the host, a worker in the
// subnet and one beyond a router, all kinds of NAT, routes that lead nowhere.
const coreYAML = `
ports:
  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}
  - name: inside
    driver: memory
    addresses: [10.0.0.1/24]
    vlans:
      - {name: storage, id: 100, addresses: [10.1.0.1/24], zone: inside}
      - {name: customer, outer: 200, inner: 7, addresses: [10.2.0.1/24], rpf: strict}
  - {name: narrow, driver: memory, addresses: [192.0.2.1/24], mtu: 1000}
  - {name: spare, driver: memory, addresses: [192.168.7.1/24]}
routes:
  - {to: 0.0.0.0/0, via: [203.0.113.1]}
  - {to: 10.0.1.0/24, via: [10.0.0.254]}
  - {to: 198.18.0.0/16, blackhole: true}
  - {to: 198.19.0.0/16, unreachable: true}
  - {to: 10.7.0.0/16, via: [192.168.7.2]}
neighbours:
  - {port: outside, address: 203.0.113.1, mac: "02:00:00:00:01:01"}
  - {port: inside, address: 10.0.0.5, mac: "02:00:00:00:02:05"}
  - {port: inside, address: 10.0.0.6, mac: "02:00:00:00:02:06"}
  - {port: inside, address: 10.0.0.11, mac: "02:00:00:00:02:11"}
  - {port: inside, address: 10.0.0.20, mac: "02:00:00:00:02:20"}
  - {port: inside, address: 10.0.0.254, mac: "02:00:00:00:02:fe"}
  - {port: storage, address: 10.1.0.5, mac: "02:00:00:00:03:05"}
  - {port: customer, address: 10.2.0.5, mac: "02:00:00:00:04:05"}
  - {port: narrow, address: 192.0.2.5, mac: "02:00:00:00:05:05"}
tunnels:
  - name: pods
    local: 10.0.0.1
    mode: CrossSubnet
    pools: [172.30.0.0/16]
    mssClamp: auto
    workers:
      - {name: w1, address: 10.0.0.11, blocks: [172.30.1.0/26]}
      - {name: w2, address: 10.0.1.12, blocks: [172.30.2.0/26]}
nat:
  source:
    - {name: out, out: [outside], from: [10.0.0.0/8, 172.30.0.0/16], translate: masquerade}
  destination:
    - {name: web, in: [outside], to: 203.0.113.2, protocol: tcp, ports: 8081, translate: "172.30.2.10:80"}
    - {name: dns, in: [outside], to: 203.0.113.2, protocol: udp, ports: 53, translate: 10.0.0.5}
  oneToOne:
    - {name: legacy, outside: 203.0.113.20, inside: 10.0.0.20, out: [outside]}
host:
  enabled: true
  services:
    - {name: ssh, protocol: tcp, ports: 22}
    - {name: bgp, protocol: tcp, ports: 179, addresses: [10.0.0.1]}
limits: {sessions: 1024, neighbours: 64, icmpErrorsPerDestination: 1000, icmpErrorsPerSecond: 100000, icmpErrorBurst: 1000}
`

// A gate is a whole gateway in memory, with the far ends of its ports.
type gate struct {
	t       testing.TB
	off     *appliance.Offline
	far     map[string]*memory.Port
	near    map[string]*memory.Port
	now     int64
	workers int
}

type gateOptions struct {
	workers  int
	segments bool
	line     []dataplane.Step
	seed     uint64
	log      *slog.Logger
}

func newGate(t testing.TB, yaml string, o gateOptions) *gate {
	t.Helper()
	g := &gate{t: t, far: map[string]*memory.Port{}, near: map[string]*memory.Port{}, now: 1e9, workers: max(o.workers, 1)}
	ports := map[string]link.Port{}
	for i, name := range []string{"outside", "inside", "narrow", "spare", "host"} {
		m := memory.Options{Queues: g.workers, Segments: o.segments, MACs: [2][6]byte{{2, 0, 0, 0, 0, byte(i)}, {2, 0, 0, 0, 1, byte(i)}}}
		if name == "host" {
			m.L3, m.MACs, m.MTU = true, [2][6]byte{}, 1500
		}
		a, b, err := memory.Pair(m)
		if err != nil {
			t.Fatal(err)
		}
		g.near[name], g.far[name], ports[name] = a, b, a
	}
	var err error
	g.off, err = appliance.NewOffline(g.parse(yaml), appliance.OfflineOptions{Ports: ports, Workers: g.workers, Line: o.line, Seed: o.seed, Log: o.log})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gate) parse(yaml string) *config.Config {
	g.t.Helper()
	c, err := config.Parse("core.yaml", []byte(yaml))
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// apply reloads.
func (g *gate) apply(yaml string) {
	g.t.Helper()
	if err := g.off.Apply(g.parse(yaml)); err != nil {
		g.t.Fatal(err)
	}
}

// mac is the gateway's address on a port.
func (g *gate) mac(port string) [6]byte { return g.near[port].Info().MAC }

// in gives the gateway frames by a port, at worker 0.
func (g *gate) in(port string, frames ...[]byte) {
	g.t.Helper()
	g.at(0, port, frames...)
	g.settle()
}

// at gives frames to a worker, without letting the others run.
func (g *gate) at(worker int, port string, frames ...[]byte) {
	g.t.Helper()
	for _, f := range frames {
		var p packet.Packet
		p.Set(make([]byte, packet.Headroom+len(f)+64), f)
		g.packet(worker, port, p)
	}
}

// packet gives a packet, offload and tags and all, to a worker.
func (g *gate) packet(worker int, port string, p packet.Packet) {
	g.t.Helper()
	number, ok := g.off.PortNumber(port)
	if !ok {
		g.t.Fatalf("no port %q", port)
	}
	g.now += 1e6
	g.off.Workers()[worker].Inject(g.now, number, p)
}

// settle lets all workers run until there is nothing to do.
func (g *gate) settle() {
	g.t.Helper()
	for range 20 {
		g.now += 1e6
		busy, err := g.off.Poll(g.now)
		if err != nil {
			g.t.Fatal(err)
		}
		if !busy {
			break
		}
	}
	for i, w := range g.off.Workers() {
		if n := w.Counters.Balance(); n != 0 {
			g.t.Fatalf("worker %d: balance is %d", i, n)
		}
	}
}

// wait lets time pass.
func (g *gate) wait(ns int64) {
	for range 20 {
		g.now += ns / 20
		g.settle()
	}
}

// raw returns what left by a port.
func (g *gate) raw(port string) [][]byte { return g.far[port].Drain() }

// out is raw for frames of which every checksum must be right.
func (g *gate) out(port string) [][]byte {
	g.t.Helper()
	fs := g.raw(port)
	for _, f := range fs {
		if err := verify(f, port == "host"); err != nil {
			g.t.Fatalf("by %s: %v\n%x", port, err, f)
		}
	}
	return fs
}

// one returns the only packet that left, which must be by the port.
func (g *gate) one(port string) seen {
	g.t.Helper()
	fs := g.out(port)
	if len(fs) != 1 {
		g.t.Fatalf("%d packets left by %s; want 1. Drops: %v", len(fs), port, g.drops())
	}
	g.silent()
	return read(g.t, fs[0], port == "host")
}

// silent asks that nothing left by any port.
func (g *gate) silent() {
	g.t.Helper()
	for name := range g.far {
		for _, f := range g.raw(name) {
			g.t.Fatalf("left by %s: %x", name, f)
		}
	}
}

// drops returns the drop counters that are not 0, of all workers.
func (g *gate) drops() map[drop.Reason]uint64 {
	m := map[drop.Reason]uint64{}
	for _, w := range g.off.Workers() {
		for r := range w.Counters.Drops {
			if n := w.Counters.Drops[r].Load(); n != 0 {
				m[drop.Reason(r)] += n
			}
		}
	}
	return m
}

// sessions returns how many there are at all workers.
func (g *gate) sessions() (n int) {
	for _, w := range g.off.Workers() {
		n += w.Sessions().Used()
	}
	return n
}

func (g *gate) handedOver() (n uint64) {
	for _, w := range g.off.Workers() {
		n += w.Counters.HandedOver.Load()
	}
	return n
}

// frame puts the packet into a frame for the gateway.
func (g *gate) frame(port string, l3 []byte) []byte {
	mac := g.mac(port)
	return ether(mac, 0x0800, l3)
}

// send gives the packet to the gateway by an Ethernet port.
func (g *gate) send(port string, l3s ...[]byte) {
	g.t.Helper()
	for _, b := range l3s {
		g.in(port, g.frame(port, b))
	}
}
