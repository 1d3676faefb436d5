// Package gso does in software what a frame's sender left to the device: it cuts
// super-packets into segments and finishes checksums. A leaf; called by workers
// where a device cannot do it, or must not because the frame is not sent whole.
//
// IPv4 only: TCP (RFC 9293) and UDP (RFC 768), with any number of bytes and up to
// two more IPv4 headers in front. IPv6 super-packets are refused.
package gso

// Hot path: no allocation, lock, clock or log.

import (
	"encoding/binary"
	"hash/crc32"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// maxHeaders is the number of IPv4 headers that may stand in a row.
const maxHeaders = 3

// Cutter cuts one super-packet after the other. The zero value is ready for Reset.
// Used by one worker.
//
//	for ok := c.Reset(p, p.L3); ok && c.Next(&out); {
//		send(&out)
//	}
type Cutter struct {
	src     *packet.Packet
	ip      [maxHeaders]int // starts of the IPv4 headers, in bytes from the frame's
	headers int             // how many of them
	l4      int             // start of the transport header
	payload int             // start of the payload: the length of all headers
	tcp     bool
	sum     bool // the transport checksum is wanted
	size    int  // payload of a segment
	done    int  // payload bytes cut so far
	index   int  // number of the next segment
}

// Reset starts on p, borrowed until the last Next. l3 is the index into p.Buf of
// the outermost IPv4 header. It reports false if p is no super-packet of a kind
// that can be cut, or its headers are malformed.
func (c *Cutter) Reset(p *packet.Packet, l3 uint32) bool {
	*c = Cutter{src: p, size: int(p.Offload.GSOSize)}
	b := p.Bytes()
	at := int(l3) - int(p.Start)
	if c.size == 0 || at < 0 {
		return false
	}
	proto, ok := c.walk(b, at)
	if !ok {
		return false
	}
	switch kind := p.Offload.GSOType &^ packet.GSOECN; {
	case proto == flow.TCP && kind == packet.GSOTCPv4:
		c.tcp, c.sum = true, true
		if c.l4+header.TCPLen > len(b) {
			return false
		}
		c.payload = c.l4 + header.TCP(b[c.l4:]).HeaderLen()
		if c.payload < c.l4+header.TCPLen {
			return false
		}
	case proto == flow.UDP && kind == packet.GSOUDPL4:
		c.payload = c.l4 + header.UDPLen
		if c.payload > len(b) {
			return false
		}
		c.sum = p.Offload.Flags&packet.NeedsChecksum != 0 || header.UDP(b[c.l4:]).Checksum() != 0
	default:
		return false
	}
	if p.Offload.Flags&packet.NeedsChecksum != 0 && int(p.Offload.CsumStart) != int(p.Start)+c.l4 {
		return false
	}
	return c.payload < len(b)
}

// walk notes the IPv4 headers from at on and returns the protocol after them.
func (c *Cutter) walk(b []byte, at int) (proto uint8, ok bool) {
	for c.headers < maxHeaders {
		if at+header.IPv4Len > len(b) {
			return 0, false
		}
		ip := header.IPv4(b[at:])
		n := ip.HeaderLen()
		if ip.Version() != 4 || n < header.IPv4Len || at+n > len(b) || ip.IsFragment() {
			return 0, false
		}
		c.ip[c.headers] = at
		c.headers++
		at += n
		if proto = ip.Protocol(); proto != flow.IPIP {
			c.l4 = at
			return proto, true
		}
	}
	return 0, false
}

// Longest returns the length in bytes of the longest segment, as a frame.
func (c *Cutter) Longest() int {
	return min(c.payload+c.size, c.src.Len())
}

// Segments returns the number of segments.
func (c *Cutter) Segments() int {
	return (c.src.Len() - c.payload + c.size - 1) / c.size
}

// Next writes the next segment into out.Buf, after the headroom, and sets the rest
// of out as it is in the super-packet, without Offload. out.Buf, at least Headroom
// + Longest bytes, and out.DriverPrivate are the caller's. It reports false when
// there are no more segments, or out.Buf is too short.
func (c *Cutter) Next(out *packet.Packet) bool {
	src := c.src.Bytes()
	n := min(c.size, len(src)-c.payload-c.done)
	if n <= 0 || len(out.Buf) < packet.Headroom+c.payload+n {
		return false
	}
	frame := out.Buf[packet.Headroom : packet.Headroom+c.payload+n]
	copy(frame, src[:c.payload])
	copy(frame[c.payload:], src[c.payload+c.done:][:n])
	c.describe(out, len(frame))

	for _, at := range c.ip[:c.headers] {
		ip := header.IPv4(frame[at:])
		ip.SetTotalLen(len(frame) - at)
		ip.SetID(ip.ID() + uint16(c.index))
		ip.SetChecksum(0)
		ip.SetChecksum(checksum.Of(ip[:ip.HeaderLen()]))
	}
	if c.tcp {
		c.finishTCP(frame, c.done+n == len(src)-c.payload)
	} else {
		c.finishUDP(frame)
	}
	c.done += n
	c.index++
	return true
}

// describe sets out's fields for a segment of n bytes.
func (c *Cutter) describe(out *packet.Packet, n int) {
	buf, mark := out.Buf, out.DriverPrivate
	*out = *c.src
	out.Buf, out.DriverPrivate = buf, mark
	out.Offload = packet.Offload{}
	out.Start, out.End = packet.Headroom, uint32(packet.Headroom+n)
	out.L3 += packet.Headroom - c.src.Start
	out.L4 += packet.Headroom - c.src.Start
	out.L3End = out.End
}

// finishTCP: RFC 9293, section 3.1. The super-packet's FIN and PSH belong to its
// end, its CWR (RFC 3168, section 6.1.2) to the first segment.
func (c *Cutter) finishTCP(frame []byte, last bool) {
	tcp := header.TCP(frame[c.l4:])
	tcp.SetSeq(tcp.Seq() + uint32(c.done))
	flags := tcp.Flags()
	if !last {
		flags &^= header.FIN | header.PSH
	}
	if c.index > 0 {
		flags &^= header.CWR
	}
	tcp.SetFlags(flags)
	tcp.SetChecksum(0)
	tcp.SetChecksum(^c.l4Sum(frame, flow.TCP))
}

func (c *Cutter) finishUDP(frame []byte) {
	udp := header.UDP(frame[c.l4:])
	udp.SetLength(len(udp))
	udp.SetChecksum(0)
	if c.sum {
		udp.SetChecksum(notZero(^c.l4Sum(frame, flow.UDP)))
	}
}

// l4Sum returns the sum of the transport packet and its pseudo-header.
func (c *Cutter) l4Sum(frame []byte, proto uint8) uint16 {
	ip := header.IPv4(frame[c.ip[c.headers-1]:])
	l4 := frame[c.l4:]
	return checksum.Fold(checksum.Sum(l4, checksum.Pseudo(ip.Src(), ip.Dst(), proto, len(l4))))
}

// notZero returns c, or its other form where it is 0, which means no checksum in
// UDP (RFC 768).
func notZero(c uint16) uint16 {
	if c == 0 {
		return 0xffff
	}
	return c
}

// Offsets of checksums in their transport headers, which tell the kinds apart.
const (
	udpSum  = 6
	SCTPSum = 8 // a CRC32c instead of an Internet checksum (RFC 9260, appendix A)
)

// Complete finishes a half-made checksum and clears NeedsChecksum; without the
// flag it does nothing. A super-packet is not to be completed but cut. It reports
// false if the checksum would lie outside of the frame.
func Complete(p *packet.Packet) bool {
	o := &p.Offload
	if o.Flags&packet.NeedsChecksum == 0 {
		return true
	}
	start, end := o.CsumStart, p.End
	if p.L3End > start && p.L3End < end {
		end = p.L3End // without link padding
	}
	if start < p.Start || uint64(start)+uint64(o.CsumOffset)+2 > uint64(end) {
		return false
	}
	l4 := p.Buf[start:end]
	if o.CsumOffset == SCTPSum {
		if len(l4) < SCTPSum+4 {
			return false
		}
		clear(l4[SCTPSum : SCTPSum+4])
		binary.LittleEndian.PutUint32(l4[SCTPSum:], crc32.Checksum(l4, castagnoli))
	} else {
		sum := checksum.Of(l4) // the pseudo-header's sum stands in the field
		if o.CsumOffset == udpSum {
			sum = notZero(sum)
		}
		binary.BigEndian.PutUint16(l4[o.CsumOffset:], sum)
	}
	o.Flags &^= packet.NeedsChecksum
	return true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
