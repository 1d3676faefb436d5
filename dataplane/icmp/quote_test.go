package icmp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

func TestParseQuote(t *testing.T) {
	key := flow.Make(client, server, 4000, 53, flow.UDP, 3)
	quoted := func(change func(h header.IPv4)) []byte {
		h := udp(40)
		change(h)
		sealIP(h)
		return h
	}
	later := quoted(func(h header.IPv4) { h.SetFragment(7) })
	laterEcho := quoted(func(h header.IPv4) { h.SetFragment(7); h.SetProtocol(flow.ICMP) })
	tcp := flow.Make(client, server, 5, 6, flow.TCP, 3)
	echo := flow.Make(client, server, 9, 9, flow.ICMP, 3)
	badSum := udp(40)
	badSum[10]++
	unreachable := func(b []byte) header.IPv4 { return report(header.ICMPUnreachable, 1, 0, b) }
	wrong := unreachable(udp(0))
	wrong[23]++
	padded := append(bytes.Clone(udp(40)), make([]byte, 128-68)...)
	extended := append(padded, 0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4)

	rows := []struct {
		name   string
		ip     header.IPv4
		want   drop.Reason
		key    flow.Key
		length int // of the quote
	}{
		{"UDP whole", unreachable(udp(40)), drop.None, key, 68},
		{"UDP, 8 bytes of transport header", unreachable(udp(40)[:28]), drop.None, key, 28},
		{"7 bytes of transport header", unreachable(udp(40)[:27]), drop.ICMPMalformed, flow.Key{}, 0},
		{"nothing quoted", unreachable(nil), drop.ICMPMalformed, flow.Key{}, 0},
		{"TCP", unreachable(transport(tcp, nil, nil, 0)), drop.None, tcp, 40},
		{"TCP with a wrong checksum (REQ-3c)", unreachable(transport(tcp, nil, nil, 99)), drop.None, tcp, 40},
		{"TCP behind IP options (REQ-3b)", unreachable(transport(tcp, make([]byte, 8), nil, 0)), drop.None, tcp, 48},
		{"echo", unreachable(transport(echo, nil, nil, 0)), drop.None, echo, 28},
		{"GRE has no ports", unreachable(ipv4(client, server, flow.GRE, nil, make([]byte, 8))), drop.None, flow.Make(client, server, 0, 0, flow.GRE, 3), 28},
		{"an error about an error", unreachable(report(header.ICMPTimeExceeded, 0, 0, udp(0))), drop.ICMPMalformed, flow.Key{}, 0},
		{"a later fragment has no ports", unreachable(later), drop.ICMPErrorUnmatched, flow.Key{}, 0},
		{"nor has one of an echo", unreachable(laterEcho), drop.ICMPErrorUnmatched, flow.Key{}, 0},
		{"less than a header", ipv4(router, client, flow.ICMP, nil, []byte{3, 1, 0, 0}), drop.ICMPMalformed, flow.Key{}, 0},
		{"wrong checksum of the error (REQ-3)", wrong, drop.ICMPChecksum, flow.Key{}, 0},
		{"wrong checksum of the quoted header (REQ-3a)", unreachable(badSum), drop.ICMPChecksum, flow.Key{}, 0},
		{"quoted version", unreachable(quoted(func(h header.IPv4) { h[0] = 0x65 })), drop.ICMPMalformed, flow.Key{}, 0},
		{"quoted header length", unreachable(quoted(func(h header.IPv4) { h[0] = 0x44 })), drop.ICMPMalformed, flow.Key{}, 0},
		{"quoted total length", unreachable(quoted(func(h header.IPv4) { h.SetTotalLen(27) })), drop.ICMPMalformed, flow.Key{}, 0},
		{"a query has no quote", report(header.ICMPEcho, 0, 0, udp(40)), drop.ICMPMalformed, flow.Key{}, 0},
		{"padding after the quoted packet", unreachable(padded), drop.None, key, 68},
		{"extensions (REQ-3d, RFC 4884)", report(header.ICMPTimeExceeded, 0, 32<<16, extended), drop.None, key, 68},
		{"extensions that cut the quote short", report(header.ICMPTimeExceeded, 0, 8<<16, extended), drop.None, key, 32},
		{"a length past the end is no length", report(header.ICMPTimeExceeded, 0, 200<<16, udp(40)), drop.None, key, 68},
		{"an old-style extension without a length", report(header.ICMPTimeExceeded, 0, 0, extended), drop.None, key, 68},
		{"source quench has no length field", report(header.ICMPSourceQuench, 0, 1<<16, udp(40)), drop.None, key, 68},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p := framed(t, r.ip, 4)
			q, got := ParseQuote(p, 3)
			if got != r.want {
				t.Fatalf("got %v; want %v", got, r.want)
			}
			if got != drop.None {
				return
			}
			if q.Key != r.key || int(q.End-q.IP) != r.length || int(q.L4-q.IP) != header.IPv4(p.Buf[q.IP:]).HeaderLen() {
				t.Errorf("got %+v; want %+v and %d bytes", q, r.key, r.length)
			}
		})
	}
}

// anyPort favors the edges, where checksums fold.
func anyPort(rnd *rand.Rand) uint16 {
	return []uint16{0, 0xffff, uint16(rnd.Uint32())}[rnd.IntN(3)]
}

func anyAddr(rnd *rand.Rand) uint32 {
	return []uint32{0x0a000000, 0xc0000201, rnd.Uint32()}[rnd.IntN(3)]
}

func anyKey(rnd *rand.Rand, proto uint8) flow.Key {
	s, d := anyPort(rnd), anyPort(rnd)
	switch proto {
	case flow.ICMP:
		d = s
	case flow.GRE:
		s, d = 0, 0
	}
	return flow.Make(anyAddr(rnd), anyAddr(rnd), s, d, proto, 0)
}

// TestRewriteQuoteEqualsFullComputation builds the same error about both flows and
// expects the translated one to be, byte for byte, the one made from nothing.
func TestRewriteQuoteEqualsFullComputation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		proto := []uint8{flow.TCP, flow.UDP, flow.ICMP, flow.GRE}[rnd.IntN(4)]
		from, to := anyKey(rnd, proto), anyKey(rnd, proto)
		options := make([]byte, 4*rnd.IntN(3))
		payload := make([]byte, rnd.IntN(30))
		for i := range payload {
			payload[i] = byte(rnd.Uint32())
		}
		wrong := uint16(0)
		if rnd.IntN(4) == 0 {
			wrong = 1 + uint16(rnd.Uint32N(0xfffe))
		}
		a, b := transport(from, options, payload, wrong), transport(to, options, payload, wrong)
		if proto == flow.UDP && rnd.IntN(3) == 0 { // no checksum
			for _, h := range []header.IPv4{a, b} {
				copy(h[h.HeaderLen()+6:], []byte{0, 0})
			}
		}
		cut := a.HeaderLen() + 8 + rnd.IntN(len(a)-a.HeaderLen()-8+1)
		if proto == flow.TCP && cut == a.HeaderLen()+17 {
			cut++ // half a checksum cannot be translated
		}
		p := framed(t, report(header.ICMPUnreachable, 3, 0, a[:cut]), rnd.IntN(3))
		want := report(header.ICMPUnreachable, 3, 0, b[:cut])

		q, reason := ParseQuote(p, 0)
		if reason != drop.None {
			t.Fatalf("%d: %v", i, reason)
		}
		RewriteQuote(p, &q, to)
		if got := p.Buf[p.L3:p.L3End]; !bytes.Equal(got, want) {
			t.Fatalf("%d: protocol %d, %d bytes quoted\n got % x\nwant % x", i, proto, cut, got, want)
		}
		if again, reason := ParseQuote(p, 0); reason != drop.None || again != q {
			t.Fatalf("%d: parsed again: got %+v %v; want %+v", i, again, reason, q)
		}
	}
}

func TestReword(t *testing.T) {
	inner := udp(600)
	outer := ipv4(router, 0xc000020a, flow.IPIP, nil, inner)
	p := framed(t, report(header.ICMPUnreachable, 1, 0, outer), 3)
	quote := p.L4 + header.ICMPLen + header.IPv4Len
	Reword(p, quote, p.L3End, HostUnreachable, router, client)
	h, m := whole(t, p)
	if len(h) != MaxError || h.Src() != router || h.Dst() != client || m.Code() != 1 || !bytes.Equal(m[8:], inner[:MaxQuote]) {
		t.Errorf("got % x", h)
	}
}

func TestQuotesDoNotAllocate(t *testing.T) {
	key := flow.Make(client, server, 5, 6, flow.TCP, 0)
	p := framed(t, report(header.ICMPUnreachable, 1, 0, transport(key, nil, nil, 0)), 0)
	n := testing.AllocsPerRun(100, func() {
		q, _ := ParseQuote(p, 0)
		RewriteQuote(p, &q, key)
	})
	if n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte(report(header.ICMPUnreachable, 3, 0, udp(40))[20:]), uint32(server), uint32(client), uint16(1), uint16(2))
	f.Add([]byte(report(header.ICMPTimeExceeded, 0, 32<<16, make([]byte, 140))[20:]), uint32(1), uint32(2), uint16(3), uint16(4))
	f.Fuzz(func(t *testing.T, l4 []byte, src, dst uint32, sport, dport uint16) {
		if len(l4) < header.ICMPLen || len(l4) > 1400 {
			return
		}
		// Mend the checksums, or nothing would get past them.
		quote := bytes.Clone(l4[header.ICMPLen:])
		if len(quote) >= header.IPv4Len && header.IPv4(quote).HeaderLen() <= len(quote) {
			sealIP(quote)
		}
		ip := report(l4[0], l4[1], uint32(l4[4])<<24|uint32(l4[5])<<16|uint32(l4[6])<<8|uint32(l4[7]), quote)
		p := framed(t, ip, 0)
		q, reason := ParseQuote(p, 0)
		if reason != drop.None {
			return
		}
		back := q.Key
		was := bytes.Clone(p.Bytes())
		if q.Key.Proto() == flow.ICMP {
			dport = sport
		}
		to := flow.Make(src, dst, sport, dport, q.Key.Proto(), 0)
		if p := q.Key.Proto(); p != flow.TCP && p != flow.UDP && p != flow.ICMP {
			to = flow.Make(src, dst, 0, 0, p, 0)
		}
		RewriteQuote(p, &q, to)
		if again, reason := ParseQuote(p, 0); reason != drop.None || again != q {
			t.Fatalf("translated: got %+v, %v; want %+v", again, reason, q)
		}
		RewriteQuote(p, &q, back)
		if got := p.Bytes(); len(got) != len(was) {
			t.Fatalf("there and back changed the length")
		}
		if again, reason := ParseQuote(p, 0); reason != drop.None || again.Key != back {
			t.Fatalf("there and back: got %+v, %v; want %+v", again.Key, reason, back)
		}
	})
}
