package netlab

import (
	"testing"
	"time"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane/link"
	"openvra/dataplane/link/memory"
)

// Step is how far the clock goes at a time, and how long a frame takes to cross a link.
const Step = time.Millisecond

// A Lab is hosts, gateways and the links between them. For one goroutine.
type Lab struct {
	tb       testing.TB
	now      int64 // nanoseconds
	macs     byte
	links    []*Link
	hosts    []*Host
	gateways []*Gateway
	diagram  diagram
}

// New returns an empty lab. Its books are checked, and its diagram is printed if the
// test has failed, when the test ends.
func New(tb testing.TB) *Lab {
	l := &Lab{tb: tb, now: int64(time.Hour)}
	tb.Cleanup(func() {
		l.check()
		if tb.Failed() {
			tb.Log("\n" + l.diagram.String())
		}
	})
	return l
}

// nextMAC returns an Ethernet address that no other port has.
func (l *Lab) nextMAC() [6]byte {
	l.macs++
	return [6]byte{2, 0, 0, 0, 0, l.macs}
}

// Now returns the lab's time.
func (l *Lab) Now() time.Duration { return time.Duration(l.now) }

// Run lets time pass.
func (l *Lab) Run(d time.Duration) {
	l.tb.Helper()
	for end := l.now + int64(d); l.now < end; {
		l.step()
	}
}

// Until lets time pass until done says so; after a minute the test fails.
func (l *Lab) Until(what string, done func() bool) {
	l.tb.Helper()
	for end := l.now + int64(time.Minute); !done(); l.step() {
		if l.now >= end {
			l.tb.Fatalf("a minute went by without: %s", what)
		}
	}
}

// step is one step: what was sent before arrives, and everybody takes a turn.
func (l *Lab) step() {
	l.tb.Helper()
	l.now += int64(Step)
	for _, k := range l.links {
		k.carry()
	}
	for _, h := range l.hosts {
		h.turn()
	}
	l.poll()
}

// poll lets each gateway do what there is to do.
func (l *Lab) poll() {
	l.tb.Helper()
	for _, g := range l.gateways {
		for busy := true; busy; {
			var err error
			if busy, err = g.off.Poll(l.now); err != nil {
				l.tb.Fatalf("gateway %s: %v", g.name, err)
			}
		}
	}
}

// A Gateway is a real one, all but its threads and devices.
type Gateway struct {
	lab   *Lab
	name  string
	off   *appliance.Offline
	ports map[string]*memory.Port // the gateway's ends
}

// Gateway adds a gateway with a configuration whose ports, by name, are on links.
func (l *Lab) Gateway(name string, workers int, yaml string, on map[string]*Link) *Gateway {
	l.tb.Helper()
	g := &Gateway{lab: l, name: name, ports: map[string]*memory.Port{}}
	ports := map[string]link.Port{}
	for port, k := range on {
		near, far, err := memory.Pair(memory.Options{MTU: k.MTU, MACs: [2][6]byte{l.nextMAC(), l.nextMAC()}, Queues: workers})
		if err != nil {
			l.tb.Fatal(err)
		}
		l.tb.Cleanup(func() { near.Close(); far.Close() })
		g.ports[port], ports[port] = near, near
		k.attach(name, near.Info().MAC, &cord{far: far})
	}
	var err error
	g.off, err = appliance.NewOffline(l.parse(name, yaml), appliance.OfflineOptions{Ports: ports, Workers: workers})
	if err != nil {
		l.tb.Fatalf("gateway %s: %v", name, err)
	}
	l.gateways = append(l.gateways, g)
	return g
}

func (l *Lab) parse(name, yaml string) *config.Config {
	l.tb.Helper()
	c, err := config.Parse(name, []byte(yaml))
	if err != nil {
		l.tb.Fatal(err)
	}
	return c
}

// Apply gives the gateway another configuration, as a reload does.
func (g *Gateway) Apply(yaml string) {
	g.lab.tb.Helper()
	if err := g.off.Apply(g.lab.parse(g.name, yaml)); err != nil {
		g.lab.tb.Fatalf("gateway %s: %v", g.name, err)
	}
}

// MAC returns the Ethernet address of a port.
func (g *Gateway) MAC(port string) [6]byte { return g.ports[port].Info().MAC }

// Drops returns how many packets the gateway has dropped, by reason.
func (g *Gateway) Drops() map[string]uint64 {
	all := map[string]uint64{}
	for _, w := range g.off.Workers() {
		for r := range w.Counters.Drops {
			if n := w.Counters.Drops[r].Load(); n > 0 {
				all[reasonName(r)] += n
			}
		}
	}
	return all
}

// Sessions returns how many sessions the gateway has.
func (g *Gateway) Sessions() (n int) {
	for _, w := range g.off.Workers() {
		n += w.Sessions().Used()
	}
	return n
}
