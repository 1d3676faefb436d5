package tests

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// toPod opens a flow from outside to the pod behind the router, and returns what left.
func toPod(g *gate, h v4, payload string) seen {
	g.t.Helper()
	h.src, h.dst = "198.51.100.7", "203.0.113.2"
	g.send("outside", h.tcp(4000, 8081, header.SYN, 1, 0, payload))
	return g.one("inside")
}

// TestT1OuterHeader: protocol 4, TTL and DF of the inner packet, an identification of its
// own, no options; the inner TTL is lowered once.
func TestT1OuterHeader(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	ids := map[uint16]bool{}
	for _, df := range []bool{true, false} {
		s := toPod(g, v4{df: df, ttl: 33, tos: 0xb8, id: 7, options: []byte{1, 1, 1, 0}}, "")
		o := s.outer
		if o.HeaderLen() != 20 || o.Protocol() != flow.IPIP || o.TTL() != 32 || s.ip.TTL() != 32 || s.ip.HeaderLen() != 24 {
			t.Errorf("got outer %x, inner %x", []byte(o[:20]), []byte(s.ip[:24]))
		}
		if got := o.Fragment()&header.DontFragment != 0; got != df {
			t.Errorf("T2: DF %v inside: got %v outside", df, got)
		}
		if o.TOS() != 0 || s.ip.TOS() != 0xb8 {
			t.Errorf("DSCP: got %#x outside, %#x inside; want 0 and 0xb8", o.TOS(), s.ip.TOS())
		}
		if ids[o.ID()] || o.TotalLen() != s.ip.TotalLen()+20 {
			t.Errorf("ID %d, length %d for %d", o.ID(), o.TotalLen(), s.ip.TotalLen())
		}
		ids[o.ID()] = true
	}
}

// TestT7ECN goes through all cells of RFC 6040: encap copies; decap joins.
func TestT7ECN(t *testing.T) {
	const notECT, ect1, ect0, ce = 0, 1, 2, 3
	const gone = -1
	// want[inner][outer], RFC 6040 figure 4.
	want := [4][4]int{
		notECT: {notECT, notECT, notECT, gone},
		ect1:   {ect1, ect1, ect1, ce},
		ect0:   {ect0, ect1, ect0, ce},
		ce:     {ce, ce, ce, ce},
	}
	for inner := range 4 {
		for outer := range 4 {
			g := newGate(t, coreYAML, gateOptions{})
			p := v4{src: "172.30.2.10", dst: "198.51.100.7", tos: 0xb8 | uint8(inner)}.udp(1, 2, "x")
			g.send("inside", v4{src: "10.0.1.12", dst: "10.0.0.1", tos: uint8(outer)}.ipip(p))
			got := gone
			if fs := g.out("outside"); len(fs) == 1 {
				got = int(read(t, fs[0], false).ip.TOS()) - 0xb8
			}
			if got != want[inner][outer] {
				t.Errorf("decap of %d in %d: got %d; want %d", inner, outer, got, want[inner][outer])
			}
		}
		g := newGate(t, coreYAML, gateOptions{})
		if s := toPod(g, v4{tos: uint8(inner)}, ""); int(s.outer.TOS()) != inner || int(s.ip.TOS()) != inner {
			t.Errorf("encap of %d: got %d outside, %d inside", inner, s.outer.TOS(), s.ip.TOS())
		}
	}
}

// TestSpoofedDecap: section by section, nothing leaves on any port and nothing is kept.
func TestSpoofedDecap(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	inners := map[string][]byte{
		"a pod's": pod2.udp(1, 2, "x"), "outside the pools": v4{src: "10.0.0.5", dst: "198.51.100.7"}.udp(1, 2, "x"),
		"to the gateway's other address": v4{src: "172.30.2.10", dst: "203.0.113.2"}.udp(500, 500, "x"),
		"to the host's service":          v4{src: "172.30.2.10", dst: "203.0.113.2"}.tcp(1, 22, header.SYN, 1, 0, ""),
	}
	outers := map[string]v4{
		"nobody": {src: "198.51.100.66", dst: "10.0.0.1"}, "a host of ours": {src: "10.0.0.5", dst: "10.0.0.1"},
		"the gateway": {src: "10.0.0.1", dst: "10.0.0.1"}, "a pod": {src: "172.30.2.10", dst: "10.0.0.1"},
		"to another address": {src: "10.0.1.12", dst: "203.0.113.2"},
	}
	n := uint64(0)
	for who, o := range outers {
		for what, in := range inners {
			for _, port := range []string{"inside", "outside"} {
				g.send(port, o.ipip(in))
				g.silent()
				n++
				total := uint64(0)
				for _, c := range g.drops() {
					total += c
				}
				if total != n || g.sessions() != 0 {
					t.Fatalf("%s from %s by %s: %d drops, want %d; %d sessions", what, who, port, total, n, g.sessions())
				}
			}
		}
	}
	// Right outer addresses, but what the tunnel may not carry.
	g.send("inside", fromW2.ipip(inners["outside the pools"]))
	g.silent()
	if g.sessions() != 0 {
		t.Error("an inner source outside the pools made a session")
	}
}

// TestT3FragNeededOfTunnel: 1480 is what the tunnel takes of 1500.
func TestT3FragNeededOfTunnel(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	toPod(g, v4{df: true}, "")
	fill := func(n int) string { return strings.Repeat("x", n-40) }
	big := v4{src: "198.51.100.7", dst: "203.0.113.2", df: true}
	g.send("outside", big.tcp(4000, 8081, header.ACK, 2, 0, fill(1481)))
	s := g.one("outside")
	s.is(t, "203.0.113.2 > 198.51.100.7 icmp 3/4 about 198.51.100.7:4000 > 203.0.113.2:8081")
	if got := header.ICMP(s.l4).MTU(); got != 1480 {
		t.Errorf("got MTU %d; want 1480", got)
	}
	g.send("outside", big.tcp(4000, 8081, header.ACK, 2, 0, fill(1480)))
	if got := g.one("inside").outer.TotalLen(); got != 1500 {
		t.Errorf("got %d bytes; want 1500", got)
	}
}

// TestT4T5PathErrorOfTunnel: a router between the tunnel's ends reports less; the sender
// of the inner packet hears of it, and later packets are answered at once.
func TestT4T5PathErrorOfTunnel(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	s := toPod(g, v4{df: true}, strings.Repeat("x", 1400))
	outer := slices.Clone(append(slices.Clone(s.outer[:20]), s.ip...))
	g.send("inside", v4{src: "10.0.0.254", dst: "10.0.0.1"}.quoting(3, 4, 1400, outer, 128))
	e := g.one("outside")
	e.is(t, "203.0.113.2 > 198.51.100.7 icmp 3/4 about 198.51.100.7:4000 > 203.0.113.2:8081")
	if got := header.ICMP(e.l4).MTU(); got != 1380 {
		t.Errorf("got MTU %d; want 1380", got)
	}
	g.send("outside", v4{src: "198.51.100.7", dst: "203.0.113.2", df: true}.tcp(4000, 8081, header.ACK, 2, 0, strings.Repeat("x", 1400)))
	e = g.one("outside")
	if got := header.ICMP(e.l4).MTU(); got != 1380 {
		t.Errorf("later: got MTU %d; want 1380", got)
	}
}

// TestN28MSSIsClamped on the tunnel: 1480 less 40, never raised; on the SYN, and on the
// SYN-ACK, whose sender will get segments by the tunnel.
func TestN28MSSIsClamped(t *testing.T) {
	for _, mss := range []uint16{1460, 1440, 536} {
		g := newGate(t, coreYAML, gateOptions{})
		opt := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(mss >> 8), byte(mss)}}
		g.send("outside", toGate.tcp(4000, 8081, header.SYN, 1, 0, "", opt))
		s := g.one("inside")
		if got, want := be16(s.l4[22:]), min(mss, 1440); got != want {
			t.Errorf("MSS %d: got %d; want %d", mss, got, want)
		}
		g.send("inside", fromW2.ipip(v4{src: "172.30.2.10", dst: "198.51.100.7"}.tcp(80, 4000, header.SYN|header.ACK, 9, 2, "", opt)))
		if got, want := be16(g.one("outside").l4[22:]), min(mss, 1440); got != want {
			t.Errorf("MSS %d of the SYN-ACK: got %d; want %d", mss, got, want)
		}
	}
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// TestFragmentation: DF clear is cut, in order, and the pieces are the packet.
func TestFragmentation(t *testing.T) {
	for _, row := range []struct {
		in, out string
		h       v4
		mtu     int
	}{
		{"inside", "narrow", v4{src: "10.0.0.5", dst: "192.0.2.5", id: 77}, 1000},
		{"inside", "narrow", v4{src: "10.0.0.5", dst: "192.0.2.5", id: 77, options: []byte{148, 4, 0, 0}}, 1000},
		{"outside", "inside", v4{src: "198.51.100.7", dst: "203.0.113.2", id: 77}, 1500},
	} {
		t.Run(row.out, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			h := row.h
			payload := strings.Repeat("0123456789", 146)
			b := h.tcp(4000, 8081, header.SYN, 1, 0, payload)
			g.send(row.in, b)
			whole := assemble(t, g.out(row.out), row.mtu)
			if err := verifyIP(whole); err != nil {
				t.Fatal(err)
			}
			s := seen{ip: whole, l4: whole[header.IPv4(whole).HeaderLen():]}
			if got := string(s.l4[20:]); got != payload {
				t.Errorf("payload: got %d bytes %q", len(got), got[:20])
			}
			if s.ip.TTL() != 63 || s.ip.ID() != 77 {
				t.Errorf("got TTL %d, ID %d; want 63, 77", s.ip.TTL(), s.ip.ID())
			}
		})
	}
}

// assemble puts fragments that left in order together, those in IP-in-IP taken out.
func assemble(t *testing.T, fs [][]byte, mtu int) []byte {
	t.Helper()
	if len(fs) < 2 {
		t.Fatalf("%d packets left; want fragments", len(fs))
	}
	var b []byte
	for i, f := range fs {
		s := read(t, f, false)
		if n := len(f) - 14; n > mtu {
			t.Fatalf("a piece of %d bytes; MTU %d", n, mtu)
		}
		hl := s.ip.HeaderLen()
		if i == 0 {
			b = append(b, s.ip[:hl]...)
		}
		if at := int(s.ip.Fragment()&header.FragmentOffset) * 8; at != len(b)-header.IPv4(b).HeaderLen() {
			t.Fatalf("piece %d at %d; want %d", i, at, len(b))
		}
		if more := s.ip.Fragment()&header.MoreFragments != 0; more != (i < len(fs)-1) {
			t.Fatalf("piece %d of %d says more: %v", i, len(fs), more)
		}
		b = append(b, s.ip[hl:]...)
	}
	header.IPv4(b).SetTotalLen(len(b))
	header.IPv4(b).SetFragment(0)
	return reseal(b)
}

// split cuts a packet into fragments of n bytes of payload.
func split(b []byte, n int) (fs [][]byte) {
	h := header.IPv4(b)
	hl := h.HeaderLen()
	for at := hl; at < len(b); at += n {
		end := min(at+n, len(b))
		f := append(slices.Clone(b[:hl]), b[at:end]...)
		field := uint16((at - hl) / 8)
		if end < len(b) {
			field |= header.MoreFragments
		}
		header.IPv4(f).SetFragment(field)
		header.IPv4(f).SetTotalLen(len(f))
		fs = append(fs, reseal(f))
	}
	return fs
}

// TestN42FragmentsInAnyOrder go through the translation, both ways and through the
// tunnel, and come to the same packet.
func TestN42FragmentsInAnyOrder(t *testing.T) {
	payload := strings.Repeat("abcdefgh", 20)
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			turn := func(in, out string, b []byte, wrap func([]byte) []byte, want string) {
				t.Helper()
				fs := split(b, 64)
				for _, i := range order {
					g.send(in, wrap(fs[i]))
				}
				left := g.out(out)
				slices.SortFunc(left, func(a, b []byte) int {
					return int(read(t, a, false).ip.Fragment()&header.FragmentOffset) - int(read(t, b, false).ip.Fragment()&header.FragmentOffset)
				})
				whole := assemble(t, left, 1500)
				if err := verifyIP(whole); err != nil {
					t.Fatal(err)
				}
				seen{ip: whole, l4: whole[20:]}.is(t, want)
				if !bytes.Contains(whole, []byte(payload)) {
					t.Error("another payload")
				}
			}
			as := func(b []byte) []byte { return b }
			plain := v4{src: "10.0.0.5", dst: "198.51.100.7", id: 5}.udp(5000, 53, payload)
			turn("inside", "outside", plain, as, "203.0.113.2:5000 > 198.51.100.7:53")
			turn("outside", "inside", v4{src: "198.51.100.7", dst: "203.0.113.2", id: 6}.udp(53, 5000, payload), as, "198.51.100.7:53 > 10.0.0.5:5000")
			turn("inside", "outside", v4{src: "172.30.2.10", dst: "198.51.100.7", id: 7}.udp(6000, 53, payload), fromW2.ipip, "203.0.113.2:6000 > 198.51.100.7:53")
			turn("outside", "inside", v4{src: "198.51.100.7", dst: "203.0.113.2", id: 8}.udp(53, 6000, payload), as, "198.51.100.7:53 > 172.30.2.10:6000")
		})
	}
}

// TestFragmentsOfOuterPackets are put together before they are decapsulated.
func TestFragmentsOfOuterPackets(t *testing.T) {
	g := newGate(t, coreYAML, gateOptions{})
	b := v4{src: "10.0.1.12", dst: "10.0.0.1", id: 9}.ipip(pod2.udp(5000, 53, strings.Repeat("x", 2000)))
	fs := split(b, 1000)
	for _, i := range []int{2, 0, 1} {
		g.send("inside", fs[i])
	}
	whole := assemble(t, g.out("outside"), 1500)
	if err := verifyIP(whole); err != nil {
		t.Fatal(err)
	}
	seen{ip: whole, l4: whole[20:]}.is(t, "203.0.113.2:5000 > 198.51.100.7:53")
}

// TestTinyMTU: where the first piece cannot hold the header that is translated, nothing
// is sent; and no packet is longer than the way.
func TestTinyMTU(t *testing.T) {
	yaml := strings.Replace(coreYAML, "mtu: 1000", "mtu: 68", 1)
	options := append(bytes.Repeat([]byte{1}, 39), 0)
	for name, b := range map[string][]byte{
		"udp": v4{src: "10.0.0.5", dst: "192.0.2.5", options: options}.udp(1, 2, "0123456789abcdef"),
		"tcp": v4{src: "10.0.0.5", dst: "192.0.2.5", options: options}.tcp(1, 2, header.SYN, 1, 0, "0123456789abcdef"),
	} {
		g := newGate(t, yaml, gateOptions{})
		g.send("inside", b)
		fs := g.out("narrow")
		for _, f := range fs {
			if len(f) > 14+68 {
				t.Errorf("%s: %d bytes left", name, len(f))
			}
		}
		if got := g.off.Workers()[0].Counters.Panics.Load(); got != 0 {
			t.Errorf("%s: %d panics", name, got)
		}
		if cut := len(fs) > 0; cut != (name == "udp") {
			t.Errorf("%s: cut: %v. Drops: %v", name, cut, g.drops())
		}
	}
}
