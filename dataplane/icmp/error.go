package icmp

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

const (
	// MaxError is the length of the longest error, in bytes of IPv4 (RFC 1812
	// section 4.3.2.3).
	MaxError = 576
	// MaxQuote is how much of the packet in question it can hold.
	MaxQuote = MaxError - headers
	// ErrorBuffer is the least length of a buffer for Error.
	ErrorBuffer = packet.Headroom + MaxError

	headers = header.IPv4Len + header.ICMPLen
	ttl     = 64
	// control is precedence 6, internetwork control (RFC 1812 section 4.3.2.5).
	control = 0xc0
)

// A Message is what an error says: type, code and the second word of the header,
// which is the MTU for UnreachableFragNeeded, the pointer in the top byte for
// ICMPParameter, else 0.
//
//	63  0  48 47 type 40 39 code 32 31  second word  0
type Message uint64

// Messages that a gateway sends.
const (
	TTLExceeded     Message = header.ICMPTimeExceeded << 40
	NetUnreachable  Message = header.ICMPUnreachable<<40 | header.UnreachableNet<<32
	HostUnreachable Message = header.ICMPUnreachable<<40 | header.UnreachableHost<<32
	PortUnreachable Message = header.ICMPUnreachable<<40 | header.UnreachablePort<<32
	Prohibited      Message = header.ICMPUnreachable<<40 | header.UnreachableProhibited<<32
)

// FragNeeded is the message that mtu, in bytes, is what the next hop takes (RFC
// 1191 section 4).
func FragNeeded(mtu int) Message {
	return header.ICMPUnreachable<<40 | header.UnreachableFragNeeded<<32 | Message(min(mtu, 0xffff))
}

// Parameter is the message that the byte at pointer of the quoted packet is wrong.
func Parameter(pointer uint8) Message {
	return header.ICMPParameter<<40 | Message(pointer)<<24
}

// Answerable reports whether an error may be sent about p, an IPv4 packet that was
// parsed. broadcast says that its destination is a broadcast address of a connected
// subnet, which only the caller can know. RFC 1812 section 4.3.2.7: not about ICMP
// errors (nor ICMP of unknown types), later fragments, link or IP broadcast and
// multicast, and sources that are no single host.
func Answerable(p *packet.Packet, broadcast bool) bool {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	switch {
	case broadcast, h.IsLaterFragment():
		return false
	case p.L3 >= p.Start+header.EthernetLen && p.Buf[p.Start]&1 != 0:
		return false
	case h.Dst()>>28 >= 0xe, !singleHost(h.Src()):
		return false
	case h.Protocol() != flow.ICMP:
		return true
	}
	icmp := header.ICMP(h[h.HeaderLen():])
	return len(icmp) >= header.ICMPLen && icmp.IsQuery()
}

// singleHost reports whether the address can be that of one host: not this
// network, loopback, multicast, reserved or broadcast.
func singleHost(a uint32) bool {
	top := a >> 24
	return top != 0 && top != 127 && top < 224
}

// Error makes out the error m about p, from the address src of ours to the sender
// of p, in buf, which out then owns. p should be as its sender knows it, not yet
// translated; it is only read. The caller has asked Answerable and a Limiter. It
// reports false, and leaves out alone, if buf is shorter than ErrorBuffer.
func Error(out *packet.Packet, buf []byte, p *packet.Packet, m Message, src uint32) bool {
	if len(buf) < ErrorBuffer {
		return false
	}
	quote := p.Buf[p.L3:p.L3End]
	quote = quote[:min(len(quote), MaxQuote)]
	copy(buf[packet.Headroom+headers:], quote)
	*out = packet.Packet{Buf: buf, L3: packet.Headroom, L3End: packet.Headroom + headers + uint32(len(quote)), Time: p.Time}
	seal(out, m, src, header.IPv4(quote).Src())
	return true
}

// seal writes the IPv4 and ICMP headers of an error in front of the quote, which
// ends at L3End, and sets the remaining indexes.
func seal(p *packet.Packet, m Message, src, dst uint32) {
	p.L4 = p.L3 + header.IPv4Len
	p.Start, p.End = p.L3, p.L3End
	h := header.IPv4(p.Buf[p.L3:p.L4])
	clear(h)
	h[0] = 0x45
	h.SetTOS(control)
	h.SetTotalLen(int(p.L3End - p.L3))
	h.SetFragment(header.DontFragment) // never repeated, never cut: needs no ID (RFC 6864)
	h.SetTTL(ttl)
	h.SetProtocol(flow.ICMP)
	h.SetSrc(src)
	h.SetDst(dst)
	h.SetChecksum(checksum.Of(h))
	icmp := header.ICMP(p.Buf[p.L4:p.L3End])
	icmp.SetType(uint8(m >> 40))
	icmp.SetCode(uint8(m >> 32))
	icmp.SetID(uint16(m >> 16))
	icmp.SetSeq(uint16(m))
	icmp.SetChecksum(0)
	icmp.SetChecksum(checksum.Of(icmp))
}

// Reword makes the error p another one in place: the message m from src to dst
// that quotes what p has at quote, an index into Buf, up to end. Headers before it
// go; at least 28 bytes must come before quote.
func Reword(p *packet.Packet, quote, end uint32, m Message, src, dst uint32) {
	p.L3, p.L3End = quote-headers, min(end, quote+MaxQuote)
	p.Offload = packet.Offload{}
	seal(p, m, src, dst)
}

// EchoReply turns the echo request p into the reply to it, in place, without its
// link header. It reports false, and changes nothing, if p is no whole echo request
// with a correct checksum, or not from a single host. Data, identifier, TOS and
// options are as in the request (RFC 1122 section 3.2.2.6).
func EchoReply(p *packet.Packet) bool {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	if h.Protocol() != flow.ICMP || h.IsFragment() || !singleHost(h.Src()) || !singleHost(h.Dst()) {
		return false
	}
	ihl := h.HeaderLen()
	icmp := header.ICMP(h[ihl:])
	if len(icmp) < header.ICMPLen || icmp.Type() != header.ICMPEcho || icmp.Code() != 0 || checksum.Of(icmp) != 0 {
		return false
	}
	icmp.SetType(header.ICMPEchoReply)
	icmp.SetChecksum(checksum.Apply(icmp.Checksum(), checksum.Delta16(header.ICMPEcho<<8, 0)))
	src, dst := h.Src(), h.Dst()
	h.SetSrc(dst)
	h.SetDst(src)
	h.SetTTL(ttl)
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(h[:ihl]))
	p.Start, p.End = p.L3, p.L3End
	return true
}
