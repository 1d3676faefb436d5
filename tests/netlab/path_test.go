package netlab

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// router forwards between two subnets.
func router(a, b, to, via string) string {
	return fmt.Sprintf(`
ports:
  - {name: a, driver: memory, addresses: [%s]}
  - {name: b, driver: memory, addresses: [%s]}
routes:
  - {to: %s, via: [%s]}
limits: {sessions: 4096, neighbourQueue: 64}
`, a, b, to, via)
}

// Flows of a route with two next hops are shared by both routers, each flow always by
// the same one; all answers come back by one of them.
func TestECMPWithTwoNextHops(t *testing.T) {
	l := New(t)
	lan, core, far := l.Link("lan"), l.Link("core"), l.Link("far")
	g := l.Gateway("edge", 1, `
ports:
  - {name: lan, driver: memory, addresses: [10.0.0.1/24]}
  - {name: core, driver: memory, addresses: [192.0.2.1/24]}
routes:
  - {to: 203.0.113.0/24, via: [192.0.2.11, 192.0.2.12]}
limits: {sessions: 4096, neighbourQueue: 64}
`, map[string]*Link{"lan": lan, "core": core})
	r1 := l.Gateway("r1", 1, router("192.0.2.11/24", "203.0.113.11/24", "10.0.0.0/24", "192.0.2.1"), map[string]*Link{"a": core, "b": far})
	r2 := l.Gateway("r2", 1, router("192.0.2.12/24", "203.0.113.12/24", "10.0.0.0/24", "192.0.2.1"), map[string]*Link{"a": core, "b": far})
	host := l.Host("host", lan, "10.0.0.10/24", "10.0.0.1")
	server := l.Host("server", far, "203.0.113.9/24", "203.0.113.11")
	server.EchoUDP()

	by := map[byte]map[string]bool{} // the last byte of a router's address: flows
	far.Lose = func(_ int, frame []byte) bool {
		if frame[12] == 8 && frame[13] == 0 && frame[23] == 17 && frame[29] == 10 { // UDP from the host
			from := frame[11]
			if by[from] == nil {
				by[from] = map[string]bool{}
			}
			by[from][string(frame[34:36])] = true
		}
		return false
	}
	echoes := map[string]int{}
	host.UDP = func(d Datagram) { echoes[d.Data]++ }
	const flows, rounds = 32, 5
	for range rounds {
		for i := range uint16(flows) {
			host.Send(5000+i, port("203.0.113.9:53"), fmt.Sprint("flow ", i))
		}
		l.Run(50 * time.Millisecond)
	}
	for i := range flows {
		if n := echoes[fmt.Sprint("flow ", i)]; n != rounds {
			t.Errorf("flow %d: got %d echoes; want %d", i, n, rounds)
		}
	}
	first, second := by[r1.MAC("b")[5]], by[r2.MAC("b")[5]]
	if len(first) < flows/4 || len(second) < flows/4 || len(first)+len(second) != flows {
		t.Errorf("got %d and %d flows by the routers; want %d, no fewer than a quarter each, and none by both", len(first), len(second), flows)
	}
	noDrops(t, g, r1, r2)
}

// twoProviders is an edge with two ways to the internet; answers come by the other one.
func twoProviders(t *testing.T, rpf string) (host, server *Host, edge *Gateway) {
	l := New(t)
	lan, one, two, far := l.Link("lan"), l.Link("one"), l.Link("two"), l.Link("far")
	edge = l.Gateway("edge", 1, fmt.Sprintf(`
ports:
  - {name: lan, driver: memory, addresses: [198.51.100.1/24]}
  - {name: one, driver: memory, addresses: [192.0.2.1/25], rpf: %s, zone: outside}
  - {name: two, driver: memory, addresses: [192.0.2.129/25], rpf: %s, zone: outside}
routes:
  - {to: 0.0.0.0/0, via: [192.0.2.11]}
limits: {sessions: 4096}
`, rpf, rpf), map[string]*Link{"lan": lan, "one": one, "two": two})
	l.Gateway("isp1", 1, router("192.0.2.11/25", "203.0.113.11/24", "198.51.100.0/24", "192.0.2.1"), map[string]*Link{"a": one, "b": far})
	l.Gateway("isp2", 1, router("192.0.2.139/25", "203.0.113.12/24", "198.51.100.0/24", "192.0.2.129"), map[string]*Link{"a": two, "b": far})
	host = l.Host("host", lan, "198.51.100.10/24", "198.51.100.1")
	server = l.Host("server", far, "203.0.113.9/24", "203.0.113.12")
	server.Serve(80)
	return host, server, edge
}

func TestAsymmetricReturn(t *testing.T) {
	host, _, edge := twoProviders(t, "loose")
	want := lines(10)
	c := host.Dial(port("203.0.113.9:80"), want...)
	host.Ping(addr("203.0.113.9"), 7, 1)
	host.lab.Until("the connection closes", func() bool { return c.Closed })
	through(t, c, want)
	if host.Pongs[7] != 1 {
		t.Errorf("got %d pongs; want 1", host.Pongs[7])
	}
	noDrops(t, edge)
}

func TestAsymmetricReturnAgainstStrictReversePath(t *testing.T) {
	host, server, edge := twoProviders(t, "strict")
	c := host.Dial(port("203.0.113.9:80"), "hello")
	host.lab.Run(time.Second)
	if len(c.Said) != 0 || c.connected || len(server.Conns()) != 1 {
		t.Errorf("got connected %v; want the answers refused", c.connected)
	}
	if d := edge.Drops(); d["reverse_path"] == 0 || len(d) != 1 {
		t.Errorf("edge dropped %v; want reverse_path", d)
	}
}

// stormGateway is reloaded with changes that do not concern the flows: an unrelated
// route, an unrelated rule, another order of ports.
func stormGateway(i int) string {
	ports := []string{"  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}\n", "  - {name: inside, driver: memory, addresses: [10.0.0.1/24]}\n"}
	if i%3 == 1 {
		slices.Reverse(ports)
	}
	return fmt.Sprintf(`
ports:
%s%sroutes:
  - {to: 0.0.0.0/0, via: [203.0.113.9]}
  - {to: 198.51.%d.0/24, blackhole: true}
nat:
  source:
    - {name: other, out: [outside], from: [10.9.%d.0/24], translate: 203.0.113.77}
    - {name: out, out: [outside], translate: masquerade}
  destination:
    - {name: web, in: [outside], to: 203.0.113.2, protocol: tcp, ports: %d, translate: "10.0.0.11:80"}
limits: {sessions: 4096}
`, ports[0], ports[1], 101+i%50, i%200, 8000+i%100)
}

// A thousand reloads under traffic lose nothing and move no flow.
func TestReloadStorm(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) { reloadStorm(t, workers) })
	}
}

func reloadStorm(t *testing.T, workers int) {
	const reloads, flows = 1000, 8
	l := New(t)
	lan, internet := l.Link("lan"), l.Link("internet")
	g := l.Gateway("edge", workers, stormGateway(0), map[string]*Link{"inside": lan, "outside": internet})
	host := l.Host("host", lan, "10.0.0.10/24", "10.0.0.1")
	server := l.Host("server", internet, "203.0.113.9/24", "")
	server.Serve(80)
	seen := map[string]map[string]bool{} // flow: whom the server saw
	server.UDP = func(d Datagram) {
		name := d.Data
		if seen[name] == nil {
			seen[name] = map[string]bool{}
		}
		seen[name][d.From.String()] = true
		server.Send(d.To.Port(), d.From, name)
	}
	echoes := map[string]int{}
	host.UDP = func(d Datagram) { echoes[d.Data]++ }
	host.Meet(server.Addr())
	want := lines(reloads / 5)
	c := host.Dial(port("203.0.113.9:80"), want...)
	for i := range reloads {
		g.Apply(stormGateway(i + 1))
		host.Send(5000+uint16(i%flows), port("203.0.113.9:53"), fmt.Sprint("flow ", i%flows))
		l.step()
	}
	l.Until("the connection closes", func() bool { return c.Closed })
	l.Run(100 * time.Millisecond)
	through(t, c, want)
	if c.Retransmits != 0 {
		t.Errorf("%d segments were lost", c.Retransmits)
	}
	for i := range flows {
		name := fmt.Sprint("flow ", i)
		if echoes[name] != reloads/flows || len(seen[name]) != 1 {
			t.Errorf("%s: %d of %d datagrams came back; the server saw it as %v", name, echoes[name], reloads/flows, seen[name])
		}
	}
	noDrops(t, g)
}

// twoRules gives two hosts outside addresses of their own.
func twoRules(first, second string) string {
	return fmt.Sprintf(`
ports:
  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}
  - {name: inside, driver: memory, addresses: [10.0.0.1/24]}
nat:
  source:
    - {name: first, out: [outside], from: 10.0.0.10, translate: %s}
    - {name: second, out: [outside], from: 10.0.0.20, translate: %s}
limits: {sessions: 4096}
`, first, second)
}

// A reload that gives one host another address cuts its flow, which begins again by the
// new one, and no other flow.
func TestReloadCutsWhatItConcerns(t *testing.T) {
	l := New(t)
	lan, internet := l.Link("lan"), l.Link("internet")
	g := l.Gateway("edge", 1, twoRules("203.0.113.70", "203.0.113.80"), map[string]*Link{"inside": lan, "outside": internet})
	first := l.Host("first", lan, "10.0.0.10/24", "10.0.0.1")
	second := l.Host("second", lan, "10.0.0.20/24", "10.0.0.1")
	server := l.Host("server", internet, "203.0.113.9/24", "")
	first.Meet(server.Addr())
	second.Meet(server.Addr())
	seen := map[string][]string{}
	server.UDP = func(d Datagram) { seen[d.Data] = append(seen[d.Data], d.From.String()) }
	round := func() {
		first.Send(5000, port("203.0.113.9:53"), "first")
		second.Send(5000, port("203.0.113.9:53"), "second")
		l.Run(10 * time.Millisecond)
	}
	round()
	g.Apply(twoRules("203.0.113.70", "203.0.113.81"))
	round()
	round()
	if got, want := seen["first"], slices.Repeat([]string{"203.0.113.70:5000"}, 3); !slices.Equal(got, want) {
		t.Errorf("first: got %v; want %v", got, want)
	}
	if got, want := seen["second"], []string{"203.0.113.80:5000", "203.0.113.81:5000"}; !slices.Equal(got, want) {
		t.Errorf("second: got %v; want %v", got, want)
	}
	if d := g.Drops(); d["session_changed"] != 1 {
		t.Errorf("edge dropped %v; want the packet that met the change", d)
	}
}
