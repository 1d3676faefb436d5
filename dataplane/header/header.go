// Package header names the bytes of the headers that the path reads and writes.
//
// A header is a view: a byte slice whose length the caller has checked. Getters
// and setters do not check again; a short view panics, which parse rules out.
package header

import "encoding/binary"

// Lengths in bytes, without options.
const (
	EthernetLen = 14
	VLANLen     = 4
	ARPLen      = 28
	IPv4Len     = 20
	TCPLen      = 20
	UDPLen      = 8
	ICMPLen     = 8
)

// EtherTypes.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100
	TypeIPv6 = 0x86dd
	TypeQinQ = 0x88a8
)

var be = binary.BigEndian

// Ethernet is the view of an Ethernet II header.
type Ethernet []byte

func (h Ethernet) Dst() []byte      { return h[0:6] }
func (h Ethernet) Src() []byte      { return h[6:12] }
func (h Ethernet) Type() uint16     { return be.Uint16(h[12:]) }
func (h Ethernet) SetType(t uint16) { be.PutUint16(h[12:], t) }

// IPv4 is the view of an IPv4 header (RFC 791 section 3.1).
//
//	0 version IHL | 1 TOS | 2 total length | 4 identification | 6 flags, offset
//	8 TTL | 9 protocol | 10 checksum | 12 source | 16 destination
type IPv4 []byte

// Bits of the flags and offset field.
const (
	DontFragment   = 0x4000
	MoreFragments  = 0x2000
	FragmentOffset = 0x1fff // in units of 8 bytes
)

func (h IPv4) Version() uint8        { return h[0] >> 4 }
func (h IPv4) HeaderLen() int        { return int(h[0]&15) * 4 }
func (h IPv4) TOS() uint8            { return h[1] }
func (h IPv4) TotalLen() int         { return int(be.Uint16(h[2:])) }
func (h IPv4) ID() uint16            { return be.Uint16(h[4:]) }
func (h IPv4) Fragment() uint16      { return be.Uint16(h[6:]) }
func (h IPv4) TTL() uint8            { return h[8] }
func (h IPv4) Protocol() uint8       { return h[9] }
func (h IPv4) Checksum() uint16      { return be.Uint16(h[10:]) }
func (h IPv4) Src() uint32           { return be.Uint32(h[12:]) }
func (h IPv4) Dst() uint32           { return be.Uint32(h[16:]) }
func (h IPv4) SetTOS(v uint8)        { h[1] = v }
func (h IPv4) SetTotalLen(n int)     { be.PutUint16(h[2:], uint16(n)) }
func (h IPv4) SetID(v uint16)        { be.PutUint16(h[4:], v) }
func (h IPv4) SetFragment(v uint16)  { be.PutUint16(h[6:], v) }
func (h IPv4) SetTTL(v uint8)        { h[8] = v }
func (h IPv4) SetProtocol(v uint8)   { h[9] = v }
func (h IPv4) SetChecksum(v uint16)  { be.PutUint16(h[10:], v) }
func (h IPv4) SetSrc(a uint32)       { be.PutUint32(h[12:], a) }
func (h IPv4) SetDst(a uint32)       { be.PutUint32(h[16:], a) }
func (h IPv4) IsFragment() bool      { return h.Fragment()&(MoreFragments|FragmentOffset) != 0 }
func (h IPv4) IsLaterFragment() bool { return h.Fragment()&FragmentOffset != 0 }

// TCP is the view of a TCP header (RFC 9293 section 3.1).
type TCP []byte

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

func (h TCP) SrcPort() uint16      { return be.Uint16(h[0:]) }
func (h TCP) DstPort() uint16      { return be.Uint16(h[2:]) }
func (h TCP) Seq() uint32          { return be.Uint32(h[4:]) }
func (h TCP) Ack() uint32          { return be.Uint32(h[8:]) }
func (h TCP) HeaderLen() int       { return int(h[12]>>4) * 4 }
func (h TCP) Flags() uint8         { return h[13] }
func (h TCP) Window() uint16       { return be.Uint16(h[14:]) }
func (h TCP) Checksum() uint16     { return be.Uint16(h[16:]) }
func (h TCP) SetSrcPort(v uint16)  { be.PutUint16(h[0:], v) }
func (h TCP) SetDstPort(v uint16)  { be.PutUint16(h[2:], v) }
func (h TCP) SetSeq(v uint32)      { be.PutUint32(h[4:], v) }
func (h TCP) SetAck(v uint32)      { be.PutUint32(h[8:], v) }
func (h TCP) SetFlags(v uint8)     { h[13] = v }
func (h TCP) SetChecksum(v uint16) { be.PutUint16(h[16:], v) }

// UDP is the view of a UDP header (RFC 768).
type UDP []byte

func (h UDP) SrcPort() uint16      { return be.Uint16(h[0:]) }
func (h UDP) DstPort() uint16      { return be.Uint16(h[2:]) }
func (h UDP) Length() int          { return int(be.Uint16(h[4:])) }
func (h UDP) Checksum() uint16     { return be.Uint16(h[6:]) }
func (h UDP) SetSrcPort(v uint16)  { be.PutUint16(h[0:], v) }
func (h UDP) SetDstPort(v uint16)  { be.PutUint16(h[2:], v) }
func (h UDP) SetLength(n int)      { be.PutUint16(h[4:], uint16(n)) }
func (h UDP) SetChecksum(v uint16) { be.PutUint16(h[6:], v) }

// ICMP is the view of an ICMP header (RFC 792).
type ICMP []byte

// ICMP types.
const (
	ICMPEchoReply       = 0
	ICMPUnreachable     = 3
	ICMPSourceQuench    = 4
	ICMPRedirect        = 5
	ICMPEcho            = 8
	ICMPTimeExceeded    = 11
	ICMPParameter       = 12
	ICMPTimestamp       = 13
	ICMPTimestampReply  = 14
	ICMPAddressMask     = 17
	ICMPAddressMaskRply = 18
)

// Codes of ICMPUnreachable.
const (
	UnreachableNet        = 0
	UnreachableHost       = 1
	UnreachableProtocol   = 2
	UnreachablePort       = 3
	UnreachableFragNeeded = 4
	UnreachableProhibited = 13
)

func (h ICMP) Type() uint8          { return h[0] }
func (h ICMP) Code() uint8          { return h[1] }
func (h ICMP) Checksum() uint16     { return be.Uint16(h[2:]) }
func (h ICMP) ID() uint16           { return be.Uint16(h[4:]) }
func (h ICMP) Seq() uint16          { return be.Uint16(h[6:]) }
func (h ICMP) MTU() uint16          { return be.Uint16(h[6:]) } // RFC 1191 section 4
func (h ICMP) SetType(v uint8)      { h[0] = v }
func (h ICMP) SetCode(v uint8)      { h[1] = v }
func (h ICMP) SetChecksum(v uint16) { be.PutUint16(h[2:], v) }
func (h ICMP) SetID(v uint16)       { be.PutUint16(h[4:], v) }
func (h ICMP) SetSeq(v uint16)      { be.PutUint16(h[6:], v) }
func (h ICMP) SetMTU(v uint16)      { be.PutUint16(h[6:], v) }

// IsError says whether the type reports an error and quotes a packet.
func (h ICMP) IsError() bool {
	switch h[0] {
	case ICMPUnreachable, ICMPSourceQuench, ICMPRedirect, ICMPTimeExceeded, ICMPParameter:
		return true
	}
	return false
}

// IsQuery says whether the type is a query or the answer to one, with an
// identifier at byte 4.
func (h ICMP) IsQuery() bool {
	switch h[0] {
	case ICMPEcho, ICMPEchoReply, ICMPTimestamp, ICMPTimestampReply, ICMPAddressMask, ICMPAddressMaskRply:
		return true
	}
	return false
}

// ARP is the view of an ARP packet for IPv4 over Ethernet (RFC 826).
type ARP []byte

// ARP opcodes.
const (
	ARPRequest = 1
	ARPReply   = 2
)

func (h ARP) HardwareType() uint16 { return be.Uint16(h[0:]) }
func (h ARP) ProtocolType() uint16 { return be.Uint16(h[2:]) }
func (h ARP) HardwareLen() uint8   { return h[4] }
func (h ARP) ProtocolLen() uint8   { return h[5] }
func (h ARP) Opcode() uint16       { return be.Uint16(h[6:]) }
func (h ARP) SenderMAC() []byte    { return h[8:14] }
func (h ARP) SenderIP() uint32     { return be.Uint32(h[14:]) }
func (h ARP) TargetMAC() []byte    { return h[18:24] }
func (h ARP) TargetIP() uint32     { return be.Uint32(h[24:]) }
func (h ARP) SetOpcode(v uint16)   { be.PutUint16(h[6:], v) }
func (h ARP) SetSenderIP(a uint32) { be.PutUint32(h[14:], a) }
func (h ARP) SetTargetIP(a uint32) { be.PutUint32(h[24:], a) }

// SetFixed writes the types and lengths of IPv4 over Ethernet.
func (h ARP) SetFixed() {
	be.PutUint16(h[0:], 1)
	be.PutUint16(h[2:], TypeIPv4)
	h[4], h[5] = 6, 4
}
