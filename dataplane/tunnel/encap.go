// Hot path: called for every tunneled packet.

package tunnel

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// Overhead is what encap adds to a packet, in bytes.
const Overhead = header.IPv4Len

// Options are what an outer header has of its own. The zero value is Calico's:
// TTL from the inner packet, DSCP 0, DF from the inner packet.
type Options struct {
	// TTL of the outer header. 0 takes that of the inner packet.
	TTL uint8
	// DSCP of the outer header, 0 to 63, unless CopyDSCP.
	DSCP     uint8
	CopyDSCP bool
	// SetDF sets don't-fragment where the inner packet's is clear. A packet that
	// may not be fragmented is never carried by one that may (RFC 2003 3.1).
	SetDF bool
}

// Encap puts an outer header from src to dst before the IPv4 packet of p and drops
// what was before it (the link header) and after it (link padding). id is the
// outer packet's identification; RFC 6864 asks that it does not repeat between the
// pair within a datagram's life where DF is clear.
//
// The inner packet must be parsed and whole, its TTL already lowered; a
// super-packet must be cut before. Unfinished checksums stay unfinished: they are
// found by their index. If the reason is not drop.None, p is as it was.
func Encap(p *packet.Packet, src, dst uint32, id uint16, o *Options) drop.Reason {
	inner := header.IPv4(p.Buf[p.L3:p.L3End])
	total := len(inner) + Overhead
	switch {
	case inner.TTL() == 0:
		return drop.TTLExceeded
	case inner.Protocol() == flow.IPIP:
		return drop.TunnelNested
	case total > 0xffff || p.L3 < Overhead:
		return drop.MTUExceeded
	}
	ttl, df := o.TTL, inner.Fragment()&header.DontFragment
	if ttl == 0 {
		ttl = inner.TTL()
	}
	if o.SetDF {
		df = header.DontFragment
	}
	p.L4 = p.L3
	p.L3 -= Overhead
	p.Start, p.End = p.L3, p.L3End
	h := header.IPv4(p.Buf[p.L3:p.L4])
	tos := outerTOS(inner.TOS(), o)
	h[0] = 0x45
	h.SetTOS(tos)
	h.SetTotalLen(total)
	h.SetID(id)
	h.SetFragment(df)
	h.SetTTL(ttl)
	h.SetProtocol(flow.IPIP)
	h.SetSrc(src)
	h.SetDst(dst)
	// The header's words are at hand: cheaper than reading them back.
	sum := checksum.Pseudo(src, dst, flow.IPIP, total) + 0x4500 + uint64(tos) + uint64(id) + uint64(df) + uint64(ttl)<<8
	h.SetChecksum(^checksum.Fold(sum))
	return drop.None
}

// Decap takes the outer header off p and puts the inner packet in its place, with
// both headers' ECN. Link padding goes. The outer header must be parsed, its
// protocol IP in IP; Accepts has said yes to it. The inner TTL is not touched: the
// forwarding that follows lowers it (RFC 2003 section 3.1). The inner header's
// checksum is not verified but kept right or wrong as it is; the gate that the
// inner packet meets next verifies it. If the reason is not drop.None, p is as it
// was.
func Decap(p *packet.Packet) drop.Reason {
	outer := header.IPv4(p.Buf[p.L3:p.L3End])
	if outer.IsFragment() {
		return drop.TunnelInnerMalformed // a part of a packet is none
	}
	at := uint32(outer.HeaderLen())
	inner := header.IPv4(outer[at:])
	if len(inner) < header.IPv4Len || inner.Version() != 4 {
		return drop.TunnelInnerMalformed
	}
	ihl, total := inner.HeaderLen(), inner.TotalLen()
	if ihl < header.IPv4Len || total < ihl || total > len(inner) {
		return drop.TunnelInnerMalformed
	}
	if inner.Protocol() == flow.IPIP {
		return drop.TunnelNested
	}
	tos, ok := innerTOS(inner.TOS(), outer.TOS())
	if !ok {
		return drop.TunnelECN
	}
	if was := inner.TOS(); was != tos {
		inner.SetTOS(tos)
		inner.SetChecksum(checksum.Apply(inner.Checksum(), checksum.Delta16(uint16(was), uint16(tos))))
	}
	cut := p.L3 + at - p.Start
	p.Offload.HdrLen -= min(p.Offload.HdrLen, uint16(cut))
	p.L3 += at
	p.Start, p.L4 = p.L3, p.L3+uint32(ihl)
	p.L3End = p.L3 + uint32(total)
	p.End = p.L3End
	return drop.None
}
