// Hot path: called for every ICMP error.

package icmp

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// A Quote is the packet that an ICMP error quotes.
type Quote struct {
	// Key is the flow of the quoted packet as it stands there: the direction
	// opposite to the error's.
	Key flow.Key
	// IP and L4 are indexes into Buf of the quoted headers. End is where the quote
	// ends: what follows is padding or extensions (RFC 4884).
	IP, L4, End uint32
}

// ParseQuote reads the quote of p, a parsed packet of an ICMP error that is no
// fragment, and names its flow in the realm. It returns why it cannot be read, or
// drop.None. RFC 5508 REQ-3: the checksums of the error and of the quoted IPv4
// header must be right, quoted options are skipped, the quoted transport checksum
// is never judged. At least 8 bytes of transport header must be there (RFC 792).
func ParseQuote(p *packet.Packet, realm uint16) (Quote, drop.Reason) {
	if p.L3End < p.L4+header.ICMPLen {
		return Quote{}, drop.ICMPMalformed
	}
	icmp := header.ICMP(p.Buf[p.L4:p.L3End])
	if !icmp.IsError() {
		return Quote{}, drop.ICMPMalformed
	}
	if checksum.Of(icmp) != 0 {
		return Quote{}, drop.ICMPChecksum
	}
	h := header.IPv4(icmp[header.ICMPLen:quoteEnd(icmp)])
	if len(h) < header.IPv4Len || h.Version() != 4 {
		return Quote{}, drop.ICMPMalformed
	}
	ihl, total := h.HeaderLen(), h.TotalLen()
	if ihl < header.IPv4Len || total < ihl+8 || len(h) < ihl+8 {
		return Quote{}, drop.ICMPMalformed
	}
	if checksum.Of(h[:ihl]) != 0 {
		return Quote{}, drop.ICMPChecksum
	}
	q := Quote{IP: p.L4 + header.ICMPLen}
	q.L4 = q.IP + uint32(ihl)
	q.End = q.IP + uint32(min(total, len(h)))
	sport, dport, reason := quotedPorts(h, h[ihl:])
	q.Key = flow.Make(h.Src(), h.Dst(), sport, dport, h.Protocol(), realm)
	return q, reason
}

// quoteEnd returns where the quote ends by the length field of RFC 4884 section 4,
// in bytes from the ICMP header. Without the field, or with one that makes no
// sense, everything is the quote.
func quoteEnd(icmp header.ICMP) int {
	switch icmp.Type() {
	case header.ICMPUnreachable, header.ICMPTimeExceeded, header.ICMPParameter:
		if n := header.ICMPLen + 4*int(icmp[5]); n > header.ICMPLen && n < len(icmp) {
			return n
		}
	}
	return len(icmp)
}

// quotedPorts returns the ports of the quoted packet h with transport header l4,
// of which at least 8 bytes are there.
func quotedPorts(h header.IPv4, l4 []byte) (sport, dport uint16, reason drop.Reason) {
	switch h.Protocol() {
	case flow.TCP, flow.UDP:
		if h.IsLaterFragment() {
			return 0, 0, drop.ICMPErrorUnmatched
		}
		return header.UDP(l4).SrcPort(), header.UDP(l4).DstPort(), drop.None
	case flow.ICMP:
		icmp := header.ICMP(l4)
		if h.IsLaterFragment() {
			return 0, 0, drop.ICMPErrorUnmatched
		}
		if !icmp.IsQuery() {
			return 0, 0, drop.ICMPMalformed // an error about an error
		}
		return icmp.ID(), icmp.ID(), drop.None
	}
	return 0, 0, drop.None
}

// RewriteQuote makes the quoted packet one of the flow to, whose protocol must be
// that of q.Key, and corrects the quoted checksums of the IPv4 header and, where
// the quote holds it, of the transport header, and then the error's own. Checksums
// that were wrong stay wrong. RFC 5508 REQ-4. The error's own addresses are not
// touched. q.Key is updated.
func RewriteQuote(p *packet.Packet, q *Quote, to flow.Key) {
	h := header.IPv4(p.Buf[q.IP:q.End])
	l4 := p.Buf[q.L4:q.End]
	from := q.Key
	addrs := checksum.Add(checksum.Delta32(from.Src(), to.Src()), checksum.Delta32(from.Dst(), to.Dst()))
	var ports uint16
	h.SetSrc(to.Src())
	h.SetDst(to.Dst())
	switch from.Proto() {
	case flow.TCP, flow.UDP:
		header.UDP(l4).SetSrcPort(to.SrcPort())
		header.UDP(l4).SetDstPort(to.DstPort())
		ports = checksum.Add(checksum.Delta16(from.SrcPort(), to.SrcPort()), checksum.Delta16(from.DstPort(), to.DstPort()))
	case flow.ICMP:
		header.ICMP(l4).SetID(to.SrcPort())
		ports = checksum.Delta16(from.SrcPort(), to.SrcPort())
	}
	was := h.Checksum()
	h.SetChecksum(checksum.Apply(was, addrs))
	delta := checksum.Add(addrs, checksum.Delta16(was, h.Checksum()))
	delta = checksum.Add(delta, ports)
	delta = checksum.Add(delta, rewriteSum(from.Proto(), l4, addrs, ports))
	icmp := header.ICMP(p.Buf[p.L4:p.L3End])
	icmp.SetChecksum(checksum.Apply(icmp.Checksum(), delta))
	q.Key = to
}

// rewriteSum corrects the quoted transport checksum, if it is there, and returns
// the delta of doing so.
func rewriteSum(proto uint8, l4 []byte, addrs, ports uint16) uint16 {
	at, delta := 0, checksum.Add(addrs, ports)
	switch proto {
	case flow.TCP:
		at = 16
	case flow.UDP:
		at = 6
		if header.UDP(l4).Checksum() == 0 {
			return 0 // none was sent (RFC 768)
		}
	case flow.ICMP:
		at, delta = 2, ports // no pseudo-header
	default:
		return 0
	}
	if len(l4) < at+2 {
		return 0
	}
	was := uint16(l4[at])<<8 | uint16(l4[at+1])
	sum := checksum.Apply(was, delta)
	if proto == flow.UDP && sum == 0 {
		sum = 0xffff
	}
	l4[at], l4[at+1] = byte(sum>>8), byte(sum)
	return checksum.Delta16(was, sum)
}
