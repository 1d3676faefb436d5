// Hot path: called for TCP packets of sessions that clamp.

// Package mss lowers the maximum segment size that a TCP connection is opened
// with, so that what it sends fits a tunnel (RFC 6691, RFC 9293 section 3.7.1).
// Called by the packet's worker.
package mss

import (
	"encoding/binary"
	"math/bits"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// TCP option kinds.
const (
	optionEnd  = 0
	optionNop  = 1
	optionMSS  = 2
	optionSize = 4 // of the MSS option, in bytes
)

// For returns the largest segment, in bytes of TCP payload, that fits an IPv4
// packet of mtu bytes without options.
func For(mtu int) uint16 {
	return uint16(min(max(mtu-header.IPv4Len-header.TCPLen, 0), 0xffff))
}

// Clamp lowers the segment size that p offers, if p is a TCP segment with SYN, to
// max, in bytes of payload, and corrects the checksum. It reports whether it did.
// It never raises a size, adds no option, and stops at the first option that
// makes no sense. p is a parsed IPv4 packet.
func Clamp(p *packet.Packet, max uint16) bool {
	ip := header.IPv4(p.Buf[p.L3:p.L3End])
	if ip.Protocol() != flow.TCP || ip.IsLaterFragment() || p.L3End < p.L4+header.TCPLen {
		return false
	}
	tcp := header.TCP(p.Buf[p.L4:p.L3End])
	if tcp.Flags()&header.SYN == 0 || tcp.HeaderLen() > len(tcp) {
		return false
	}
	at := find(tcp)
	if at == 0 {
		return false
	}
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= max {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], max)
	if p.Offload.Flags&packet.NeedsChecksum != 0 && p.Offload.CsumStart == p.L4 {
		return true // the sum of the segment's bytes is not in the checksum yet
	}
	delta := checksum.Delta16(old, max)
	if at&1 != 0 { // the value straddles two words
		delta = bits.ReverseBytes16(delta)
	}
	tcp.SetChecksum(checksum.Apply(tcp.Checksum(), delta))
	return true
}

// find returns the index of the MSS option's value, or 0 if there is none.
func find(tcp header.TCP) int {
	for at, end := header.TCPLen, tcp.HeaderLen(); at < end; {
		switch tcp[at] {
		case optionEnd:
			return 0
		case optionNop:
			at++
			continue
		}
		if at+1 >= end {
			return 0
		}
		size := int(tcp[at+1])
		if size < 2 || at+size > end {
			return 0
		}
		if tcp[at] == optionMSS {
			if size != optionSize {
				return 0
			}
			return at + 2
		}
		at += size
	}
	return 0
}
