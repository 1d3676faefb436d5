package tests

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// TestVLANs: tags lead to sub-ports, whoever took them off, and are written back.
func TestVLANs(t *testing.T) {
	storage := []uint32{0x8100_0064}
	customer := []uint32{0x88a8_00c8, 0x8100_0007}
	rows := []struct {
		name     string
		src      string
		frame    []uint32 // tags in the frame
		driver   []uint32 // tags that the driver took off
		tags     []uint32 // of the answer
		nextTail byte
	}{
		{"none", "10.0.0.5", nil, nil, nil, 0x05},
		{"priority tag", "10.0.0.5", []uint32{0x8100_a000}, nil, nil, 0x05},
		{"priority tag, by the driver", "10.0.0.5", nil, []uint32{0x8100_a000}, nil, 0x05},
		{"single", "10.1.0.5", storage, nil, storage, 0x05},
		{"single with a priority", "10.1.0.5", []uint32{0x8100_e064}, nil, storage, 0x05},
		{"single, by the driver", "10.1.0.5", nil, storage, storage, 0x05},
		{"two", "10.2.0.5", customer, nil, customer, 0x05},
		{"two, the outer by the driver", "10.2.0.5", customer[1:], customer[:1], customer, 0x05},
		{"two, by the driver", "10.2.0.5", nil, customer, customer, 0x05},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			f := tagged(g.frame("inside", v4{src: r.src, dst: "192.0.2.5"}.udp(1, 2, "x")), r.frame...)
			var p packet.Packet
			p.Set(make([]byte, 256), f)
			copy(p.VLANs[:], r.driver)
			g.packet(0, "inside", p)
			g.one("narrow").is(t, r.src+":1 > 192.0.2.5:2")
			g.send("narrow", v4{src: "192.0.2.5", dst: r.src}.udp(2, 1, "x"))
			s := g.one("inside")
			if !slices.Equal(s.tags, r.tags) || s.dst[5] != r.nextTail {
				t.Errorf("the answer left with tags %x to %x; want %x", s.tags, s.dst, r.tags)
			}
		})
	}
}

// TestPing: the gateway answers for all of its addresses, with what was asked.
func TestPing(t *testing.T) {
	rows := []struct{ in, src, dst string }{
		{"inside", "10.0.0.5", "10.0.0.1"}, {"inside", "10.0.0.5", "203.0.113.2"}, {"outside", "198.51.100.7", "203.0.113.2"},
	}
	for _, r := range rows {
		g := newGate(t, coreYAML, gateOptions{})
		g.send(r.in, v4{src: r.src, dst: r.dst, tos: 0x48, ttl: 1}.ping(9, "payload"))
		s := g.one(r.in)
		s.is(t, r.dst+" > "+r.src+" icmp 0 id 9")
		if s.ip.TTL() != 64 || s.ip.TOS() != 0x48 || string(s.l4[8:]) != "payload" {
			t.Errorf("got TTL %d, TOS %#x, %q", s.ip.TTL(), s.ip.TOS(), s.l4[8:])
		}
		if c := &g.off.Workers()[0].Counters; c.Local.Load() != 1 || c.Made.Load() != 1 || g.sessions() != 0 {
			t.Errorf("got %d local, %d made, %d sessions; want 1, 1, 0", c.Local.Load(), c.Made.Load(), g.sessions())
		}
	}
}

// TestLongPing: one in fragments is put together and answered in fragments; the answer to
// a masqueraded one goes on in fragments, too.
func TestLongPing(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	payload := strings.Repeat("0123456789", 400)
	for _, f := range split(v4{src: "10.0.0.5", dst: "10.0.0.1", id: 3}.ping(9, payload), 1480) {
		g.send("inside", f)
	}
	whole := assemble(t, g.out("inside"), 1500)
	seen{ip: whole, l4: whole[20:]}.is(t, "10.0.0.1 > 10.0.0.5 icmp 0 id 9")
	if err := verifyIP(whole); err != nil || string(whole[28:]) != payload {
		t.Errorf("%v; %d bytes came back", err, len(whole)-28)
	}
	for _, f := range split(v4{src: "10.0.0.5", dst: "198.51.100.7", id: 4}.ping(9, payload), 1480) {
		g.send("inside", f)
	}
	whole = assemble(t, g.out("outside"), 1500)
	seen{ip: whole, l4: whole[20:]}.is(t, "203.0.113.2 > 198.51.100.7 icmp 8 id 9")
	for _, f := range split(toGate.icmp(0, 0, 9, 1, payload), 1400) {
		g.send("outside", f)
	}
	whole = assemble(t, g.out("inside"), 1500)
	seen{ip: whole, l4: whole[20:]}.is(t, "198.51.100.7 > 10.0.0.5 icmp 0 id 9")
	if err := verifyIP(whole); err != nil || len(g.drops()) != 0 {
		t.Errorf("%v; drops %v", err, g.drops())
	}
}

// TestPingByTunnel: a pod asks the tunnel's end, and is answered by the tunnel.
func TestPingByTunnel(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	g.send("inside", fromW2.ipip(v4{src: "172.30.2.10", dst: "10.0.0.1"}.ping(9, "x")))
	g.one("inside").is(t, "[10.0.0.1 > 10.0.1.12] 10.0.0.1 > 172.30.2.10 icmp 0 id 9")
}

// TestHost: services are handed to the kernel; between it and the gateway is no hop.
func TestHost(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	ssh := v4{src: "10.0.0.5", dst: "10.0.0.1", ttl: 1}
	g.send("inside", ssh.tcp(4000, 22, header.SYN, 1, 0, ""))
	if s := g.one("host"); s.String() != "10.0.0.5:4000 > 10.0.0.1:22" || s.ip.TTL() != 1 {
		t.Errorf("to the host: got %v with TTL %d", s, s.ip.TTL())
	}
	g.in("host", v4{src: "10.0.0.1", dst: "10.0.0.5", ttl: 1}.tcp(22, 4000, header.SYN|header.ACK, 1, 2, ""))
	if s := g.one("inside"); s.String() != "10.0.0.1:22 > 10.0.0.5:4000" || s.ip.TTL() != 1 {
		t.Errorf("from the host: got %v with TTL %d", s, s.ip.TTL())
	}
	// A BGP speaker of the host opens to its neighbor, TTL 1 and 255 (RFC 5082).
	for i, ttl := range []uint8{1, 255} {
		g.in("host", v4{src: "10.0.0.1", dst: "10.0.0.6", ttl: ttl}.tcp(uint16(5000+i), 179, header.SYN, 1, 0, ""))
		if s := g.one("inside"); s.ip.TTL() != ttl || s.dst[5] != 6 {
			t.Errorf("opened by the host: got TTL %d to %x; want %d", s.ip.TTL(), s.dst, ttl)
		}
		g.send("inside", v4{src: "10.0.0.6", dst: "10.0.0.1", ttl: ttl}.tcp(179, uint16(5000+i), header.SYN|header.ACK, 1, 2, ""))
		if s := g.one("host"); s.ip.TTL() != ttl {
			t.Errorf("answer to the host: got TTL %d; want %d", s.ip.TTL(), ttl)
		}
	}
	if c := &g.off.Workers()[0].Counters; c.Local.Load() != 3 || len(g.drops()) != 0 {
		t.Errorf("got %d local, want 3; drops %v", c.Local.Load(), g.drops())
	}
	// The host hears of what it sent and does not fit.
	g.in("host", v4{src: "192.0.2.1", dst: "192.0.2.5", df: true}.udp(7, 8, strings.Repeat("x", 1100)))
	s := g.one("host")
	s.is(t, "192.0.2.5 > 192.0.2.1 icmp 3/4 about 192.0.2.1:7 > 192.0.2.5:8")
	if got := header.ICMP(s.l4).MTU(); got != 1000 {
		t.Errorf("got MTU %d; want 1000", got)
	}
}

// TestErrorsToTheHost: an error about a connection of the host's reaches it.
func TestErrorsToTheHost(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	g.in("host", v4{src: "203.0.113.2", dst: "198.51.100.7"}.tcp(5000, 443, header.SYN, 1, 0, ""))
	left := slices.Clone(g.one("outside").ip)
	g.send("outside", v4{src: "198.51.100.1", dst: "203.0.113.2"}.quoting(3, 1, 0, left, 28))
	g.one("host").is(t, "198.51.100.1 > 203.0.113.2 icmp 3/1 about 203.0.113.2:5000 > 198.51.100.7:443")
}

// arpOf reads an ARP frame that left.
func arpOf(t *testing.T, f []byte) (dst [6]byte, tag uint32, h header.ARP) {
	t.Helper()
	copy(dst[:], f)
	at := 12
	if binary.BigEndian.Uint16(f[at:]) == header.TypeVLAN {
		tag = binary.BigEndian.Uint32(f[at:])
		at += 4
	}
	if binary.BigEndian.Uint16(f[at:]) != header.TypeARP || len(f) < at+2+header.ARPLen {
		t.Fatalf("left: %x; want ARP", f)
	}
	return dst, tag, header.ARP(f[at+2:])
}

// TestARPAnswers: for the port's addresses and what NAT claims there, and no others.
func TestARPAnswers(t *testing.T) {
	rows := []struct {
		name, port, asker, target string
		tags                      []uint32
		want                      bool
	}{
		{"own address", "inside", "10.0.0.9", "10.0.0.1", nil, true},
		{"own address of a sub-port", "inside", "10.1.0.9", "10.1.0.1", []uint32{0x8100_0064}, true},
		{"own address of another sub-port", "inside", "10.0.0.9", "10.1.0.1", nil, false},
		{"own address of another port", "inside", "10.0.0.9", "203.0.113.2", nil, false},
		{"one-to-one address", "outside", "203.0.113.9", "203.0.113.20", nil, true},
		{"another host's", "outside", "203.0.113.9", "203.0.113.21", nil, false},
		{"a probe (RFC 5227)", "inside", "0.0.0.0", "10.0.0.1", nil, true},
		{"a probe for another's", "inside", "0.0.0.0", "10.0.0.7", nil, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			g.in(r.port, tagged(ether(broadcast, 0x0806, arp(1, stranger, r.asker, r.target)), r.tags...))
			fs := g.raw(r.port)
			if len(fs) != int(b2i(r.want)) {
				t.Fatalf("%d answers; want %v. Drops: %v", len(fs), r.want, g.drops())
			}
			if !r.want {
				return
			}
			dst, tag, h := arpOf(t, fs[0])
			var want uint32
			if len(r.tags) > 0 {
				want = r.tags[0]
			}
			if dst != stranger || tag != want || h.Opcode() != header.ARPReply || addrOf(h.SenderIP()).String() != r.target ||
				addrOf(h.TargetIP()).String() != r.asker || [6]byte(h.SenderMAC()) != g.mac(r.port) {
				t.Errorf("got %x to %x, tag %#x", []byte(h), dst, tag)
			}
		})
	}
}

func b2i(b bool) (n uint64) {
	if b {
		n = 1
	}
	return n
}

// TestNeighborIsAskedAndAnswerReleases: packets wait, the request goes out, and they
// leave in order when the answer comes, on plain and on tagged ports.
func TestNeighborIsAskedAndAnswerReleases(t *testing.T) {
	for _, r := range []struct {
		port, dst, own string
		tag            uint32
	}{{"narrow", "192.0.2.9", "192.0.2.1", 0}, {"inside", "10.1.0.9", "10.1.0.1", 0x8100_0064}} {
		g := newGate(t, coreYAML, gateOptions{})
		src := v4{src: "198.51.100.7", dst: r.dst}
		for i := range uint16(3) {
			g.send("outside", src.udp(100+i, 9, "x"))
		}
		fs := g.raw(r.port)
		if len(fs) != 1 {
			t.Fatalf("%d frames left; want a request", len(fs))
		}
		dst, tag, h := arpOf(t, fs[0])
		if dst != broadcast || tag != r.tag || h.Opcode() != header.ARPRequest || addrOf(h.TargetIP()).String() != r.dst || addrOf(h.SenderIP()).String() != r.own {
			t.Fatalf("got %x to %x, tag %#x", []byte(h), dst, tag)
		}
		reply := ether(g.mac(r.port), 0x0806, arp(2, stranger, r.dst, r.own))
		if r.tag != 0 {
			reply = tagged(reply, r.tag)
		}
		g.in(r.port, reply)
		fs = g.out(r.port)
		if len(fs) != 3 {
			t.Fatalf("%d packets were released; want 3. Drops: %v", len(fs), g.drops())
		}
		for i, f := range fs {
			s := read(t, f, false)
			if p := header.UDP(s.l4).SrcPort(); p != uint16(100+i) || s.dst != stranger {
				t.Errorf("packet %d: port %d to %x", i, p, s.dst)
			}
		}
		g.send("outside", src.udp(104, 9, "x"))
		if s := g.one(r.port); s.dst != stranger {
			t.Errorf("then: to %x", s.dst)
		}
		if c := &g.off.Workers()[0].Counters; c.Held.Load() != 3 || c.Resumed.Load() != 3 {
			t.Errorf("got %d held, %d resumed; want 3 and 3", c.Held.Load(), c.Resumed.Load())
		}
	}
}

// TestFirstDatagramsOfABatch: one session is made for a burst (N18), and all leave.
func TestFirstDatagramsOfABatch(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	for range 5 {
		g.far["inside"].Inject(g.frame("inside", toNet.udp(5000, 53, "x")))
	}
	g.settle()
	if n := len(g.out("outside")); n != 5 || g.sessions() != 1 {
		t.Errorf("%d left, %d sessions; want 5 and 1", n, g.sessions())
	}
	if g.drops()[drop.SessionTableFull] != 0 {
		t.Error(g.drops())
	}
}
