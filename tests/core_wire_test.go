package tests

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// v4 describes an IPv4 packet; zero fields are the usual.
type v4 struct {
	src, dst string
	ttl, tos uint8
	id       uint16
	df, mf   bool
	off      uint16 // in bytes
	options  []byte
}

func (h v4) layer(proto layers.IPProtocol) *layers.IPv4 {
	ip := &layers.IPv4{Version: 4, TTL: 64, TOS: h.tos, Id: h.id, Protocol: proto, FragOffset: h.off / 8,
		SrcIP: netip.MustParseAddr(h.src).AsSlice(), DstIP: netip.MustParseAddr(h.dst).AsSlice()}
	if h.ttl != 0 {
		ip.TTL = h.ttl
	}
	if h.df {
		ip.Flags |= layers.IPv4DontFragment
	}
	if h.mf {
		ip.Flags |= layers.IPv4MoreFragments
	}
	return ip
}

func bytesOf(ls ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return slices.Clone(buf.Bytes())
}

// packet of a protocol with a payload of bytes.
func (h v4) raw(proto uint8, payload []byte) []byte {
	b := bytesOf(h.layer(layers.IPProtocol(proto)), gopacket.Payload(payload))
	if len(h.options) == 0 {
		return b
	}
	b = slices.Insert(b, 20, h.options...)
	b[0] += byte(len(h.options) / 4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return reseal(b)
}

// reseal corrects the checksum of an IPv4 header.
func reseal(b []byte) []byte {
	h := header.IPv4(b)
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(b[:h.HeaderLen()]))
	return b
}

func (h v4) udp(sport, dport uint16, payload string) []byte {
	ip, u := h.layer(layers.IPProtocolUDP), &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	_ = u.SetNetworkLayerForChecksum(ip)
	return h.raw(17, bytesOf(u, gopacket.Payload(payload)))
}

func (h v4) tcp(sport, dport uint16, flags uint8, seq, ack uint32, payload string, opts ...layers.TCPOption) []byte {
	ip, c := h.layer(layers.IPProtocolTCP), &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: seq, Ack: ack,
		FIN: flags&header.FIN != 0, SYN: flags&header.SYN != 0, RST: flags&header.RST != 0, PSH: flags&header.PSH != 0,
		ACK: flags&header.ACK != 0, URG: flags&header.URG != 0, Window: 8192, Options: opts}
	_ = c.SetNetworkLayerForChecksum(ip)
	return h.raw(6, bytesOf(c, gopacket.Payload(payload)))
}

func (h v4) icmp(typ, code uint8, id, seq uint16, payload string) []byte {
	return h.raw(1, bytesOf(&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: id, Seq: seq}, gopacket.Payload(payload)))
}

func (h v4) ping(id uint16, payload string) []byte { return h.icmp(8, 0, id, 1, payload) }

// quoting is an ICMP error that quotes n bytes of the packet.
func (h v4) quoting(typ, code uint8, rest uint32, quote []byte, n int) []byte {
	return h.icmp(typ, code, uint16(rest>>16), uint16(rest), string(quote[:min(n, len(quote))]))
}

// ipip puts an outer header around the packet.
func (h v4) ipip(inner []byte) []byte { return h.raw(4, inner) }

func ether(dst [6]byte, typ uint16, rest []byte) []byte {
	f := append(dst[:], 2, 0, 0, 0, 9, 9)
	f = binary.BigEndian.AppendUint16(f, typ)
	return append(f, rest...)
}

// tagged puts tags, as TPID<<16|TCI, into a frame.
func tagged(f []byte, tags ...uint32) []byte {
	var b []byte
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return slices.Insert(slices.Clone(f), 12, b...)
}

// seen is a frame taken apart. Outer is the outer header of IP-in-IP, nil for others.
type seen struct {
	dst   [6]byte
	tags  []uint32
	outer header.IPv4
	ip    header.IPv4
	l4    []byte
}

func read(t testing.TB, f []byte, l3 bool) (s seen) {
	t.Helper()
	at := 0
	if !l3 {
		copy(s.dst[:], f)
		at = 14
		typ := binary.BigEndian.Uint16(f[12:])
		for typ == header.TypeVLAN || typ == header.TypeQinQ {
			s.tags = append(s.tags, uint32(typ)<<16|uint32(binary.BigEndian.Uint16(f[at:])))
			typ = binary.BigEndian.Uint16(f[at+2:])
			at += 4
		}
		if typ != header.TypeIPv4 {
			t.Fatalf("got type %#x; want IPv4", typ)
		}
	}
	s.ip = header.IPv4(f[at:][:header.IPv4(f[at:]).TotalLen()])
	if s.ip.Protocol() == flow.IPIP && !s.ip.IsFragment() {
		s.outer = s.ip
		s.ip = s.ip[s.ip.HeaderLen():]
	}
	s.l4 = s.ip[s.ip.HeaderLen():]
	return s
}

func addrOf(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// String shows addresses, and ports or ICMP type, code and id.
func (s seen) String() string {
	src, dst := addrOf(s.ip.Src()).String(), addrOf(s.ip.Dst()).String()
	var o string
	if s.outer != nil {
		o = fmt.Sprintf("[%v > %v] ", addrOf(s.outer.Src()), addrOf(s.outer.Dst()))
	}
	if s.ip.IsLaterFragment() {
		return fmt.Sprintf("%s%s > %s +%d", o, src, dst, s.ip.Fragment()&header.FragmentOffset*8)
	}
	switch s.ip.Protocol() {
	case flow.TCP, flow.UDP:
		u := header.UDP(s.l4)
		return fmt.Sprintf("%s%s:%d > %s:%d", o, src, u.SrcPort(), dst, u.DstPort())
	case flow.ICMP:
		c := header.ICMP(s.l4)
		if c.IsError() {
			q := seen{ip: header.IPv4(c[8:])}
			if q.ip.Protocol() == flow.IPIP {
				q.outer = q.ip
				q.ip = q.ip[20:]
			}
			q.l4 = q.ip[q.ip.HeaderLen():]
			return fmt.Sprintf("%s%s > %s icmp %d/%d about %v", o, src, dst, c.Type(), c.Code(), q)
		}
		return fmt.Sprintf("%s%s > %s icmp %d id %d", o, src, dst, c.Type(), c.ID())
	}
	return fmt.Sprintf("%s%s > %s proto %d", o, src, dst, s.ip.Protocol())
}

// is asks what a packet looks like, as String shows it.
func (s seen) is(t testing.TB, want string) {
	t.Helper()
	if got := s.String(); got != want {
		t.Fatalf("got %s; want %s", got, want)
	}
}

// verify checks lengths and every checksum of a frame.
func verify(f []byte, l3 bool) error {
	at := 0
	if !l3 {
		at = 14
		typ := binary.BigEndian.Uint16(f[12:])
		for typ == header.TypeVLAN || typ == header.TypeQinQ {
			typ = binary.BigEndian.Uint16(f[at+2:])
			at += 4
		}
		if typ != header.TypeIPv4 {
			return nil
		}
	}
	return verifyIP(f[at:])
}

func verifyIP(b []byte) error {
	h := header.IPv4(b)
	if len(b) < 20 || h.Version() != 4 || h.HeaderLen() < 20 || h.TotalLen() > len(b) || h.TotalLen() < h.HeaderLen() {
		return fmt.Errorf("lengths of %x", b)
	}
	if checksum.Of(b[:h.HeaderLen()]) != 0 {
		return fmt.Errorf("IPv4 checksum of %x", b)
	}
	l4 := b[h.HeaderLen():h.TotalLen()]
	if h.IsFragment() {
		return nil
	}
	switch h.Protocol() {
	case flow.IPIP:
		return verifyIP(l4)
	case flow.ICMP:
		if checksum.Of(l4) != 0 {
			return fmt.Errorf("ICMP checksum of %x", b)
		}
	case flow.UDP, flow.TCP:
		if len(l4) < header.UDPLen {
			return fmt.Errorf("transport header of %x", b)
		}
		if h.Protocol() == flow.UDP && header.UDP(l4).Checksum() == 0 {
			return nil
		}
		if checksum.Fold(checksum.Sum(l4, checksum.Pseudo(h.Src(), h.Dst(), h.Protocol(), len(l4)))) != 0xffff {
			return fmt.Errorf("transport checksum of %x", b)
		}
	}
	return nil
}
