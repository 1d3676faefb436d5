package tests

import (
	"strings"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

func fragmentRows() []dropRow {
	frag := func(off uint16, mf bool, n int) []byte {
		return v4{src: "10.0.0.5", dst: "198.51.100.7", id: 7, off: off, mf: mf}.raw(17, make([]byte, n))
	}
	overlapping := func(g *gate) { g.send("inside", frag(8, true, 16)) }
	return []dropRow{
		{name: "a fragment of 7 bytes with more to come", reason: drop.FragmentMalformed, do: ip0("inside", frag(8, true, 7))},
		{name: "a fragment past 65,535 bytes", reason: drop.FragmentMalformed, do: ip0("inside", frag(65528, false, 16))},
		{name: "RFC 1858: a fragment over the TCP flags", reason: drop.FragmentMalformed, do: ip0("inside", v4{src: "10.0.0.5", dst: "198.51.100.7", off: 8}.raw(6, make([]byte, 16)))},
		{name: "RFC 1858: a first fragment of 8 bytes of TCP", reason: drop.FragmentMalformed, do: ip0("inside", v4{src: "10.0.0.5", dst: "198.51.100.7", mf: true}.raw(6, make([]byte, 8)))},
		{name: "RFC 5722: an overlap", reason: drop.FragmentOverlap, before: func(g *gate) { overlapping(g); g.send("inside", frag(16, true, 16)) }, do: ip0("inside", frag(32, true, 16))},
		{name: "the 65th fragment", reason: drop.FragmentLimit, before: func(g *gate) {
			for i := range 65 {
				g.send("inside", frag(uint16(8+8*i), true, 8))
			}
		}, do: ip0("inside", frag(8+8*70, true, 8))},
		{name: "the first fragment never comes", reason: drop.FragmentTimeout, before: overlapping, do: func(g *gate) { g.wait(31e9) }},
	}
}

func tunnelRows() []dropRow {
	in := func(outer v4, inner []byte) func(*gate) { return ip0("inside", outer.ipip(inner)) }
	inner := pod2.udp(1, 2, "x")
	ce := v4{src: "10.0.1.12", dst: "10.0.0.1", tos: 3}
	noTunnel := coreYAML[:strings.Index(coreYAML, "tunnels:")] + coreYAML[strings.Index(coreYAML, "nat:"):]
	return []dropRow{
		{name: "VU#636397: an outer source that is nobody", reason: drop.TunnelUnknownPeer, do: in(v4{src: "198.51.100.66", dst: "10.0.0.1"}, inner)},
		{name: "T8: a worker's address on a port that does not lead to it", reason: drop.ReversePath, do: ip0("outside", fromW2.ipip(inner))},
		{name: "an outer destination that is no tunnel's end", reason: drop.TunnelNotConfigured, do: in(v4{src: "10.0.1.12", dst: "203.0.113.2"}, inner)},
		{name: "no tunnel at all", reason: drop.TunnelNotConfigured, yaml: noTunnel, do: in(fromW2, inner)},
		{name: "T9: GRE to us is met with silence", reason: drop.TunnelNotConfigured, do: ip0("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.raw(47, make([]byte, 8)))},
		{name: "T9: 6in4 to us is met with silence", reason: drop.TunnelNotConfigured, do: ip0("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.raw(41, make([]byte, 40)))},
		{name: "SCTP to us is met with silence", reason: drop.LocalNotServed, do: ip0("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.raw(132, make([]byte, 12)))},
		{name: "an inner packet of 19 bytes", reason: drop.TunnelInnerMalformed, do: in(fromW2, inner[:19])},
		{name: "an inner packet longer than the outer", reason: drop.TunnelInnerMalformed, do: in(fromW2, inner[:25])},
		{name: "inner IPv6", reason: drop.TunnelInnerMalformed, do: in(fromW2, append([]byte{0x60}, make([]byte, 60)...))},
		{name: "CVE-2020-10136: an inner source outside the pools", reason: drop.TunnelInnerSource, do: in(fromW2, v4{src: "198.51.100.9", dst: "10.0.0.5"}.udp(1, 2, "x"))},
		{name: "an inner source that is ours", reason: drop.TunnelInnerSource, do: in(fromW2, v4{src: "203.0.113.2", dst: "10.0.0.5"}.udp(1, 2, "x"))},
		{name: "an inner destination on loopback", reason: drop.TunnelInnerDestination, do: in(fromW2, v4{src: "172.30.2.10", dst: "127.0.0.1"}.udp(1, 2, "x"))},
		{name: "an inner multicast destination", reason: drop.TunnelInnerDestination, do: in(fromW2, v4{src: "172.30.2.10", dst: "224.0.0.5"}.udp(1, 2, "x"))},
		{name: "RFC 6040: congestion on a packet that cannot carry it", reason: drop.TunnelECN, do: in(ce, inner)},
		{name: "IP-in-IP in IP-in-IP", reason: drop.TunnelNested, do: in(fromW2, pod2.ipip(inner))},
		{name: "wrong inner checksum", reason: drop.IPChecksum, do: func(g *gate) {
			b := pod2.udp(1, 2, "x")
			b[10]++
			g.send("inside", fromW2.ipip(b))
		}},
		{name: "an inner source route", reason: drop.IPOptions, do: in(fromW2, v4{src: "172.30.2.10", dst: "198.51.100.7", options: []byte{131, 7, 4, 10, 0, 0, 9, 0}}.raw(99, nil))},
	}
}

func decisionRows() []dropRow {
	return []dropRow{
		{name: "no route", reason: drop.NoRoute, yaml: strings.Replace(coreYAML, "  - {to: 0.0.0.0/0, via: [203.0.113.1]}\n", "", 1), do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "100.64.0.1"}.udp(1, 2, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.5 icmp 3/0 about 10.0.0.5:1 > 100.64.0.1:2")
		}},
		{name: "a blackhole says nothing", reason: drop.Blackhole, do: ip0("inside", v4{src: "10.0.0.5", dst: "198.18.0.1"}.udp(1, 2, "x"))},
		{name: "an unreachable route says so", reason: drop.NoRoute, do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "198.19.0.1"}.udp(1, 2, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.5 icmp 3/1 about 10.0.0.5:1 > 198.19.0.1:2")
		}},
		{name: "the port of the way is down", reason: drop.PortDown, before: func(g *gate) { g.near["spare"].SetUp(false); g.apply(coreYAML) }, do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "10.7.0.1"}.udp(1, 2, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.5 icmp 3/1 about 10.0.0.5:1 > 10.7.0.1:2")
		}},
		{name: "UDP to a port of ours", reason: drop.LocalNotServed, do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.udp(1, 2, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.5 icmp 3/3 about 10.0.0.5:1 > 10.0.0.1:2")
		}},
		{name: "TCP to a port of ours is met with silence", reason: drop.LocalNotServed, do: ip0("outside", toGate.tcp(1, 2, header.SYN, 1, 0, ""))},
		{name: "a ping in a wrong checksum", reason: drop.LocalNotServed, do: ip0("outside", func() []byte { b := toGate.ping(1, "x"); b[22]++; return b }())},
		{name: "zones that policy lists no pair of", reason: drop.ZoneUnlisted, yaml: policyYAML, do: ip0("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(1, 2, "x"))},
		{name: "a rule that refuses", reason: drop.PolicyDenied, yaml: policyYAML, do: ip0("inside", v4{src: "10.0.0.5", dst: "198.51.100.66"}.udp(1, 2, "x"))},
		{name: "a service of the host without a host", reason: drop.HostPortAbsent, before: func(g *gate) { g.near["host"].SetUp(false); g.apply(coreYAML) }, do: ip0("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.tcp(1, 22, header.SYN, 1, 0, ""))},
		{name: "a TCP segment whose mapping is gone", reason: drop.NoSession, do: ip0("inside", toNet.tcp(1, 2, header.ACK, 1, 1, "x"))},
		{name: "a RST of no session", reason: drop.NoSession, do: ip0("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.tcp(1, 2, header.RST, 1, 0, ""))},
		{name: "a RST outside the window", reason: drop.TCPInvalid, before: func(g *gate) { handshake(g) }, do: ip0("outside", toGate.tcp(80, 4000, header.RST, 0x80000000, 0, ""))},
		{name: "N51: the table is full", reason: drop.SessionTableFull, before: func(g *gate) {
			for i := range uint16(1024) {
				g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(1000+i, 53, "x"))
				g.raw("narrow")
			}
		}, do: ip0("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(999, 53, "x"))},
		{name: "a reload takes the session's decision away", reason: drop.SessionChanged, before: func(g *gate) {
			g.send("inside", toNet.udp(5000, 53, "x"))
			g.one("outside")
			g.apply(strings.Replace(coreYAML, "from: [10.0.0.0/8, 172.30.0.0/16]", "from: [172.30.0.0/16]", 1))
		}, do: ip0("inside", toNet.udp(5000, 53, "x"))},
		{name: "the answers of two flows would be alike", reason: drop.SessionClash, before: func(g *gate) {
			g.send("outside", v4{src: "198.51.100.7", dst: "10.0.0.5"}.udp(777, 53, "x")) // untranslated
			g.one("inside")
		}, do: ip0("outside", toGate.udp(777, 53, "x"))}, // translated to the same
	}
}

// handshake opens TCP from 10.0.0.5:4000 to 198.51.100.7:80.
func handshake(g *gate) {
	g.t.Helper()
	g.send("inside", toNet.tcp(4000, 80, header.SYN, 1000, 0, ""))
	g.send("outside", toGate.tcp(80, 4000, header.SYN|header.ACK, 5000, 1001, ""))
	g.send("inside", toNet.tcp(4000, 80, header.ACK, 1001, 5001, ""))
	if n := len(g.out("outside")) + len(g.out("inside")); n != 3 {
		g.t.Fatalf("handshake: %d segments passed; want 3. Drops: %v", n, g.drops())
	}
}

func leavingRows() []dropRow {
	onePort := strings.Replace(coreYAML, "translate: masquerade", "translate: {addresses: [203.0.113.2], ports: 4000-4000}", 1)
	far := v4{src: "10.0.0.5", dst: "192.0.2.5", df: true}
	return []dropRow{
		{name: "N51, N36: no outside port is left", reason: drop.NATPortsExhausted, yaml: onePort, before: func(g *gate) { g.send("inside", toNet.udp(5000, 53, "x")); g.one("outside") }, do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.6", dst: "198.51.100.7"}.udp(5000, 53, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.6 icmp 3/13 about 10.0.0.6:5000 > 198.51.100.7:53")
		}},
		{name: "N13: a stranger sends to a mapping, and hears what it would without", reason: drop.LocalNotServed, before: func(g *gate) { g.send("inside", toNet.udp(5000, 53, "x")); g.one("outside") }, do: func(g *gate) {
			g.send("outside", v4{src: "198.51.100.8", dst: "203.0.113.2"}.udp(53, 5000, "x"))
			g.one("outside").is(g.t, "203.0.113.2 > 198.51.100.8 icmp 3/3 about 198.51.100.8:53 > 203.0.113.2:5000")
		}},
		{name: "masquerade on a port without an address", reason: drop.NATNoAddress, yaml: strings.NewReplacer("out: [outside], from", "out: [spare], from", "addresses: [192.168.7.1/24]}", "mtu: 1500}", "via: [192.168.7.2]", "port: spare").Replace(coreYAML), do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "10.7.0.1"}.udp(1, 2, "x"))
		}},
		{name: "N38: the time runs out", reason: drop.TTLExceeded, do: func(g *gate) {
			g.send("inside", v4{src: "10.0.0.5", dst: "198.51.100.7", ttl: 1}.udp(5000, 53, "x"))
			g.one("inside").is(g.t, "10.0.0.1 > 10.0.0.5 icmp 11/0 about 10.0.0.5:5000 > 198.51.100.7:53")
		}},
		{name: "N45: longer than the way and not to be cut", reason: drop.FragmentNeeded, do: func(g *gate) {
			g.send("inside", far.udp(5000, 53, strings.Repeat("x", 973)))
			s := g.one("inside")
			s.is(g.t, "10.0.0.1 > 10.0.0.5 icmp 3/4 about 10.0.0.5:5000 > 192.0.2.5:53")
			if got := header.ICMP(s.l4).MTU(); got != 1000 {
				g.t.Errorf("got MTU %d; want 1000", got)
			}
		}},
		{name: "the next hop does not answer", reason: drop.NeighborUnresolved, before: func(g *gate) { g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.9"}.udp(1, 2, "x")) }, do: func(g *gate) {
			g.wait(6e9)
			for _, f := range g.raw("narrow") {
				if f[13] != 6 {
					g.t.Errorf("left: %x", f)
				}
			}
		}},
		{name: "the fourth packet for an unresolved neighbor", reason: drop.NeighborQueueFull, before: func(g *gate) {
			for i := range uint16(3) {
				g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.9"}.udp(1, 2+i, "x"))
			}
			g.raw("narrow")
		}, do: ip0("inside", v4{src: "10.0.0.5", dst: "192.0.2.9"}.udp(1, 9, "x"))},
		{name: "more neighbors than there is room for", reason: drop.NeighborTableFull, yaml: strings.Replace(strings.Replace(coreYAML, "neighbours: 64,", "neighbours: 16,", 1), "tunnels:", manyNeighbors+"tunnels:", 1), do: ip0("inside", v4{src: "10.0.0.5", dst: "192.0.2.99"}.udp(1, 2, "x"))},
		{name: "the device takes no more", reason: drop.TxRefused, before: func(g *gate) { g.send("inside", far.udp(1, 2, "x")); g.raw("narrow"); g.far["narrow"].SetUp(false) }, do: ip0("inside", far.udp(1, 2, "x"))},
	}
}
