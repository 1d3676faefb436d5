package linktest

import (
	"encoding/binary"
	"slices"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// Frame is a frame outside of a port. Offload.CsumStart counts from its start.
type Frame struct {
	Bytes   []byte
	Offload packet.Offload
}

// Whole returns a copy of a received packet as the frame it was on the wire: with
// the tags that the driver took off written back.
func Whole(p *packet.Packet) Frame {
	f := Frame{Bytes: slices.Clone(p.Bytes()), Offload: p.Offload}
	if f.Offload.Flags&packet.NeedsChecksum != 0 {
		f.Offload.CsumStart -= p.Start
	}
	for i := len(p.VLANs) - 1; i >= 0; i-- {
		if p.VLANs[i] != 0 {
			f = f.Tagged(p.VLANs[i])
		}
	}
	return f
}

// Tagged returns the frame with a VLAN tag, TPID<<16|TCI, as the outermost one.
func (f Frame) Tagged(tag uint32) Frame {
	b := slices.Clone(f.Bytes[:12])
	b = binary.BigEndian.AppendUint32(b, tag)
	f.Bytes = append(b, f.Bytes[12:]...)
	if f.Offload.Flags&packet.NeedsChecksum != 0 {
		f.Offload.CsumStart += header.VLANLen
	}
	return f
}

// UDP returns a frame with a finished UDP datagram of n bytes of payload, the
// payload telling its number i.
func UDP(i, n int, l3 bool) Frame {
	payload := make([]byte, n)
	for j := range payload {
		payload[j] = byte(i + j)
	}
	if n >= 4 {
		binary.BigEndian.PutUint32(payload, uint32(i))
	}
	h := make([]byte, header.UDPLen)
	udp := header.UDP(h)
	udp.SetSrcPort(4000)
	udp.SetDstPort(uint16(5000 + i%50))
	udp.SetLength(header.UDPLen + n)
	return inIPv4(flow.UDP, append(h, payload...), 6, l3, false)
}

// HalfUDP is UDP with its checksum left to the device.
func HalfUDP(i, n int, l3 bool) Frame {
	return inIPv4(flow.UDP, UDP(i, n, true).Bytes[header.IPv4Len:], 6, l3, true)
}

// SuperTCP returns a super-packet of n bytes of payload in segments of size
// bytes, with 12 bytes of options.
func SuperTCP(n, size int, l3 bool) Frame {
	h := make([]byte, header.TCPLen+12)
	tcp := header.TCP(h)
	tcp.SetSrcPort(4000)
	tcp.SetDstPort(5000)
	tcp.SetSeq(0xfffff000)
	tcp.SetFlags(header.ACK | header.PSH)
	h[12] = byte(len(h) / 4 << 4)
	copy(h[header.TCPLen:], []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2})
	for i := range n {
		h = append(h, byte(i*7)^byte(i>>8))
	}
	f := inIPv4(flow.TCP, h, 16, l3, true)
	f.Offload.GSOType = packet.GSOTCPv4
	f.Offload.GSOSize = uint16(size)
	f.Offload.HdrLen = uint16(len(f.Bytes) - n)
	return f
}

// IPIP returns an unfragmented frame with one more IPv4 header, from 10.0.0.1 to
// 10.0.0.2, in front of its IPv4 packet.
func IPIP(frame []byte, l3 bool) []byte {
	l2 := header.EthernetLen
	if l3 {
		l2 = 0
	}
	ip := header.IPv4(make([]byte, header.IPv4Len))
	ip[0] = 0x45
	ip.SetTotalLen(len(ip) + len(frame) - l2)
	ip.SetTTL(64)
	ip.SetProtocol(flow.IPIP)
	ip.SetSrc(0x0a000001)
	ip.SetDst(0x0a000002)
	ip.SetChecksum(checksum.Of(ip))
	return slices.Concat(frame[:l2], ip, frame[l2:])
}

// inIPv4 wraps a transport packet whose checksum is at byte sum. half leaves the
// pseudo-header's sum there.
func inIPv4(proto uint8, l4 []byte, sum int, l3, half bool) Frame {
	l4 = slices.Clone(l4)
	ip := header.IPv4(make([]byte, header.IPv4Len))
	ip[0] = 0x45
	ip.SetTotalLen(len(ip) + len(l4))
	ip.SetID(0x1234)
	ip.SetFragment(header.DontFragment)
	ip.SetTTL(64)
	ip.SetProtocol(proto)
	ip.SetSrc(0xc0000201)
	ip.SetDst(0xc6336401)
	ip.SetChecksum(checksum.Of(ip))
	pseudo := checksum.Fold(checksum.Pseudo(ip.Src(), ip.Dst(), proto, len(l4)))
	binary.BigEndian.PutUint16(l4[sum:], pseudo)
	if !half {
		binary.BigEndian.PutUint16(l4[sum:], checksum.Of(l4))
	}
	var f Frame
	if !l3 {
		f.Bytes = []byte{2, 0, 0, 0, 0, 0xaa, 2, 0, 0, 0, 0, 0xbb, 8, 0}
	}
	f.Bytes = append(append(f.Bytes, ip...), l4...)
	if half {
		f.Offload = packet.Offload{
			Flags:     packet.NeedsChecksum,
			CsumStart: uint32(len(f.Bytes) - len(l4)), CsumOffset: uint16(sum),
		}
	}
	return f
}

// Packet returns a packet with the frame and headroom, to be sent.
func (f Frame) Packet() *packet.Packet {
	p := &packet.Packet{}
	p.Set(make([]byte, packet.Headroom+len(f.Bytes)+packet.Headroom), f.Bytes)
	p.Offload = f.Offload
	if p.Offload.Flags&packet.NeedsChecksum != 0 {
		p.Offload.CsumStart += p.Start
	}
	return p
}
