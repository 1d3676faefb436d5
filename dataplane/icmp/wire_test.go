package icmp

import (
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

const (
	router = 0xc0000201 // 192.0.2.1
	client = 0xc6336407 // 198.51.100.7
	server = 0xcb007109 // 203.0.113.9
)

// ipv4 returns an IPv4 packet with options and a correct header checksum.
func ipv4(src, dst uint32, proto uint8, options, payload []byte) header.IPv4 {
	ihl := header.IPv4Len + len(options)
	h := header.IPv4(make([]byte, ihl+len(payload)))
	h[0] = 0x40 | byte(ihl/4)
	h.SetTotalLen(len(h))
	h.SetTTL(33)
	h.SetProtocol(proto)
	h.SetSrc(src)
	h.SetDst(dst)
	copy(h[header.IPv4Len:], options)
	copy(h[ihl:], payload)
	sealIP(h)
	return h
}

func sealIP(h header.IPv4) {
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(h[:h.HeaderLen()]))
}

// transport returns a packet of the flow, all checksums computed in full, and the
// transport checksum then off by wrong.
func transport(k flow.Key, options, payload []byte, wrong uint16) header.IPv4 {
	var l4 []byte
	at, sum := 0, uint64(0)
	switch k.Proto() {
	case flow.TCP:
		l4, at = make([]byte, header.TCPLen), 16
		header.TCP(l4)[12] = 5 << 4
	case flow.UDP:
		l4, at = make([]byte, header.UDPLen), 6
		header.UDP(l4).SetLength(len(l4) + len(payload))
	case flow.ICMP:
		l4, at = make([]byte, header.ICMPLen), 2
		header.ICMP(l4).SetType(header.ICMPEcho)
		header.ICMP(l4).SetID(k.SrcPort())
	default:
		return ipv4(k.Src(), k.Dst(), k.Proto(), options, append(make([]byte, 8), payload...))
	}
	if k.Proto() != flow.ICMP {
		header.UDP(l4).SetSrcPort(k.SrcPort())
		header.UDP(l4).SetDstPort(k.DstPort())
		sum = checksum.Pseudo(k.Src(), k.Dst(), k.Proto(), len(l4)+len(payload))
	}
	l4 = append(l4, payload...)
	c := ^checksum.Fold(checksum.Sum(l4, sum))
	c = checksum.Apply(c, wrong)
	if c == 0 && k.Proto() == flow.UDP {
		c = 0xffff
	}
	l4[at], l4[at+1] = byte(c>>8), byte(c)
	return ipv4(k.Src(), k.Dst(), k.Proto(), options, l4)
}

// report returns an ICMP error from router to client that quotes b; rest is the
// second word.
func report(typ, code uint8, rest uint32, b []byte) header.IPv4 {
	m := header.ICMP(append(make([]byte, header.ICMPLen), b...))
	m.SetType(typ)
	m.SetCode(code)
	m.SetID(uint16(rest >> 16))
	m.SetSeq(uint16(rest))
	m.SetChecksum(checksum.Of(m))
	return ipv4(router, client, flow.ICMP, nil, m)
}

// framed returns a parsed packet with an Ethernet header and link padding.
func framed(t testing.TB, ip header.IPv4, pad int) *packet.Packet {
	t.Helper()
	frame := append(make([]byte, header.EthernetLen), ip...)
	frame = append(frame, make([]byte, pad)...)
	p := new(packet.Packet)
	if !p.Set(make([]byte, packet.Headroom+len(frame)), frame) {
		t.Fatal("buffer too short")
	}
	p.L3 = p.Start + header.EthernetLen
	p.L4 = p.L3 + uint32(ip.HeaderLen())
	p.L3End = p.L3 + uint32(len(ip))
	return p
}

// whole checks an output packet: indexes, lengths, IPv4 and ICMP checksums.
func whole(t testing.TB, p *packet.Packet) (header.IPv4, header.ICMP) {
	t.Helper()
	h := header.IPv4(p.Bytes())
	if p.Start != p.L3 || p.End != p.L3End || int(p.L4-p.L3) != h.HeaderLen() || h.TotalLen() != len(h) {
		t.Fatalf("indexes do not fit the packet: %d %d %d %d %d", p.Start, p.L3, p.L4, p.L3End, p.End)
	}
	m := header.ICMP(h[h.HeaderLen():])
	if checksum.Of(h[:h.HeaderLen()]) != 0 || checksum.Of(m) != 0 {
		t.Fatalf("a checksum is wrong: % x", h)
	}
	return h, m
}
