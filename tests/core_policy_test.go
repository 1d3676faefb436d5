package tests

import (
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

// policyYAML lets the inside out and the outside in to one pod, and the inside ping the
// gateway. Rule 5 of in stands last in the file and is asked first.
const policyYAML = coreYAML + `
policy:
  ruleSets:
    - name: out
      default: reject
      rules:
        - {number: 10, action: drop, to: 198.51.100.66}
        - {number: 20, action: accept, protocol: [tcp, udp, icmp]}
    - name: in
      rules:
        - {number: 10, action: accept, to: 172.30.2.10, protocol: tcp, ports: 80}
        - {number: 20, action: accept, to: 10.0.0.20, protocol: udp, sourcePorts: 1000-2000}
        - {number: 5, action: reject, from: 198.51.100.9}
    - {name: ping, rules: [{number: 1, action: accept, protocol: icmp}, {number: 2, action: reject, protocol: udp}]}
  zones:
    - {from: inside, to: outside, ruleSet: out}
    - {from: outside, to: pods, ruleSet: in}
    - {from: outside, to: inside, ruleSet: in}
    - {from: inside, to: local, ruleSet: ping}
`

// TestZones sends one packet each, and wants it to leave by a port, or the reason why not.
func TestZones(t *testing.T) {
	h := func(src, dst string) v4 { return v4{src: src, dst: dst} }
	syn := func(a v4, sport, dport uint16) []byte { return a.tcp(sport, dport, header.SYN, 1, 0, "") }
	rows := []struct {
		name, in string
		l3       []byte
		out      string
		wants    string
		reason   drop.Reason
	}{
		{"a pair that is listed", "inside", toNet.udp(5000, 53, "q"), "outside", "203.0.113.2:5000 > 198.51.100.7:53", 0},
		{"a ping", "inside", toNet.ping(7, "x"), "outside", "203.0.113.2 > 198.51.100.7 icmp 8 id 7", 0},
		{"ICMP that is no query", "inside", toNet.icmp(48, 0, 1, 2, "x"), "outside", "203.0.113.2 > 198.51.100.7 icmp 48 id 1", 0},
		{"the first rule decides", "inside", h("10.0.0.5", "198.51.100.66").udp(5000, 53, "q"), "", "", drop.PolicyDenied},
		{"the default, which rejects", "inside", toNet.raw(47, make([]byte, 8)), "inside", "10.0.0.1 > 10.0.0.5 icmp 3/13", drop.PolicyDenied},
		{"within a zone", "inside", h("10.0.0.5", "10.1.0.5").udp(5000, 53, "q"), "inside", "10.0.0.5:5000 > 10.1.0.5:53", 0},
		{"within a zone, and translated", "inside", h("10.0.0.6", "203.0.113.2").udp(4000, 53, "q"), "inside", "203.0.113.2:4000 > 10.0.0.5:53", 0},
		{"a pair that is not listed", "inside", h("10.0.0.5", "192.0.2.5").udp(5000, 53, "q"), "", "", drop.ZoneUnlisted},
		{"one way is not the other", "narrow", h("192.0.2.5", "10.0.0.5").udp(53, 5000, "a"), "", "", drop.ZoneUnlisted},
		{"the tunnel is a zone of its own", "inside", h("10.0.1.12", "10.0.0.1").ipip(pod2.udp(1, 2, "x")), "", "", drop.ZoneUnlisted},
		{"by the real destination", "outside", syn(toGate, 4000, 8081), "inside", "[10.0.0.1 > 10.0.1.12] 198.51.100.7:4000 > 172.30.2.10:80", 0},
		{"not by the one that was asked for", "outside", h("198.51.100.7", "203.0.113.2").udp(4000, 53, "q"), "", "", drop.PolicyDenied},
		{"a source port in the range", "outside", h("198.51.100.7", "203.0.113.20").udp(2000, 9, "q"), "inside", "198.51.100.7:2000 > 10.0.0.20:9", 0},
		{"a source port past it", "outside", h("198.51.100.7", "203.0.113.20").udp(2001, 9, "q"), "", "", drop.PolicyDenied},
		{"rules go by number, not by place", "outside", syn(h("198.51.100.9", "203.0.113.2"), 4000, 8081), "outside", "203.0.113.2 > 198.51.100.9 icmp 3/13", drop.PolicyDenied},
		{"local: a ping that is let in", "inside", h("10.0.0.5", "10.0.0.1").ping(7, "x"), "inside", "10.0.0.1 > 10.0.0.5 icmp 0 id 7", 0},
		{"local: a service that is not", "inside", syn(h("10.0.0.5", "10.0.0.1"), 4000, 22), "", "", drop.PolicyDenied},
		{"local: a rule that rejects", "inside", h("10.0.0.5", "10.0.0.1").udp(1, 9999, "x"), "inside", "10.0.0.1 > 10.0.0.5 icmp 3/13", drop.PolicyDenied},
		{"local: a pair that is not listed, once one is", "outside", toGate.ping(7, "x"), "", "", drop.ZoneUnlisted},
		{"local: UDP that nothing serves is met with silence", "outside", toGate.udp(1, 9999, "x"), "", "", drop.ZoneUnlisted},
		{"from local: free while no pair begins there", "host", h("10.0.0.1", "10.0.0.5").udp(5000, 53, "q"), "inside", "10.0.0.1:5000 > 10.0.0.5:53", 0},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t, policyYAML, gateOptions{})
			if r.in == "host" {
				g.in("host", r.l3)
			} else {
				g.send(r.in, r.l3)
			}
			if r.out == "" {
				g.silent()
			} else if s := g.one(r.out).String(); !strings.HasPrefix(s, r.wants) {
				t.Errorf("got %s; want %s", s, r.wants)
			}
			d := g.drops()
			if r.reason == drop.None && len(d) != 0 || r.reason != drop.None && (d[r.reason] != 1 || len(d) != 1) {
				t.Errorf("drops %v; want %v", d, r.reason)
			}
		})
	}
}

// TestZonesLetAnswersPass: an established flow asks nobody, and the way back needs no pair
// of its own.
func TestZonesLetAnswersPass(t *testing.T) {
	g := newGate(t, policyYAML, gateOptions{})
	handshake(g)
	g.send("outside", toGate.tcp(80, 4000, header.ACK, 5001, 1001, "data"))
	g.one("inside").is(t, "198.51.100.7:80 > 10.0.0.5:4000")
}

// TestZonesAskOfPingsInFragments: the gateway answers them itself, so it must ask itself.
func TestZonesAskOfPingsInFragments(t *testing.T) {
	for port, to := range map[string]v4{"outside": toGate, "inside": {src: "10.0.0.5", dst: "10.0.0.1"}} {
		g := newGate(t, policyYAML, gateOptions{})
		to.id = 9
		for _, f := range split(to.ping(7, strings.Repeat("x", 100)), 64) {
			g.send(port, f)
		}
		if n := len(g.raw(port)); (n > 0) != (port == "inside") {
			t.Errorf("%d answers by %s; want some by inside alone. Drops: %v", n, port, g.drops())
		}
	}
}

// TestZonesFromLocal: a pair that begins with local holds the host to the pairs.
func TestZonesFromLocal(t *testing.T) {
	g := newGate(t, policyYAML+"    - {from: local, to: outside, ruleSet: out}\n", gateOptions{})
	g.in("host", v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5000, 53, "q"))
	g.one("outside").is(t, "203.0.113.2:5000 > 198.51.100.7:53")
	g.in("host", v4{src: "10.0.0.1", dst: "10.0.0.5"}.udp(5000, 53, "q"))
	g.silent()
	if n := g.drops()[drop.ZoneUnlisted]; n != 1 {
		t.Errorf("drops %v; want 1 zone_unlisted", g.drops())
	}
}

// TestReloadAsksPolicyAgain: the next packet of a session that policy would not let begin
// any more is its last; the others go on.
func TestReloadAsksPolicyAgain(t *testing.T) {
	g := newGate(t, policyYAML, gateOptions{})
	handshake(g)
	g.send("inside", toNet.udp(5000, 53, "q"))
	g.one("outside")
	g.apply(strings.Replace(policyYAML, "protocol: [tcp, udp, icmp]", "protocol: [tcp, icmp]", 1))
	g.send("outside", toGate.udp(53, 5000, "a"))
	g.silent()
	if d := g.drops(); d[drop.PolicyDenied] != 1 || len(d) != 1 || g.sessions() != 1 {
		t.Errorf("drops %v, %d sessions; want 1 policy_denied and 1 session", d, g.sessions())
	}
	g.send("outside", toGate.tcp(80, 4000, header.ACK, 5001, 1001, "data"))
	g.one("inside").is(t, "198.51.100.7:80 > 10.0.0.5:4000")
}
