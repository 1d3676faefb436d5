package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// A leg is a packet that comes in by a port, and what leaves by another.
type leg struct {
	in    string
	l3    []byte
	out   string
	wants string
}

// legs plays packets one after the other.
func (g *gate) legs(ls ...leg) {
	g.t.Helper()
	for i, l := range ls {
		if l.in == "host" {
			g.in("host", l.l3)
		} else {
			g.send(l.in, l.l3)
		}
		s := g.one(l.out)
		if got := s.String(); got != l.wants {
			g.t.Fatalf("leg %d: got %s; want %s", i, got, l.wants)
		}
	}
	if d := g.drops(); len(d) != 0 {
		g.t.Errorf("drops: %v", d)
	}
}

// TestTranslations plays flows of every kind there and back.
func TestTranslations(t *testing.T) {
	h := func(src, dst string) v4 { return v4{src: src, dst: dst} }
	const c, gw, p2 = "198.51.100.7", "203.0.113.2", "172.30.2.10"
	rows := map[string][]leg{
		"N1: masquerade, one outside endpoint for every remote": {
			{"inside", h("10.0.0.5", c).udp(5000, 53, "q"), "outside", "203.0.113.2:5000 > 198.51.100.7:53"},
			{"outside", h(c, gw).udp(53, 5000, "a"), "inside", "198.51.100.7:53 > 10.0.0.5:5000"},
			{"inside", h("10.0.0.5", "198.51.100.8").udp(5000, 99, "q"), "outside", "203.0.113.2:5000 > 198.51.100.8:99"},
			{"outside", h("198.51.100.8", gw).udp(99, 5000, "a"), "inside", "198.51.100.8:99 > 10.0.0.5:5000"}},
		"masquerade of a ping": {
			{"inside", h("10.0.0.5", c).ping(77, "x"), "outside", "203.0.113.2 > 198.51.100.7 icmp 8 id 77"},
			{"outside", h(c, gw).icmp(0, 0, 77, 1, "x"), "inside", "198.51.100.7 > 10.0.0.5 icmp 0 id 77"}},
		"masquerade of a protocol without ports": {
			{"inside", h("10.0.0.5", c).raw(47, make([]byte, 8)), "outside", "203.0.113.2 > 198.51.100.7 proto 47"},
			{"outside", h(c, gw).raw(47, make([]byte, 8)), "inside", "198.51.100.7 > 10.0.0.5 proto 47"}},
		"ICMP without an identifier": {
			{"inside", h("10.0.0.5", c).icmp(48, 0, 1, 2, "x"), "outside", "203.0.113.2 > 198.51.100.7 icmp 48 id 1"},
			{"inside", h("10.0.0.5", c).icmp(48, 0, 9, 9, "x"), "outside", "203.0.113.2 > 198.51.100.7 icmp 48 id 9"},
			{"outside", h(c, gw).icmp(49, 0, 7, 2, "x"), "inside", "198.51.100.7 > 10.0.0.5 icmp 49 id 7"}},
		"a pod behind a router, by IP-in-IP": {
			{"inside", h("10.0.1.12", "10.0.0.1").ipip(h(p2, c).udp(5000, 53, "q")), "outside", "203.0.113.2:5000 > 198.51.100.7:53"},
			{"outside", h(c, gw).udp(53, 5000, "a"), "inside", "[10.0.0.1 > 10.0.1.12] 198.51.100.7:53 > 172.30.2.10:5000"}},
		"a pod in the subnet, plain (CrossSubnet)": {
			{"inside", h("172.30.1.10", c).udp(5000, 53, "q"), "outside", "203.0.113.2:5000 > 198.51.100.7:53"},
			{"outside", h(c, gw).udp(53, 5000, "a"), "inside", "198.51.100.7:53 > 172.30.1.10:5000"}},
		"a destination rule, to a pod": {
			{"outside", h(c, gw).tcp(4000, 8081, header.SYN, 1, 0, ""), "inside", "[10.0.0.1 > 10.0.1.12] 198.51.100.7:4000 > 172.30.2.10:80"},
			{"inside", h("10.0.1.12", "10.0.0.1").ipip(h(p2, c).tcp(80, 4000, header.SYN|header.ACK, 9, 2, "")), "outside", "203.0.113.2:8081 > 198.51.100.7:4000"},
			{"outside", h(c, gw).tcp(4000, 8081, header.ACK, 2, 10, "GET /"), "inside", "[10.0.0.1 > 10.0.1.12] 198.51.100.7:4000 > 172.30.2.10:80"}},
		"N14: hairpin shows the outside source": {
			{"inside", h("10.0.0.5", gw).tcp(4000, 8081, header.SYN, 1, 0, ""), "inside", "[10.0.0.1 > 10.0.1.12] 203.0.113.2:4000 > 172.30.2.10:80"},
			{"inside", h("10.0.1.12", "10.0.0.1").ipip(h(p2, gw).tcp(80, 4000, header.SYN|header.ACK, 9, 2, "")), "inside", "203.0.113.2:8081 > 10.0.0.5:4000"}},
		"hairpin within a subnet": {
			{"inside", h("10.0.0.6", gw).udp(4000, 53, "q"), "inside", "203.0.113.2:4000 > 10.0.0.5:53"},
			{"inside", h("10.0.0.5", gw).udp(53, 4000, "a"), "inside", "203.0.113.2:53 > 10.0.0.6:4000"}},
		"one-to-one, from outside": {
			{"outside", h(c, "203.0.113.20").udp(4000, 9999, "q"), "inside", "198.51.100.7:4000 > 10.0.0.20:9999"},
			{"inside", h("10.0.0.20", c).udp(9999, 4000, "a"), "outside", "203.0.113.20:9999 > 198.51.100.7:4000"}},
		"one-to-one, from inside": {
			{"inside", h("10.0.0.20", c).ping(5, "x"), "outside", "203.0.113.20 > 198.51.100.7 icmp 8 id 5"},
			{"outside", h(c, "203.0.113.20").icmp(0, 0, 5, 1, "x"), "inside", "198.51.100.7 > 10.0.0.20 icmp 0 id 5"}},
		"one-to-one, hairpin": {
			{"inside", h("10.0.0.5", "203.0.113.20").udp(4000, 9999, "q"), "inside", "203.0.113.2:4000 > 10.0.0.20:9999"},
			{"inside", h("10.0.0.20", "203.0.113.2").udp(9999, 4000, "a"), "inside", "203.0.113.20:9999 > 10.0.0.5:4000"}},
		"N17: no rule, no translation": {
			{"inside", h("10.0.0.5", "192.0.2.5").udp(5000, 53, "q"), "narrow", "10.0.0.5:5000 > 192.0.2.5:53"},
			{"narrow", h("192.0.2.5", "10.0.0.5").udp(53, 5000, "a"), "inside", "192.0.2.5:53 > 10.0.0.5:5000"}},
	}
	for name, ls := range rows {
		t.Run(name, func(t *testing.T) { newGate(t, coreYAML, gateOptions{}).legs(ls...) })
	}
}

// TestN9OutboundRefreshes: what comes from outside, in fragments or not, keeps no mapping
// (RFC 4787 REQ-6); what goes out does. N8: 300 s.
func TestN9OutboundRefreshes(t *testing.T) {
	inbound := append(split(v4{src: "198.51.100.7", dst: "203.0.113.2", id: 6}.udp(53, 5000, strings.Repeat("x", 100)), 64), toGate.udp(53, 5000, "a"))
	g := newGate(t, coreYAML, gateOptions{})
	ask(g)
	for i := range uint16(29) {
		g.wait(10e9)
		for _, b := range inbound {
			b := slices.Clone(b)
			if header.IPv4(b).IsFragment() {
				header.IPv4(b).SetID(100 + i)
			}
			g.send("outside", reseal(b))
		}
		if n := len(g.out("inside")); n != 3 {
			t.Fatalf("after %d s %d of 3 packets came in; drops %v", 10*(i+1), n, g.drops())
		}
	}
	g.wait(14e9)
	if n := g.sessions(); n != 0 {
		t.Errorf("304 s after the last packet from inside: %d sessions; want none", n)
	}
	ask(g)
	for range 5 {
		g.wait(200e9)
		ask(g)
	}
	if n := g.off.Workers()[0].Counters.SessionsMade.Load(); n != 2 {
		t.Errorf("got %d sessions made; want 2", n)
	}
}

// TestN29EqualIdentifiers: two hosts ping with one identifier; both get their answers.
func TestN29EqualIdentifiers(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	ids := map[string]uint16{}
	for _, host := range []string{"10.0.0.5", "10.0.0.6"} {
		g.send("inside", v4{src: host, dst: "198.51.100.7"}.ping(77, host))
		ids[host] = header.ICMP(g.one("outside").l4).ID()
	}
	if ids["10.0.0.5"] == ids["10.0.0.6"] {
		t.Fatalf("both left with identifier %d", ids["10.0.0.5"])
	}
	for host, id := range ids {
		g.send("outside", toGate.icmp(0, 0, id, 1, host))
		g.one("inside").is(t, "198.51.100.7 > "+host+" icmp 0 id 77")
	}
}

// TestN3EqualPorts: two hosts speak from one port; they show different ones.
func TestN3EqualPorts(t *testing.T) {
	for _, proto := range []uint8{flow.UDP, flow.TCP} {
		g := newGate(t, coreYAML, gateOptions{})
		shown := map[uint16]string{}
		for _, host := range []string{"10.0.0.5", "10.0.0.6"} {
			p := v4{src: host, dst: "198.51.100.7"}
			if proto == flow.UDP {
				g.send("inside", p.udp(5000, 53, "q"))
			} else {
				g.send("inside", p.tcp(5000, 53, header.SYN, 1, 0, ""))
			}
			shown[header.UDP(g.one("outside").l4).SrcPort()] = host
		}
		if len(shown) != 2 {
			t.Errorf("protocol %d: got outside ports %v; want two", proto, shown)
		}
		for port, host := range shown {
			if proto == flow.UDP {
				g.send("outside", toGate.udp(53, port, "a"))
			} else {
				g.send("outside", toGate.tcp(53, port, header.SYN|header.ACK, 5, 2, ""))
			}
			g.one("inside").is(t, "198.51.100.7:53 > "+host+":5000")
		}
	}
}

// TestN67TOSSurvives translation.
func TestN67TOSSurvives(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	for _, tos := range []uint8{0, 0xb8, 0x03, 0xff} {
		g.send("inside", v4{src: "10.0.0.5", dst: "198.51.100.7", tos: tos}.udp(5000, 53, "q"))
		if got := g.one("outside").ip.TOS(); got != tos {
			t.Errorf("got TOS %#x; want %#x", got, tos)
		}
	}
}

// TestN46UDPChecksumZero stays zero, and one that comes to zero is sent as 0xffff.
func TestN46UDPChecksumZero(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	b := toNet.udp(5000, 53, "q")
	header.UDP(b[20:]).SetChecksum(0)
	g.send("inside", b)
	if got := header.UDP(g.one("outside").l4).Checksum(); got != 0 {
		t.Errorf("no checksum became %#x", got)
	}
	// The translated packet has source 203.0.113.2: payload that makes its sum 0xffff.
	after := v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5000, 53, "\x00\x00")
	sum := header.UDP(after[20:]).Checksum() // what the payload must add
	payload := string([]byte{byte(sum >> 8), byte(sum)})
	g.send("inside", toNet.udp(5000, 53, payload))
	if got := header.UDP(g.one("outside").l4).Checksum(); got != 0xffff {
		t.Errorf("a checksum that comes to zero: got %#x; want 0xffff", got)
	}
}

// TestN47WrongChecksumStaysWrong by the same amount, both ways.
func TestN47WrongChecksumStaysWrong(t *testing.T) {
	for name, b := range map[string][]byte{
		"udp": toNet.udp(5000, 53, "question"), "tcp": toNet.tcp(5000, 53, header.SYN, 1, 0, "data"), "icmp": toNet.ping(9, "data"),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			b[len(b)-1] ^= 0x40 // the error
			g.send("inside", b)
			fs := g.raw("outside")
			if len(fs) != 1 {
				t.Fatalf("%d packets left; want 1. Drops: %v", len(fs), g.drops())
			}
			if err := verify(fs[0], false); err == nil {
				t.Fatal("the wrong checksum was made right")
			}
			fs[0][len(fs[0])-1] ^= 0x40
			if err := verify(fs[0], false); err != nil {
				t.Errorf("without the error: %v", err)
			}
		})
	}
}

// TestReplyOfTranslatedIsReply: the answer to what left, translated back, is the answer
// to what came in. Random flows of all kinds and protocols.
func TestReplyOfTranslatedIsReply(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 15))
	g := newGate(t, strings.Replace(coreYAML, "sessions: 1024", "sessions: 65536", 1), gateOptions{})
	sources := []string{"10.0.0.5", "10.0.0.6", "10.0.0.20", "172.30.1.7", "172.30.2.10"}
	for i := range 2000 {
		src := sources[rnd.IntN(len(sources))]
		dst := fmt.Sprintf("198.51.100.%d", 1+rnd.IntN(200))
		if rnd.IntN(4) == 0 {
			dst = "192.0.2.5"
		}
		h := v4{src: src, dst: dst, tos: uint8(rnd.Uint32()) &^ 3, id: uint16(i)}
		sport, dport := uint16(1+rnd.IntN(65535)), uint16(1+rnd.IntN(65535))
		var b []byte
		switch rnd.IntN(3) {
		case 0:
			b = h.udp(sport, dport, fmt.Sprint("payload ", i))
		case 1:
			b = h.tcp(sport, dport, header.SYN, rnd.Uint32(), 0, "")
		case 2:
			b = h.ping(sport, fmt.Sprint("payload ", i))
		}
		want := answer(slices.Clone(b))
		in := "inside"
		if src == "172.30.2.10" {
			b = fromW2.ipip(b)
		}
		g.send(in, b)
		out := "outside"
		if dst == "192.0.2.5" {
			out = "narrow"
		}
		left := g.one(out)
		g.send(out, answer(slices.Clone(left.ip)))
		back := g.one("inside")
		header.IPv4(want).SetTTL(63)
		reseal(want)
		if !bytes.Equal(back.ip, want) {
			t.Fatalf("flow %d, %v, left as %v, answered to\n%x\nwant\n%x", i, src, left, []byte(back.ip), want)
		}
	}
}

// answer turns a packet round, with the checksums that belong to it.
func answer(b []byte) []byte {
	h := header.IPv4(b)
	src, dst := h.Src(), h.Dst()
	h.SetSrc(dst)
	h.SetDst(src)
	h.SetTTL(64)
	l4 := b[h.HeaderLen():h.TotalLen()]
	switch h.Protocol() {
	case flow.ICMP:
		c := header.ICMP(l4)
		c.SetType(header.ICMPEchoReply)
		c.SetChecksum(0)
		c.SetChecksum(checksum.Of(l4))
	case flow.UDP, flow.TCP:
		u := header.UDP(l4)
		s, d := u.SrcPort(), u.DstPort()
		u.SetSrcPort(d)
		u.SetDstPort(s)
		at := 6
		if h.Protocol() == flow.TCP {
			t := header.TCP(l4)
			t.SetAck(t.Seq() + 1)
			t.SetFlags(header.SYN | header.ACK)
			at = 16
		}
		l4[at], l4[at+1] = 0, 0
		sum := ^checksum.Fold(checksum.Sum(l4, checksum.Pseudo(dst, src, h.Protocol(), len(l4))))
		if sum == 0 && h.Protocol() == flow.UDP {
			sum = 0xffff
		}
		l4[at], l4[at+1] = byte(sum>>8), byte(sum)
	}
	return reseal(b)
}

// TestICMPErrorsAreTranslated, quote and all, in both directions (N32, N33). What the
// quote must look like is what the sender of the packet had sent.
func TestICMPErrorsAreTranslated(t *testing.T) {
	protos := map[string][2][]byte{
		"udp":  {toNet.udp(5000, 53, "a question of some length"), toGate.udp(53, 5000, "an answer of some length")},
		"tcp":  {toNet.tcp(5000, 53, header.SYN, 1, 0, ""), toGate.tcp(53, 5000, header.SYN|header.ACK, 8, 2, "")},
		"icmp": {toNet.ping(5000, "a question of some length"), toGate.icmp(0, 0, 5000, 1, "a question of some length")},
	}
	kinds := []struct {
		typ, code uint8
		rest      uint32
	}{{3, 0, 0}, {3, 1, 0}, {3, 3, 0}, {3, 4, 1300}, {11, 0, 0}, {12, 0, 20 << 24}}
	for name, p := range protos {
		for _, k := range kinds {
			for _, length := range []int{28, 32, 128} {
				t.Run(fmt.Sprintf("%s/%d-%d/%d bytes", name, k.typ, k.code, length), func(t *testing.T) {
					g := newGate(t, coreYAML, gateOptions{})
					g.send("inside", p[0])
					sent := slices.Clone(g.one("outside").ip)
					// A router outside speaks of it.
					g.send("outside", v4{src: "198.51.100.1", dst: "203.0.113.2"}.quoting(k.typ, k.code, k.rest, sent, length))
					checkError(t, g.one("inside"), "198.51.100.1", "10.0.0.5", k.typ, k.code, k.rest, p[0], length)
					// The inside speaks of the answer: the inside address does not show (N33).
					g.send("outside", p[1])
					got := slices.Clone(g.one("inside").ip)
					g.send("inside", v4{src: "10.0.0.5", dst: "198.51.100.7"}.quoting(k.typ, k.code, k.rest, got, length))
					checkError(t, g.one("outside"), "203.0.113.2", "198.51.100.7", k.typ, k.code, k.rest, p[1], length)
					// N12, N35: nothing has ended.
					g.send("outside", p[1])
					g.one("inside")
				})
			}
		}
	}
}

// checkError compares an error with one about the packet as its sender knows it. The
// TTL of the quote is one less, its checksum with it.
func checkError(t *testing.T, s seen, src, dst string, typ, code uint8, rest uint32, about []byte, length int) {
	t.Helper()
	about = slices.Clone(about)
	header.IPv4(about).SetTTL(63)
	reseal(about)
	want := v4{src: src, dst: dst, ttl: 63}.quoting(typ, code, rest, about, length)
	if !bytes.Equal(s.ip, want) {
		t.Fatalf("got  %x\nwant %x", []byte(s.ip), want)
	}
}

// TestN38TracerouteShowsEveryHop: through the translation and through the tunnel.
func TestN38TracerouteShowsEveryHop(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	g.send("inside", fromW2.ipip(v4{src: "172.30.2.10", dst: "198.51.100.7", ttl: 1}.udp(33000, 33434, "x")))
	g.one("inside").is(t, "[10.0.0.1 > 10.0.1.12] 10.0.0.1 > 172.30.2.10 icmp 11/0 about 172.30.2.10:33000 > 198.51.100.7:33434")
	g.send("inside", fromW2.ipip(v4{src: "172.30.2.10", dst: "198.51.100.7", ttl: 2}.udp(33000, 33435, "x")))
	left := slices.Clone(g.one("outside").ip)
	g.send("outside", v4{src: "203.0.113.1", dst: "203.0.113.2"}.quoting(11, 0, 0, left, 28))
	g.one("inside").is(t, "[10.0.0.1 > 10.0.1.12] 203.0.113.1 > 172.30.2.10 icmp 11/0 about 172.30.2.10:33000 > 198.51.100.7:33435")
	// From outside, the destination address is the gateway's: the quote is what was sent.
	g.send("outside", v4{src: "198.51.100.7", dst: "203.0.113.2", ttl: 1}.tcp(4000, 8081, header.SYN, 1, 0, ""))
	g.one("outside").is(t, "203.0.113.2 > 198.51.100.7 icmp 11/0 about 198.51.100.7:4000 > 203.0.113.2:8081")
}

// TestN39NoErrorAboutThese: each would have run out of time here.
func TestN39NoErrorAboutThese(t *testing.T) {
	first := v4{src: "10.0.0.5", dst: "192.0.2.5", id: 9, mf: true}.raw(17, toNet.udp(5000, 53, strings.Repeat("x", 16))[20:][:24])
	later := v4{src: "10.0.0.5", dst: "192.0.2.5", id: 9, off: 24, ttl: 1}.raw(17, make([]byte, 8))
	g := newGate(t, coreYAML, gateOptions{})
	g.send("inside", first)
	if len(g.raw("narrow")) != 1 {
		t.Fatalf("the first fragment did not leave: %v", g.drops())
	}
	g.send("inside", later)
	g.silent()
	quote := v4{src: "192.0.2.5", dst: "10.0.0.5"}.udp(53, 5000, "")
	g.send("inside", v4{src: "10.0.0.5", dst: "192.0.2.5", ttl: 1}.quoting(3, 3, 0, quote, 28))
	g.silent()
	g.in("inside", ether(broadcast, 0x0800, v4{src: "10.0.0.5", dst: "192.0.2.5", ttl: 1}.udp(1, 2, "x")))
	g.silent()
	if n := g.drops(); len(n) == 0 {
		t.Error("nothing was dropped")
	}
}
