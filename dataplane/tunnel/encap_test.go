package tunnel

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

const (
	gateway = 0xc0000201 // 192.0.2.1
	worker  = 0xc000020a // 192.0.2.10
	client  = 0xc6336407 // 198.51.100.7
	pod     = 0xac1e0005 // 172.30.0.5
)

// ipv4 returns an IPv4 packet with a correct header checksum.
func ipv4(src, dst uint32, proto, tos, ttl uint8, frag uint16, payload []byte) header.IPv4 {
	h := header.IPv4(make([]byte, header.IPv4Len+len(payload)))
	h[0] = 0x45
	h.SetTOS(tos)
	h.SetTotalLen(len(h))
	h.SetID(7)
	h.SetFragment(frag)
	h.SetTTL(ttl)
	h.SetProtocol(proto)
	h.SetSrc(src)
	h.SetDst(dst)
	copy(h[header.IPv4Len:], payload)
	seal(h)
	return h
}

// seal writes the header checksum.
func seal(h header.IPv4) {
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(h[:min(h.HeaderLen(), len(h))]))
}

// framed returns a parsed packet: Ethernet header, IPv4, and link padding.
func framed(t testing.TB, ip []byte, pad int) *packet.Packet {
	t.Helper()
	frame := append(make([]byte, header.EthernetLen), ip...)
	frame = append(frame, make([]byte, pad)...)
	p := new(packet.Packet)
	if !p.Set(make([]byte, packet.Headroom+len(frame)), frame) {
		t.Fatal("buffer too short")
	}
	p.L3 = p.Start + header.EthernetLen
	p.L4 = p.L3 + uint32(header.IPv4(ip).HeaderLen())
	p.L3End = p.L3 + uint32(len(ip))
	return p
}

// whole checks that the packet is only its IPv4 packet and that indexes agree.
func whole(t *testing.T, p *packet.Packet) header.IPv4 {
	t.Helper()
	h := header.IPv4(p.Bytes())
	if p.Start != p.L3 || p.End != p.L3End || int(p.L4-p.L3) != h.HeaderLen() || h.TotalLen() != len(h) {
		t.Fatalf("indexes do not fit the packet: %d %d %d %d %d", p.Start, p.L3, p.L4, p.L3End, p.End)
	}
	if checksum.Of(h[:h.HeaderLen()]) != 0 {
		t.Fatalf("header checksum is wrong: % x", h)
	}
	return h
}

func TestEncapHeader(t *testing.T) {
	rows := []struct {
		name     string
		tos, ttl uint8
		frag     uint16
		o        Options
		wantTOS  uint8
		wantTTL  uint8
		wantDF   bool
	}{
		{"Calico: TTL inherited, DSCP 0, ECN and DF copied", 0xba, 61, header.DontFragment, Options{}, 0x02, 61, true},
		{"DF clear stays clear", 0, 61, 0, Options{}, 0, 61, false},
		{"own TTL", 0, 61, 0, Options{TTL: 64}, 0, 64, false},
		{"own DSCP keeps ECN", 0xbb, 61, 0, Options{DSCP: 10}, 0x2b, 61, false},
		{"DSCP copied", 0xb9, 61, 0, Options{CopyDSCP: true}, 0xb9, 61, false},
		{"DF set by knob", 0, 61, 0, Options{SetDF: true}, 0, 61, true},
		{"an inner fragment is carried by a whole packet", 0, 61, header.MoreFragments | 185, Options{}, 0, 61, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			in := ipv4(client, pod, flow.UDP, r.tos, r.ttl, r.frag, []byte("payload"))
			p := framed(t, in, 13)
			if got := Encap(p, gateway, worker, 0x1234, &r.o); got != drop.None {
				t.Fatalf("got %v", got)
			}
			h := whole(t, p)
			if !bytes.Equal(h[header.IPv4Len:], in) {
				t.Errorf("inner packet changed:\n got % x\nwant % x", h[header.IPv4Len:], in)
			}
			dec := gopacket.NewPacket(h, layers.LayerTypeIPv4, gopacket.Default)
			outer, ok := dec.NetworkLayer().(*layers.IPv4)
			if !ok {
				t.Fatalf("an independent decoder reads no IPv4: %v", dec)
			}
			got := fmt.Sprintln(outer.SrcIP, outer.DstIP, outer.Protocol, outer.Id, outer.TOS, outer.TTL, outer.Flags, outer.FragOffset, outer.Length)
			flags := layers.IPv4Flag(0)
			if r.wantDF {
				flags = layers.IPv4DontFragment
			}
			want := fmt.Sprintln("192.0.2.1", "192.0.2.10", layers.IPProtocolIPv4, 0x1234, r.wantTOS, r.wantTTL, flags, 0, 47)
			if got != want {
				t.Errorf("outer header\n got %swant %s", got, want)
			}
		})
	}
}

func TestEncapRefusals(t *testing.T) {
	rows := []struct {
		name string
		in   header.IPv4
		want drop.Reason
	}{
		{"TTL ran out", ipv4(client, pod, flow.UDP, 0, 0, 0, nil), drop.TTLExceeded},
		{"tunnel in tunnel", ipv4(client, pod, flow.IPIP, 0, 9, 0, nil), drop.TunnelNested},
		{"too long for a length field", ipv4(client, pod, flow.UDP, 0, 9, 0, make([]byte, 0xffff-39)), drop.MTUExceeded},
	}
	for _, r := range rows {
		p := framed(t, r.in, 0)
		was := *p
		frame := bytes.Clone(p.Bytes())
		if got := Encap(p, gateway, worker, 1, &Options{}); got != r.want {
			t.Errorf("%s: got %v; want %v", r.name, got, r.want)
		}
		if p.L3 != was.L3 || p.Start != was.Start || p.End != was.End || !bytes.Equal(p.Bytes(), frame) {
			t.Errorf("%s: the packet changed", r.name)
		}
	}
	p := framed(t, ipv4(client, pod, flow.UDP, 0, 9, 0, make([]byte, 0xffff-40)), 0)
	if got := Encap(p, gateway, worker, 1, &Options{}); got != drop.None {
		t.Errorf("the longest packet: got %v; want none", got)
	}
}

func TestDecapUndoesEncap(t *testing.T) {
	in := ipv4(client, pod, flow.UDP, 0xba, 61, header.DontFragment, []byte("payload"))
	p := framed(t, in, 0)
	if got := Encap(p, gateway, worker, 1, &Options{}); got != drop.None {
		t.Fatal(got)
	}
	p = framed(t, p.Bytes(), 5)
	p.Offload = packet.Offload{Flags: packet.NeedsChecksum, HdrLen: 82, CsumStart: 140}
	if got := Decap(p); got != drop.None {
		t.Fatal(got)
	}
	if got := whole(t, p); !bytes.Equal(got, in) {
		t.Errorf("got % x\nwant % x", got, in)
	}
	if p.Offload.HdrLen != 48 || p.Offload.CsumStart != 140 {
		t.Errorf("offload: got %+v; want HdrLen 48, CsumStart 140", p.Offload)
	}
}

func TestDecapRefusals(t *testing.T) {
	inner := func(change func(h header.IPv4)) header.IPv4 {
		h := ipv4(pod, client, flow.UDP, 0, 63, 0, []byte("payload"))
		change(h)
		seal(h)
		return h
	}
	around := func(in []byte) header.IPv4 { return ipv4(worker, gateway, flow.IPIP, 0, 64, 0, in) }
	nothing := func(header.IPv4) {}
	fragment := around(inner(nothing))
	fragment.SetFragment(header.MoreFragments)
	later := around(inner(nothing))
	later.SetFragment(3)
	rows := []struct {
		name string
		in   header.IPv4
		want drop.Reason
	}{
		{"nothing inside", around(nil), drop.TunnelInnerMalformed},
		{"19 bytes inside", around(inner(nothing)[:19]), drop.TunnelInnerMalformed},
		{"IPv6 inside", around(inner(func(h header.IPv4) { h[0] = 0x65 })), drop.TunnelInnerMalformed},
		{"header length under 20", around(inner(func(h header.IPv4) { h[0] = 0x44 })), drop.TunnelInnerMalformed},
		{"header longer than the packet", around(inner(func(h header.IPv4) { h[0] = 0x48 })), drop.TunnelInnerMalformed},
		{"total length past the outer packet", around(inner(func(h header.IPv4) { h.SetTotalLen(28) })), drop.TunnelInnerMalformed},
		{"total length under the header", around(inner(func(h header.IPv4) { h.SetTotalLen(19) })), drop.TunnelInnerMalformed},
		{"first fragment of an outer packet", fragment, drop.TunnelInnerMalformed},
		{"later fragment of an outer packet", later, drop.TunnelInnerMalformed},
		{"tunnel in tunnel", around(around(inner(nothing))), drop.TunnelNested},
		{"whole", around(inner(nothing)), drop.None},
		{"padding after the inner packet", around(append(inner(nothing), 0, 0, 0)), drop.None},
	}
	for _, r := range rows {
		p := framed(t, r.in, 0)
		was := *p
		if got := Decap(p); got != r.want {
			t.Errorf("%s: got %v; want %v", r.name, got, r.want)
		} else if got != drop.None && (p.Start != was.Start || p.L3 != was.L3 || p.End != was.End) {
			t.Errorf("%s: the packet changed", r.name)
		} else if got == drop.None {
			whole(t, p)
		}
	}
}

// TestECN holds every cell of RFC 6040 figures 3 and 4 against a copy of the
// figures.
func TestECN(t *testing.T) {
	names := map[string]uint8{"Not-ECT": 0, "ECT(1)": 1, "ECT(0)": 2, "CE": 3}
	columns := []string{"Not-ECT", "ECT(0)", "ECT(1)", "CE"}
	figure4 := map[string][]string{
		"Not-ECT": {"Not-ECT", "Not-ECT", "Not-ECT", "<drop>"},
		"ECT(0)":  {"ECT(0)", "ECT(0)", "ECT(1)", "CE"},
		"ECT(1)":  {"ECT(1)", "ECT(1)", "ECT(1)", "CE"},
		"CE":      {"CE", "CE", "CE", "CE"},
	}
	const dscp = 46 << 2
	for inner, row := range figure4 {
		for i, want := range row {
			t.Run(fmt.Sprintf("decap %s in %s", inner, columns[i]), func(t *testing.T) {
				in := ipv4(pod, client, flow.UDP, dscp|names[inner], 63, 0, []byte("payload"))
				p := framed(t, ipv4(worker, gateway, flow.IPIP, 8<<2|names[columns[i]], 64, 0, in), 0)
				got := Decap(p)
				if want == "<drop>" {
					if got != drop.TunnelECN {
						t.Errorf("got %v; want %v", got, drop.TunnelECN)
					}
					return
				}
				if got != drop.None {
					t.Fatalf("got %v; want none", got)
				}
				if tos := whole(t, p).TOS(); tos != dscp|names[want] {
					t.Errorf("got TOS %#x; want %#x", tos, dscp|names[want])
				}
			})
		}
	}
	for name, ecn := range names { // figure 3: the outer mark is the inner one
		for _, o := range []Options{{}, {CopyDSCP: true}, {DSCP: 63}} {
			if got := outerTOS(dscp|ecn, &o) & 3; got != ecn {
				t.Errorf("encap %s with %+v: got %d; want %d", name, o, got, ecn)
			}
		}
	}
}

func TestDecapKeepsAWrongChecksumWrong(t *testing.T) {
	in := ipv4(pod, client, flow.UDP, 2, 63, 0, []byte("payload"))
	in.SetChecksum(in.Checksum() + 1)
	p := framed(t, ipv4(worker, gateway, flow.IPIP, 3, 64, 0, in), 0)
	if got := Decap(p); got != drop.None {
		t.Fatal(got)
	}
	if h := header.IPv4(p.Bytes()); checksum.Of(h[:20]) == 0 {
		t.Error("a wrong inner checksum became right")
	}
}

func TestPathDoesNotAllocate(t *testing.T) {
	in := ipv4(client, pod, flow.UDP, 2, 61, 0, make([]byte, 100))
	p := framed(t, in, 0)
	was := *p
	tun := example(t, func(*Config) {})
	n := testing.AllocsPerRun(100, func() {
		*p = was
		peer := tun.Peer(pod)
		Encap(p, gateway, peer.Addr, 1, &tun.Options)
		Decap(p)
		from, _ := tun.Accepts(1, worker, gateway)
		tun.AcceptsInner(from, pod, client)
	})
	if n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func FuzzDecap(f *testing.F) {
	in := ipv4(pod, client, flow.UDP, 2, 63, 0, []byte("payload"))
	f.Add([]byte(in), uint8(3))
	f.Add([]byte(in[:19]), uint8(0))
	f.Add([]byte(ipv4(worker, gateway, flow.IPIP, 0, 1, 0, in)), uint8(0))
	f.Fuzz(func(t *testing.T, inner []byte, tos uint8) {
		if len(inner) > 2000 {
			return
		}
		p := framed(t, ipv4(worker, gateway, flow.IPIP, tos, 64, 0, inner), 0)
		if Decap(p) != drop.None {
			return
		}
		h := header.IPv4(p.Bytes())
		if h.Version() != 4 || h.TotalLen() != len(h) || h.HeaderLen() > len(h) || h.Protocol() == flow.IPIP {
			t.Fatalf("let through: % x", h)
		}
		before, after := checksum.Of(inner[:h.HeaderLen()]) == 0, checksum.Of(h[:h.HeaderLen()]) == 0
		if before != after {
			t.Fatalf("inner header checksum: was right %v, is right %v", before, after)
		}
	})
}

func BenchmarkEncap(b *testing.B) {
	p := framed(b, ipv4(client, pod, flow.UDP, 2, 61, 0, make([]byte, 22)), 0)
	was := *p
	o := Options{}
	b.ReportAllocs()
	for b.Loop() {
		p.L3, p.L4, p.L3End = was.L3, was.L4, was.L3End
		Encap(p, gateway, worker, 1, &o)
	}
}

func BenchmarkDecap(b *testing.B) {
	in := ipv4(pod, client, flow.UDP, 2, 61, 0, make([]byte, 22))
	p := framed(b, ipv4(worker, gateway, flow.IPIP, 2, 61, 0, in), 0)
	was := *p
	b.ReportAllocs()
	for b.Loop() {
		p.L3, p.L4, p.L3End, p.Start = was.L3, was.L4, was.L3End, was.Start
		Decap(p)
	}
}

func BenchmarkAccepts(b *testing.B) {
	tun := example(b, func(*Config) {})
	b.ReportAllocs()
	for b.Loop() {
		p, _ := tun.Accepts(1, worker, gateway)
		tun.AcceptsInner(p, pod, client)
	}
}
