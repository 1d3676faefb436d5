package tests

import (
	"fmt"
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

// ask and told are one flow through the masquerade.
func ask(g *gate) {
	g.t.Helper()
	g.send("inside", toNet.udp(5000, 53, "q"))
	g.one("outside").is(g.t, "203.0.113.2:5000 > 198.51.100.7:53")
}

func told(g *gate) {
	g.t.Helper()
	g.send("outside", toGate.udp(53, 5000, "a"))
	g.one("inside").is(g.t, "198.51.100.7:53 > 10.0.0.5:5000")
}

// TestReloadKeepsSessions and their mappings, whichever direction speaks first, as long
// as the new configuration would decide the same.
func TestReloadKeepsSessions(t *testing.T) {
	other := strings.NewReplacer("name: out,", "name: renamed,", "from: [10.0.0.0/8, 172.30.0.0/16]", "from: [10.0.0.0/16]").Replace(coreYAML)
	for name, yaml := range map[string]string{"same": coreYAML, "another rule that says the same": other} {
		for _, first := range []string{"the inside", "the outside"} {
			t.Run(name+", then "+first, func(t *testing.T) {
				g := newGate(t, coreYAML, gateOptions{})
				ask(g)
				told(g)
				for range 3 {
					g.apply(yaml)
					if first == "the inside" {
						ask(g)
					} else {
						told(g)
					}
				}
				ask(g)
				told(g)
				if made := g.off.Workers()[0].Counters.SessionsMade.Load(); made != 1 || len(g.drops()) != 0 {
					t.Errorf("got %d sessions made, want 1; drops %v", made, g.drops())
				}
			})
		}
	}
}

// TestReloadKeepsTCP: an established connection goes on in the middle.
func TestReloadKeepsTCP(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	handshake(g)
	g.apply(coreYAML)
	g.send("outside", toGate.tcp(80, 4000, header.ACK, 5001, 1001, "data"))
	g.one("inside").is(t, "198.51.100.7:80 > 10.0.0.5:4000")
	g.send("inside", toNet.tcp(4000, 80, header.ACK, 1001, 5005, ""))
	g.one("outside").is(t, "203.0.113.2:4000 > 198.51.100.7:80")
}

// TestReloadCutsWhatIsDecidedOtherwise: one packet is the price; the next begins anew as
// the new configuration says.
func TestReloadCutsWhatIsDecidedOtherwise(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	ask(g)
	g.apply(strings.Replace(coreYAML, "translate: masquerade", "translate: {addresses: [203.0.113.77]}", 1))
	g.send("inside", toNet.udp(5000, 53, "q"))
	g.silent()
	if g.drops()[drop.SessionChanged] != 1 || g.sessions() != 0 {
		t.Fatalf("drops %v, %d sessions; want 1 session_changed and none", g.drops(), g.sessions())
	}
	g.send("inside", toNet.udp(5000, 53, "q"))
	if s := g.one("outside").String(); !strings.HasPrefix(s, "203.0.113.77:") {
		t.Errorf("got %s; want it from 203.0.113.77", s)
	}
}

// TestReloadFreesWhatItGivesToOthers: an outside endpoint of a session that the new
// configuration would not make any more does not keep a new flow from it.
func TestReloadFreesWhatItGivesToOthers(t *testing.T) {
	configs := stormConfigs()
	dynamic, static := configs[0], configs[len(configs)-1]
	g := newGate(t, dynamic, gateOptions{})
	g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.7"}.ping(77, "x"))
	id := header.ICMP(g.one("outside").l4).ID()
	g.apply(static) // 203.0.113.40 is now 10.0.0.5
	g.send("inside", v4{src: "10.0.0.5", dst: "198.51.100.7"}.ping(id, "x"))
	g.one("outside")
	g.send("outside", v4{src: "198.51.100.7", dst: "203.0.113.40"}.icmp(0, 0, id, 1, "x"))
	g.one("inside").is(t, fmt.Sprintf("198.51.100.7 > 10.0.0.5 icmp 0 id %d", id))
}

// TestReloadMovesRoute: the session goes by the new next hop, its mapping stays.
func TestReloadMovesRoute(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	ask(g)
	yaml := strings.NewReplacer("to: 0.0.0.0/0, via: [203.0.113.1]", "to: 0.0.0.0/0, via: [203.0.113.3]",
		"neighbours:\n", "neighbours:\n  - {port: outside, address: 203.0.113.3, mac: \"02:00:00:00:01:03\"}\n").Replace(coreYAML)
	g.apply(yaml)
	g.send("inside", toNet.udp(5000, 53, "q"))
	s := g.one("outside")
	s.is(t, "203.0.113.2:5000 > 198.51.100.7:53")
	if s.dst[5] != 3 {
		t.Errorf("left to %x; want the new next hop", s.dst)
	}
	told(g)
}

// TestPortDownKeepsSessions: while the port is down its packets are dropped for that;
// when it is up again the connections go on (F1).
func TestPortDownKeepsSessions(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	handshake(g)
	data := toNet.tcp(4000, 80, header.ACK, 1001, 5001, "data")
	g.near["outside"].SetUp(false)
	g.send("inside", data) // the kernel has not told yet
	g.apply(coreYAML)
	g.send("inside", data)
	g.silent()
	if d := g.drops(); d[drop.TxRefused] != 1 || d[drop.PortDown] != 1 || len(d) != 2 {
		t.Errorf("drops: %v; want one tx_refused, one port_down", d)
	}
	g.near["outside"].SetUp(true)
	g.apply(coreYAML)
	g.send("inside", data)
	g.one("outside").is(t, "203.0.113.2:4000 > 198.51.100.7:80")
	g.send("outside", toGate.tcp(80, 4000, header.ACK, 5001, 1005, "data"))
	g.one("inside").is(t, "198.51.100.7:80 > 10.0.0.5:4000")
}

// TestPortDownKeepsSessionsFromIt: the same for those that came in by the port, which the
// inside goes on answering.
func TestPortDownKeepsSessionsFromIt(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	toPod(g, v4{}, "")
	pod := v4{src: "172.30.2.10", dst: "198.51.100.7"}
	g.send("inside", fromW2.ipip(pod.tcp(80, 4000, header.SYN|header.ACK, 9, 2, "")))
	g.one("outside")
	g.near["outside"].SetUp(false)
	g.apply(coreYAML)
	g.send("inside", fromW2.ipip(pod.tcp(80, 4000, header.ACK, 10, 2, "data")))
	g.silent()
	if d := g.drops(); d[drop.PortDown] != 1 || len(d) != 1 || g.sessions() != 1 {
		t.Errorf("drops %v, %d sessions; want one port_down and one session", d, g.sessions())
	}
	g.near["outside"].SetUp(true)
	g.apply(coreYAML)
	g.send("inside", fromW2.ipip(pod.tcp(80, 4000, header.ACK, 10, 2, "data")))
	g.one("outside").is(t, "203.0.113.2:8081 > 198.51.100.7:4000")
}

// TestReloadRemovesLastPort: its packets are nobody's, and what was held for it is given
// up when the neighbor answers no more.
func TestReloadRemovesLastPort(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	g.send("inside", v4{src: "10.0.0.5", dst: "192.168.7.9"}.udp(1, 2, "x"))
	g.raw("spare")
	cut := strings.NewReplacer("  - {name: spare, driver: memory, addresses: [192.168.7.1/24]}\n", "", "  - {to: 10.7.0.0/16, via: [192.168.7.2]}\n", "")
	noHost := coreYAML[:strings.Index(coreYAML, "host:")] + coreYAML[strings.Index(coreYAML, "limits:"):]
	g.apply(cut.Replace(noHost))
	g.wait(12e9)
	ask(g)
	told(g)
	if d := g.drops(); d[drop.NeighborUnresolved] != 1 || len(d) != 1 {
		t.Errorf("drops: %v; want one neighbor_unresolved", d)
	}
	g.send("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.tcp(1, 22, header.SYN, 1, 0, ""))
	g.silent()
}

// TestMappingsDoNotLeak: whatever ends a flow or keeps it from beginning, its outside
// port is free afterwards. There is one port.
func TestMappingsDoNotLeak(t *testing.T) {
	one := strings.Replace(coreYAML, "translate: masquerade", "translate: {addresses: [203.0.113.2], ports: 4000-4000}", 1)
	syn := toNet.tcp(4000, 80, header.SYN, 1, 0, "")
	rows := map[string]struct {
		yaml string
		do   func(*gate)
	}{
		"a flow that is closed": {one, func(g *gate) {
			g.send("inside", syn)
			g.send("outside", toGate.tcp(80, 4000, header.SYN|header.ACK, 5, 2, ""))
			g.send("inside", toNet.tcp(4000, 80, header.FIN|header.ACK, 2, 6, ""))
			g.send("outside", toGate.tcp(80, 4000, header.FIN|header.ACK, 6, 3, ""))
			g.wait(260e9)
		}},
		"a flow that times out": {one, func(g *gate) { g.send("inside", syn); g.wait(400e9) }},
		"a flow that finds no port": {one, func(g *gate) {
			g.send("inside", syn)
			g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.7"}.tcp(4000, 80, header.SYN, 1, 0, ""))
			g.wait(400e9)
		}},
		"a reload that cuts it": {one, func(g *gate) {
			g.send("inside", syn)
			g.apply(coreYAML)
			g.send("inside", syn)
			g.apply(strings.Replace(coreYAML, "translate: masquerade", "translate: {addresses: [203.0.113.77]}", 1))
			g.send("inside", syn)
			g.apply(one)
			g.wait(400e9)
		}},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, r.yaml, gateOptions{})
			r.do(g)
			for _, p := range []string{"inside", "outside"} {
				g.raw(p)
			}
			if g.sessions() != 0 {
				t.Fatalf("%d sessions are left", g.sessions())
			}
			g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.9"}.tcp(4000, 99, header.SYN, 1, 0, ""))
			g.one("outside").is(t, "203.0.113.2:4000 > 198.51.100.9:99")
		})
	}
}
