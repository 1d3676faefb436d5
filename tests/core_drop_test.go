package tests

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// A dropRow is a packet, what makes it arrive, and the only reason it may be dropped
// for. Before is run first; what it drops does not count.
type dropRow struct {
	name   string
	reason drop.Reason
	yaml   string // coreYAML if empty
	before func(*gate)
	do     func(*gate)
}

func frame0(port string, f func(g *gate) []byte) func(*gate) {
	return func(g *gate) { g.in(port, f(g)) }
}

// ip0 sends a packet by a port.
func ip0(port string, b []byte) func(*gate) { return func(g *gate) { g.send(port, b) } }

// bad changes a byte of a packet, and makes the header checksum right again.
func bad(b []byte, at int, v byte) []byte {
	b[at] = v
	return reseal(b)
}

var (
	toNet  = v4{src: "10.0.0.5", dst: "198.51.100.7"}
	fromW2 = v4{src: "10.0.1.12", dst: "10.0.0.1"}
	pod2   = v4{src: "172.30.2.10", dst: "198.51.100.7"}
	toGate = v4{src: "198.51.100.7", dst: "203.0.113.2"}
)

func arp(op uint16, mac [6]byte, ip, target string) []byte {
	b := make([]byte, header.ARPLen)
	h := header.ARP(b)
	h.SetFixed()
	h.SetOpcode(op)
	copy(h.SenderMAC(), mac[:])
	h.SetSenderIP(binary.BigEndian.Uint32(v4{src: ip, dst: ip}.raw(99, nil)[12:]))
	h.SetTargetIP(binary.BigEndian.Uint32(v4{src: target, dst: target}.raw(99, nil)[12:]))
	return b
}

var (
	stranger  = [6]byte{2, 0, 0, 0, 9, 9}
	broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

func linkRows() []dropRow {
	udp := toNet.udp(1, 2, "x")
	return []dropRow{
		{name: "a frame without a whole link header", reason: drop.FrameTruncated, do: frame0("inside", func(*gate) []byte { return make([]byte, 13) })},
		{name: "a frame that ends in its tag", reason: drop.FrameTruncated, do: frame0("inside", func(g *gate) []byte { return ether(g.mac("inside"), 0x8100, []byte{0, 100}) })},
		{name: "a frame for another station", reason: drop.ForeignMAC, do: frame0("inside", func(*gate) []byte { return ether(stranger, 0x0800, udp) })},
		{name: "LLDP", reason: drop.EtherTypeUnknown, do: frame0("inside", func(g *gate) []byte { return ether(g.mac("inside"), 0x88cc, udp) })},
		{name: "an IEEE 802.3 frame", reason: drop.EtherTypeUnknown, do: frame0("inside", func(g *gate) []byte { return ether(g.mac("inside"), 64, udp) })},
		{name: "an unknown tag", reason: drop.VLANUnknown, do: frame0("inside", func(g *gate) []byte { return tagged(g.frame("inside", udp), 0x8100_0065) })},
		{name: "unknown tags", reason: drop.VLANUnknown, do: frame0("inside", func(g *gate) []byte { return tagged(g.frame("inside", udp), 0x88a8_00c8, 0x8100_0008) })},
		{name: "the outer tag alone", reason: drop.VLANUnknown, do: frame0("inside", func(g *gate) []byte { return tagged(g.frame("inside", udp), 0x88a8_00c8) })},
		{name: "three tags", reason: drop.VLANUnknown, do: frame0("inside", func(g *gate) []byte { return tagged(g.frame("inside", udp), 0x8100_0064, 0x8100_0001, 0x8100_0001) })},
		{name: "a tag on a port without any", reason: drop.VLANUnknown, do: frame0("outside", func(g *gate) []byte { return tagged(g.frame("outside", udp), 0x8100_0064) })},
		{name: "IPv6", reason: drop.IPv6NotSupported, do: frame0("inside", func(g *gate) []byte { return ether(g.mac("inside"), 0x86dd, make([]byte, 40)) })},
		{name: "version 6 in an IPv4 frame", reason: drop.IPv6NotSupported, do: ip0("inside", bad(toNet.udp(1, 2, "x"), 0, 0x65))},
		{name: "unicast in a broadcast frame", reason: drop.UnicastInBroadcast, do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0800, udp) })},
		{name: "unicast in a multicast frame", reason: drop.UnicastInBroadcast, do: frame0("inside", func(*gate) []byte { return ether([6]byte{1, 0, 0x5e, 0, 0, 1}, 0x0800, udp) })},
		{name: "unicast of a session in a broadcast frame", reason: drop.UnicastInBroadcast,
			before: func(g *gate) { g.send("inside", udp); g.one("outside") },
			do:     frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0800, udp) })},
		{name: "ARP cut short", reason: drop.ARPMalformed, do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0806, make([]byte, 27)) })},
		{name: "ARP with opcode 3", reason: drop.ARPMalformed, do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0806, arp(3, stranger, "10.0.0.9", "10.0.0.1")) })},
		{name: "ARP for another host", reason: drop.ARPNotForUs, do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0806, arp(1, stranger, "10.0.0.9", "10.0.0.5")) })},
		{name: "ARP that claims our address", reason: drop.ARPConflict, do: func(g *gate) {
			g.in("inside", ether(broadcast, 0x0806, arp(1, stranger, "10.0.0.1", "10.0.0.1")))
			g.raw("inside") // we defend it
		}},
		{name: "ARP that claims a static neighbor", reason: drop.ARPConflict, do: frame0("inside", func(g *gate) []byte { return ether(g.mac("inside"), 0x0806, arp(2, stranger, "10.0.0.5", "10.0.0.1")) })},
		{name: "ARP above the rate", reason: drop.RateLimited, yaml: strings.Replace(coreYAML, "limits: {", "limits: {arpPerSecond: 1, ", 1),
			before: func(g *gate) {
				g.at(0, "inside", ether(broadcast, 0x0806, arp(1, stranger, "10.0.0.9", "10.0.0.1")))
				g.raw("inside")
			},
			do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0806, arp(1, stranger, "10.0.0.9", "10.0.0.1")) })},
	}
}

func ipRows() []dropRow {
	u := func() []byte { return toNet.udp(1, 2, "x") }
	wrong := u()
	wrong[10]++
	cut := func(b []byte, n int) []byte {
		b = b[:n]
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		return reseal(b)
	}
	long := u()
	binary.BigEndian.PutUint16(long[2:], uint16(len(long)+1))
	short := u()
	binary.BigEndian.PutUint16(short[2:], 19)
	from := func(src string) []byte { return v4{src: src, dst: "198.51.100.7"}.udp(1, 2, "x") }
	to := func(dst string) []byte { return v4{src: "10.0.0.5", dst: dst}.udp(1, 2, "x") }
	flags := func(f uint8) []byte { return toNet.tcp(1, 2, f, 1, 0, "") }
	opt := func(o ...byte) []byte {
		return v4{src: "10.0.0.5", dst: "198.51.100.7", options: o}.raw(99, make([]byte, 8))
	}
	return []dropRow{
		{name: "19 bytes", reason: drop.IPTruncated, do: ip0("inside", u()[:19])},
		{name: "version 5", reason: drop.IPVersion, do: ip0("inside", bad(u(), 0, 0x55))},
		{name: "header of 16 bytes", reason: drop.IPHeaderLength, do: ip0("inside", bad(u(), 0, 0x44))},
		{name: "header past the frame", reason: drop.IPHeaderLength, do: func(g *gate) { b := u(); b[0] = 0x4f; g.send("inside", b) }},
		{name: "total length past the frame", reason: drop.IPTotalLength, do: ip0("inside", reseal(long))},
		{name: "total length under the header's", reason: drop.IPTotalLength, do: ip0("inside", reseal(short))},
		{name: "wrong header checksum", reason: drop.IPChecksum, do: ip0("inside", wrong)},
		{name: "loose source route", reason: drop.IPOptions, do: ip0("inside", opt(131, 7, 4, 10, 0, 0, 9, 0))},
		{name: "strict source route behind others", reason: drop.IPOptions, do: ip0("inside", opt(1, 137, 7, 4, 10, 0, 0, 9))},
		{name: "an option without a length", reason: drop.IPOptions, do: ip0("inside", opt(1, 1, 1, 7))},
		{name: "an option past the header", reason: drop.IPOptions, do: ip0("inside", opt(7, 9, 4, 0))},
		{name: "source 0/8", reason: drop.MartianSource, do: ip0("inside", from("0.0.0.1"))},
		{name: "source loopback", reason: drop.MartianSource, do: ip0("inside", from("127.0.0.1"))},
		{name: "source multicast", reason: drop.MartianSource, do: ip0("inside", from("224.0.0.5"))},
		{name: "source class E", reason: drop.MartianSource, do: ip0("inside", from("240.0.0.1"))},
		{name: "source broadcast", reason: drop.MartianSource, do: ip0("inside", from("255.255.255.255"))},
		{name: "source is ours", reason: drop.MartianSource, do: ip0("inside", from("203.0.113.2"))},
		{name: "source is a translated address of ours", reason: drop.MartianSource, do: ip0("outside", from("203.0.113.20"))},
		{name: "from the host, with a source not ours", reason: drop.MartianSource, do: func(g *gate) { g.in("host", from("10.0.0.5")) }},
		{name: "ICMP error from loopback", reason: drop.MartianSource,
			before: func(g *gate) { g.send("inside", u()); g.one("outside") },
			do: func(g *gate) {
				q := v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(1, 2, "x")
				g.send("outside", v4{src: "127.0.0.1", dst: "203.0.113.2"}.quoting(3, 3, 0, q, 28))
			}},
		{name: "destination 0/8", reason: drop.MartianDestination, do: ip0("inside", to("0.0.0.1"))},
		{name: "destination loopback", reason: drop.MartianDestination, do: ip0("inside", to("127.0.0.1"))},
		{name: "destination class E", reason: drop.MartianDestination, do: ip0("inside", to("240.0.0.1"))},
		{name: "LAND", reason: drop.Land, do: ip0("outside", from("198.51.100.7"))},
		{name: "multicast", reason: drop.Multicast, do: ip0("inside", to("224.0.0.251"))},
		{name: "limited broadcast", reason: drop.Multicast, do: frame0("inside", func(*gate) []byte { return ether(broadcast, 0x0800, to("255.255.255.255")) })},
		{name: "directed broadcast (RFC 2644)", reason: drop.DirectedBroadcast, do: ip0("outside", v4{src: "198.51.100.7", dst: "10.0.0.255"}.udp(1, 2, "x"))},
		{name: "the old directed broadcast", reason: drop.DirectedBroadcast, do: ip0("outside", v4{src: "198.51.100.7", dst: "10.0.0.0"}.ping(1, ""))},
		{name: "source of another port, strict", reason: drop.ReversePath, do: frame0("inside", func(g *gate) []byte { return tagged(g.frame("inside", from("10.0.0.5")), 0x88a8_00c8, 0x8100_0007) })},
		{name: "TCP of 19 bytes", reason: drop.TransportTruncated, do: ip0("inside", cut(flags(header.SYN), 39))},
		{name: "TCP header past the packet", reason: drop.TransportTruncated, do: ip0("inside", bad(flags(header.SYN), 32, 0x60))},
		{name: "TCP header under 20", reason: drop.TransportTruncated, do: ip0("inside", bad(flags(header.SYN), 32, 0x40))},
		{name: "UDP of 7 bytes", reason: drop.TransportTruncated, do: ip0("inside", cut(u(), 27))},
		{name: "UDP length past the packet", reason: drop.TransportTruncated, do: ip0("inside", bad(u(), 25, 10))},
		{name: "UDP length under 8", reason: drop.TransportTruncated, do: ip0("inside", bad(u(), 25, 7))},
		{name: "ICMP of 7 bytes", reason: drop.TransportTruncated, do: ip0("inside", cut(toNet.ping(1, ""), 27))},
		{name: "TCP without flags", reason: drop.TCPFlags, do: ip0("inside", flags(0))},
		{name: "TCP SYN and FIN", reason: drop.TCPFlags, do: ip0("inside", flags(header.SYN|header.FIN))},
		{name: "TCP SYN and RST", reason: drop.TCPFlags, do: ip0("inside", flags(header.SYN|header.RST))},
		{name: "TCP FIN alone", reason: drop.TCPFlags, do: ip0("inside", flags(header.FIN))},
		{name: "TCP christmas tree", reason: drop.TCPFlags, do: ip0("inside", flags(header.FIN|header.URG|header.PSH))},
	}
}

func icmpRows() []dropRow {
	quote := v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5000, 53, "hello")
	session := func(g *gate) { g.send("inside", toNet.udp(5000, 53, "hello")); g.one("outside") }
	router := v4{src: "198.51.100.1", dst: "203.0.113.2"}
	wrong := router.quoting(3, 3, 0, quote, 99)
	wrong[22]++
	badQuote := append([]byte(nil), quote...)
	badQuote[10]++
	return []dropRow{
		{name: "N31: wrong ICMP checksum", reason: drop.ICMPChecksum, before: session, do: ip0("outside", wrong)},
		{name: "N31: wrong checksum of the quoted header", reason: drop.ICMPChecksum, before: session, do: ip0("outside", router.quoting(3, 3, 0, badQuote, 99))},
		{name: "a quote of 27 bytes", reason: drop.ICMPMalformed, before: session, do: ip0("outside", router.quoting(3, 3, 0, quote, 27))},
		{name: "an error about an error", reason: drop.ICMPMalformed, do: ip0("outside", router.quoting(3, 3, 0, router.quoting(3, 3, 0, quote, 28), 99))},
		{name: "an error in fragments", reason: drop.ICMPMalformed, do: ip0("narrow", v4{src: "192.0.2.5", dst: "10.0.0.5", mf: true}.raw(1, router.quoting(3, 3, 0, quote, 28)[20:][:32]))},
		{name: "N32: an error about nothing of ours", reason: drop.ICMPErrorUnmatched, before: session,
			do: ip0("outside", router.quoting(3, 3, 0, v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5001, 53, "hello"), 99))},
		{name: "N34: an error whose destination is not the quote's sender", reason: drop.ICMPErrorUnmatched, before: session,
			do: ip0("outside", v4{src: "198.51.100.1", dst: "203.0.113.20"}.quoting(3, 3, 0, quote, 99))},
		{name: "N37: a redirect", reason: drop.ICMPErrorUnmatched, before: session, do: ip0("outside", router.quoting(5, 1, 0xcb007109, quote, 99))},
		{name: "RFC 6633: source quench", reason: drop.ICMPErrorUnmatched, before: session, do: ip0("outside", router.quoting(4, 0, 0, quote, 99))},
		{name: "an error whose time runs out", reason: drop.TTLExceeded, before: session,
			do: ip0("outside", v4{src: "198.51.100.1", dst: "203.0.113.2", ttl: 1}.quoting(3, 3, 0, quote, 99))},
		{name: "an error about a session that a reload may have changed", reason: drop.SessionChanged, before: func(g *gate) { session(g); g.apply(coreYAML) },
			do: ip0("outside", router.quoting(3, 3, 0, quote, 99))},
	}
}

// manyNeighbors fill a table of 16 with static ones.
var manyNeighbors = func() string {
	var b strings.Builder
	for i := range 7 {
		fmt.Fprintf(&b, "  - {port: narrow, address: 192.0.2.%d, mac: \"02:00:00:00:05:%d\"}\n", 50+i, 50+i)
	}
	return b.String()
}()

// unreachable are reasons that no frame meets here, and why.
var unreachable = map[drop.Reason]string{
	drop.None:         "no reason",
	drop.TunnelLoop:   "config refuses tunnels whose ends are ours",
	drop.HandoverFull: "TestHandoverFull",
	drop.WorkerPanic:  "TestPanicCostsOnePacket",
	drop.NATTableFull: "as many mappings as sessions: TestN51FullTableRefuses of nat",
	drop.NATLimit:     "TestN50PerSubscriberLimit of nat",
	drop.NATFiltered:  "mappings are for one remote's packets each: TestN13Filtering of nat",
	drop.MTUExceeded:  "TestTinyMTU",
}

// TestDropReasons has a row for each reason: exactly one counter moves, by one.
func TestDropReasons(t *testing.T) {
	met := map[drop.Reason]bool{}
	for _, rows := range [][]dropRow{linkRows(), ipRows(), icmpRows(), fragmentRows(), tunnelRows(), decisionRows(), leavingRows()} {
		for _, r := range rows {
			met[r.reason] = true
			t.Run(r.reason.String()+"/"+r.name, func(t *testing.T) { r.run(t) })
		}
	}
	for r := range drop.Count {
		if _, ok := unreachable[r]; ok == met[r] {
			t.Errorf("%v: has a row: %v, is listed as unreachable: %v", r, met[r], ok)
		}
	}
}

func (r dropRow) run(t *testing.T) {
	if r.yaml == "" {
		r.yaml = coreYAML
	}
	g := newGate(t, r.yaml, gateOptions{})
	if r.before != nil {
		r.before(g)
	}
	before, sessions := g.drops(), g.sessions()
	r.do(g)
	after := g.drops()
	for reason, n := range after {
		want := before[reason]
		if reason == r.reason {
			want++
		}
		if n != want {
			t.Errorf("counter %v went from %d to %d; want %d", reason, before[reason], n, want)
		}
	}
	if after[r.reason] == 0 {
		t.Errorf("counter %v did not move: %v", r.reason, after)
	}
	g.silent()
	if n := g.sessions(); n > sessions && r.reason < drop.TTLExceeded && r.reason != drop.FragmentNeeded {
		t.Errorf("%d sessions were made", n-sessions)
	}
}

// TestDriverTags: a tag that the driver took off counts like one in the frame.
func TestDriverTags(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	var p packet.Packet
	f := g.frame("inside", v4{src: "10.1.0.5", dst: "192.0.2.5"}.udp(1, 2, "x"))
	p.Set(make([]byte, 256), f)
	p.VLANs[0] = 0x8100_0065
	g.packet(0, "inside", p)
	if g.drops()[drop.VLANUnknown] != 1 {
		t.Errorf("an unknown tag in the metadata: %v", g.drops())
	}
}
