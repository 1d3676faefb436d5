package tunnel

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/icmp"
	"openvra/dataplane/packet"
)

// A Report is what an ICMP error about an outer packet of ours means.
type Report struct {
	// Relay says whether the inner source is to be told Message.
	Relay   bool
	Message icmp.Message
	// MTU is the outer path MTU to Learn, in bytes, or 0.
	MTU uint16
	// Down says that the peer cannot be reached: Fail.
	Down bool
}

// Concerns returns the peer that the quoted packet of an ICMP error was
// encapsulated for, if the packet was ours.
func (t *Tunnel) Concerns(quoted flow.Key) (*Peer, bool) {
	if quoted.Proto() != flow.IPIP || quoted.Src() != t.Local {
		return nil, false
	}
	return t.hosts.get(quoted.Dst())
}

// ReadError returns what the ICMP error of p means, q being its quote of an outer
// packet (RFC 2003 section 4). What tells of the tunnel's inside is no news to the
// inner source beyond "unreachable"; what only the encapsulator can mend is kept.
func ReadError(p *packet.Packet, q *icmp.Quote) Report {
	h := header.ICMP(p.Buf[p.L4:p.L3End])
	outer := header.IPv4(p.Buf[q.IP:q.L4])
	unreachable := Report{Relay: true, Message: icmp.HostUnreachable, Down: true}
	switch h.Type() {
	case header.ICMPUnreachable:
		switch h.Code() {
		case header.UnreachablePort, sourceRouteFailed:
			return Report{}
		case header.UnreachableFragNeeded:
			mtu, ok := PathMTU(h.MTU(), outer.TotalLen())
			if !ok {
				return Report{}
			}
			return Report{Relay: true, Message: icmp.FragNeeded(int(mtu) - Overhead), MTU: mtu}
		}
		return unreachable
	case header.ICMPTimeExceeded:
		// Code 0 is a loop inside the tunnel; 1 a fragment that the peer missed,
		// which is there.
		unreachable.Down = h.Code() == 0
		return unreachable
	case header.ICMPParameter:
		pointer, ihl := int(h.ID()>>8), outer.HeaderLen()
		if h.Code() == 0 && pointer >= ihl {
			return Report{Relay: true, Message: icmp.Parameter(uint8(pointer - ihl))}
		}
	}
	return Report{}
}

// sourceRouteFailed is code 5 of ICMPUnreachable.
const sourceRouteFailed = 5

// RelayError turns p, an ICMP error about an outer packet, into the error of r
// about the inner packet, from the address from to the inner source, in place and
// without a link header. It reports false, and changes nothing, if the quote holds
// too little of the inner packet to say what it was: its header and 8 bytes. The
// source is the one on the tunnel's side; translations, if any, are undone by the
// session that the new error's quote belongs to.
func RelayError(p *packet.Packet, q *icmp.Quote, r Report, from uint32) bool {
	inner := header.IPv4(p.Buf[q.L4:q.End])
	if !r.Relay || len(inner) < header.IPv4Len || inner.Version() != 4 {
		return false
	}
	ihl := inner.HeaderLen()
	if ihl < header.IPv4Len || len(inner) < ihl+8 || checksum.Of(inner[:ihl]) != 0 {
		return false
	}
	icmp.Reword(p, q.L4, q.End, r.Message, from, inner.Src())
	return true
}
