package tests

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"openvra/appliance"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// anywhere gives the packet to a random worker, as a device that knows nothing of flows.
func (g *gate) anywhere(rnd *rand.Rand, port string, l3 []byte) {
	g.t.Helper()
	g.at(rnd.IntN(g.workers), port, g.frame(port, l3))
	g.settle()
}

// owner returns the worker that has the only session.
func (g *gate) owner() int {
	g.t.Helper()
	at := -1
	for i, w := range g.off.Workers() {
		if n := w.Sessions().Used(); n > 0 {
			if at >= 0 || n > 1 {
				g.t.Fatalf("worker %d has %d sessions, worker %d has some too", i, n, at)
			}
			at = i
		}
	}
	return at
}

// TestWorkersShareFlows: packets come in at random workers, with every kind of
// translation, in IP-in-IP, in fragments, and quoted by ICMP errors. Both directions of a
// flow are with one worker, and hand-overs are counted.
func TestWorkersShareFlows(t *testing.T) {
	for _, workers := range []int{2, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(workers), 2))
			handed := uint64(0)
			for i := range uint16(20) {
				for name, f := range map[string]func(*gate, *rand.Rand, uint16){
					"masquerade": sharedMasquerade, "destination": sharedDestination, "ping": sharedPing, "fragments": sharedFragments,
				} {
					g := newGate(t, coreYAML, gateOptions{workers: workers, seed: uint64(i)})
					f(g, rnd, i)
					if t.Failed() {
						t.Fatalf("%s, flow %d", name, i)
					}
					g.owner()
					if d := g.drops(); len(d) != 0 {
						t.Fatalf("%s, flow %d: drops %v", name, i, d)
					}
					handed += g.handedOver()
				}
			}
			if handed == 0 {
				t.Error("nothing was handed over: the test shows nothing")
			}
		})
	}
}

func sharedMasquerade(g *gate, rnd *rand.Rand, i uint16) {
	g.t.Helper()
	h := v4{src: "172.30.2.10", dst: "198.51.100.7"}
	for range 3 {
		g.anywhere(rnd, "inside", fromW2.ipip(h.udp(5000+i, 53, "q")))
		left := g.one("outside")
		port := header.UDP(left.l4).SrcPort()
		g.anywhere(rnd, "outside", toGate.udp(53, port, "a"))
		g.one("inside").is(g.t, fmt.Sprintf("[10.0.0.1 > 10.0.1.12] 198.51.100.7:53 > 172.30.2.10:%d", 5000+i))
		g.anywhere(rnd, "outside", v4{src: "198.51.100.1", dst: "203.0.113.2"}.quoting(11, 0, 0, slices.Clone(left.ip), 28))
		g.one("inside").is(g.t, fmt.Sprintf("[10.0.0.1 > 10.0.1.12] 198.51.100.1 > 172.30.2.10 icmp 11/0 about 172.30.2.10:%d > 198.51.100.7:53", 5000+i))
	}
}

func sharedDestination(g *gate, rnd *rand.Rand, i uint16) {
	g.t.Helper()
	pod := v4{src: "172.30.2.10", dst: "198.51.100.7"}
	g.anywhere(rnd, "outside", toGate.tcp(4000+i, 8081, header.SYN, 1, 0, ""))
	sent := slices.Clone(g.one("inside").ip)
	g.anywhere(rnd, "inside", fromW2.ipip(pod.tcp(80, 4000+i, header.SYN|header.ACK, 9, 2, "")))
	g.one("outside").is(g.t, fmt.Sprintf("203.0.113.2:8081 > 198.51.100.7:%d", 4000+i))
	for range 3 {
		g.anywhere(rnd, "outside", toGate.tcp(4000+i, 8081, header.ACK, 2, 10, "GET /"))
		g.one("inside")
		g.anywhere(rnd, "inside", fromW2.ipip(pod.quoting(3, 3, 0, sent, 28)))
		g.one("outside").is(g.t, fmt.Sprintf("203.0.113.2 > 198.51.100.7 icmp 3/3 about 198.51.100.7:%d > 203.0.113.2:8081", 4000+i))
	}
}

func sharedPing(g *gate, rnd *rand.Rand, i uint16) {
	g.t.Helper()
	for range 3 {
		g.anywhere(rnd, "inside", v4{src: "10.0.0.5", dst: "198.51.100.7"}.ping(i, "x"))
		id := header.ICMP(g.one("outside").l4).ID()
		g.anywhere(rnd, "outside", toGate.icmp(0, 0, id, 1, "x"))
		g.one("inside").is(g.t, fmt.Sprintf("198.51.100.7 > 10.0.0.5 icmp 0 id %d", i))
	}
}

func sharedFragments(g *gate, rnd *rand.Rand, i uint16) {
	g.t.Helper()
	payload := strings.Repeat("abcdefgh", 20)
	play := func(in, out string, b []byte, wrap func([]byte) []byte) seen {
		fs := split(b, 64)
		rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		for _, f := range fs {
			g.anywhere(rnd, in, wrap(f))
		}
		left := g.out(out)
		if len(left) != 3 {
			g.t.Fatalf("%d fragments left; want 3. Drops: %v", len(left), g.drops())
		}
		slices.SortFunc(left, func(a, b []byte) int {
			return int(read(g.t, a, false).ip.Fragment()&header.FragmentOffset) - int(read(g.t, b, false).ip.Fragment()&header.FragmentOffset)
		})
		s := read(g.t, left[0], false)
		return s
	}
	g.t.Helper()
	for n := range uint16(3) {
		h := v4{src: "172.30.2.10", dst: "198.51.100.7", id: 10 + n}
		port := header.UDP(play("inside", "outside", h.udp(5000+i, 53, payload), fromW2.ipip).l4).SrcPort()
		back := v4{src: "198.51.100.7", dst: "203.0.113.2", id: 20 + n}
		play("outside", "inside", back.udp(53, port, payload), func(b []byte) []byte { return b })
	}
}

// TestHandoverFull: a worker that does not keep up costs the packets above its ring's
// size, each counted, and nothing else.
func TestHandoverFull(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{workers: 2})
	const n = 1024
	sent := 0
	for i := range uint16(3 * n) {
		b := v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(1000+i, 53, "x")
		g.at(0, "inside", g.frame("inside", b))
		sent++
	}
	w := g.off.Workers()[0]
	full := w.Counters.Drops[drop.HandoverFull].Load()
	if w.Counters.HandedOver.Load() != n || full == 0 || w.Counters.Balance() != 0 {
		t.Errorf("got %d handed over, %d dropped, balance %d; want %d, some, 0", w.Counters.HandedOver.Load(), full, w.Counters.Balance(), n)
	}
	g.settle()
}

// TestPortOfAPlanToCome: a worker that has the new plan already hands over a packet of a
// port that the other one does not know yet.
func TestPortOfAPlanToCome(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{workers: 2})
	g.settle()
	more := strings.Replace(coreYAML, "      - {name: customer", "      - {name: later, id: 300, addresses: [10.3.0.1/24]}\n      - {name: customer", 1)
	w := g.off.Workers()
	old := w[1].Plan()
	g.apply(more)
	w[1].SetPlan(old)
	for i := range uint16(20) {
		g.at(0, "inside", tagged(g.frame("inside", v4{src: "10.3.0.5", dst: "192.0.2.5"}.udp(1000+i, 53, "x")), 0x8100_012c))
	}
	g.settle()
	d := g.drops()
	if n := g.handedOver(); n == 0 || d[drop.SessionChanged] != n || w[1].Counters.Panics.Load() != 0 {
		t.Errorf("%d handed over, %d panics, drops %v; want each handed over dropped as session_changed", n, w[1].Counters.Panics.Load(), d)
	}
}

// TestWorkersTogether runs four workers on threads of their own, under reloads, with
// flows in both directions at random queues. The race detector is the judge; afterwards
// everything is accounted for.
func TestWorkersTogether(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{workers: 4})
	number := func(p string) uint16 { n, _ := g.off.PortNumber(p); return n }
	inside, outside := number("inside"), number("outside")
	var plans []*dataplane.Plan
	for range 3 {
		g.apply(coreYAML)
		plans = append(plans, g.off.Workers()[0].Plan())
	}
	stop := make(chan struct{})
	var wg, drain sync.WaitGroup
	for i, w := range g.off.Workers() {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(9, uint64(i)))
			for round := range int64(400) {
				port := uint16(5000 + rnd.IntN(40))
				frames := [][]byte{
					g.frame("inside", v4{src: "10.0.0.5", dst: "198.51.100.7"}.udp(port, 53, "q")),
					g.frame("inside", fromW2.ipip(v4{src: "172.30.2.10", dst: "198.51.100.7", id: port}.udp(port+1000, 53, "q"))),
				}
				for k, f := range frames {
					var p packet.Packet
					p.Set(make([]byte, 512), f)
					w.Inject(1e9+round*1e6+int64(k), inside, p)
				}
				var p packet.Packet
				p.Set(make([]byte, 512), g.frame("outside", toGate.udp(53, port+uint16(rnd.IntN(2))*1000, "a")))
				w.Inject(1e9+round*1e6+9, outside, p)
				if _, err := w.Poll(1e9 + round*1e6 + 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, far := range g.far {
		drain.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
					far.Drain()
				}
			}
		})
	}
	for i := range 200 {
		for _, w := range g.off.Workers() {
			w.SetPlan(plans[i%len(plans)])
		}
		time.Sleep(100 * time.Microsecond)
	}
	wg.Wait()
	close(stop)
	drain.Wait()
	g.now = 3e9
	g.settle()
	for i, w := range g.off.Workers() {
		if n := w.Counters.Panics.Load(); n != 0 {
			t.Errorf("worker %d: %d panics", i, n)
		}
	}
}

// TestPanicCostsOnePacket: a fault in any step is met at one packet; the others of the
// batch go their way.
func TestPanicCostsOnePacket(t *testing.T) {
	for at := 1; at <= len(appliance.Line); at++ {
		for _, marked := range []int{0, 3, 6} {
			t.Run(fmt.Sprintf("behind step %d, packet %d", at, marked), func(t *testing.T) {
				line := slices.Clone(appliance.Line)
				armed := true
				line = slices.Insert(line, at, dataplane.Step{Name: "fault", Run: func(w *dataplane.Worker, from int) {
					w.Each(from, func(p *packet.Packet) {
						if armed && strings.Contains(string(p.Bytes()), "fault") {
							armed = false
							panic("a fault")
						}
					})
				}})
				g := newGate(t, coreYAML, gateOptions{line: line})
				for i := range 7 {
					payload := "fine"
					if i == marked {
						payload = "fault"
					}
					g.far["inside"].Inject(g.frame("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(uint16(1000+i), 53, payload)))
				}
				g.settle()
				c := &g.off.Workers()[0].Counters
				n := uint64(len(g.out("narrow")))
				// Behind the last step all has gone its way.
				lost := b2i(at < len(appliance.Line))
				if c.Panics.Load() != 1 || n != 7-lost || c.Drops[drop.WorkerPanic].Load() != lost {
					t.Errorf("%d panics, %d left, drops %v; want 1, %d and one worker_panic", c.Panics.Load(), n, g.drops(), 7-lost)
				}
				g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(2000, 53, "fine"))
				g.one("narrow")
			})
		}
	}
}
