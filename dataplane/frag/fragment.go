package frag

import (
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// assemble puts the waiting fragments of d and p together: the header of the first
// fragment and everybody's payload. The caller has seen that they are complete. It
// returns nil if the packet would be too long, or if one fragment carries a
// congestion mark that another cannot (RFC 3168 section 5.3).
func assemble(d *datagram, p *packet.Packet) *packet.Packet {
	first, marks := p, 1<<(header.IPv4(p.Buf[p.L3:]).TOS()&3)
	for _, q := range d.held {
		if offset(q) == 0 {
			first = q
		}
		marks |= 1 << (header.IPv4(q.Buf[q.L3:]).TOS() & 3)
	}
	head := header.IPv4(first.Buf[first.L3:])
	ihl := head.HeaderLen()
	total := ihl + int(d.total)
	const notECT, ce = 1 << 0, 1 << 3
	if total > 0xffff || marks&(notECT|ce) == notECT|ce {
		return nil
	}
	w := &packet.Packet{Buf: make([]byte, packet.Headroom+total+64), Start: packet.Headroom, L3: packet.Headroom,
		VLANs: first.VLANs, Time: p.Time, Port: first.Port}
	w.L4 = w.L3 + uint32(ihl)
	w.L3End = w.L3 + uint32(total)
	w.End = w.L3End
	h := header.IPv4(w.Buf[w.L3:w.L3End])
	copy(h, head[:ihl])
	for _, q := range d.held {
		copy(h[ihl+offset(q)*8:], payload(q))
	}
	copy(h[ihl+offset(p)*8:], payload(p))
	if marks&ce != 0 {
		h.SetTOS(h.TOS() | 3)
	}
	h.SetTotalLen(total)
	h.SetFragment(h.Fragment() & header.DontFragment)
	seal(h)
	return w
}

// payload returns what follows the IPv4 header.
func payload(p *packet.Packet) []byte {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	return h[h.HeaderLen():]
}

func seal(h header.IPv4) {
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(h[:h.HeaderLen()]))
}

// Pieces returns how many fragments Fragment makes of p for an MTU in bytes, or 0
// if it can make none.
func Pieces(p *packet.Packet, mtu int) int {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	ihl := h.HeaderLen()
	first, later := (mtu-ihl)&^7, (mtu-header.IPv4Len-copied(nil, h[header.IPv4Len:ihl]))&^7
	if first < 8 || later < 8 {
		return 0
	}
	return 1 + max(0, len(h)-ihl-first+later-1)/later
}

// Fragment cuts the IPv4 packet p into fragments of at most mtu bytes, in order,
// without link headers (RFC 791 section 3.2). They go to out, each to the Buf that
// is there, which must hold packet.Headroom and mtu bytes; the number of them is
// returned: Pieces(p, mtu) if out is long enough. The rest of each is set from p,
// which is not changed and may be a fragment itself.
//
// The reason is drop.FragmentNeeded if p may not be fragmented: the caller sends
// ICMP 3/4 (RFC 1191); drop.FragmentMalformed if p is a fragment past the end of
// any datagram; drop.MTUExceeded if out, a Buf or mtu is too small, or if p is a
// super-packet or its checksum unfinished, which must be mended before.
func Fragment(p *packet.Packet, mtu int, out []packet.Packet) (int, drop.Reason) {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	n := Pieces(p, mtu)
	switch {
	case h.Fragment()&header.DontFragment != 0:
		return 0, drop.FragmentNeeded
	case int(h.Fragment()&header.FragmentOffset)*8+len(h) > 0xffff:
		return 0, drop.FragmentMalformed
	case n == 0 || n > len(out) || p.Offload.Flags&packet.NeedsChecksum != 0 || p.Offload.GSOType != packet.GSONone:
		return 0, drop.MTUExceeded
	}
	ihl := h.HeaderLen()
	rest, field := h[ihl:], h.Fragment()
	for i := range n {
		f := &out[i]
		if len(f.Buf) < packet.Headroom+mtu {
			return 0, drop.MTUExceeded
		}
		*f = packet.Packet{Buf: f.Buf, Start: packet.Headroom, L3: packet.Headroom, VLANs: p.VLANs, Time: p.Time,
			Port: p.Port, Out: p.Out, DriverPrivate: f.DriverPrivate}
		g := header.IPv4(f.Buf[f.L3:])
		copy(g, h[:header.IPv4Len])
		length := ihl
		if i == 0 {
			copy(g[header.IPv4Len:], h[header.IPv4Len:ihl])
		} else {
			length = header.IPv4Len + copied(g[header.IPv4Len:], h[header.IPv4Len:ihl])
		}
		g[0] = 0x40 | byte(length/4)
		size, more := (mtu-length)&^7, uint16(header.MoreFragments)
		if size >= len(rest) {
			size, more = len(rest), field&header.MoreFragments
		}
		copy(g[length:], rest[:size])
		g.SetTotalLen(length + size)
		g.SetFragment(field&header.FragmentOffset | more)
		seal(g)
		f.L4 = f.L3 + uint32(length)
		f.L3End = f.L4 + uint32(size)
		f.End = f.L3End
		rest, field = rest[size:], field+uint16(size/8)
	}
	return n, drop.None
}

// copied writes the options that every fragment carries, the ones with the copied
// flag (RFC 791 section 3.1), to b, padded to four bytes, and returns their length.
// Without b it only counts.
func copied(b, options []byte) int {
	n := 0
	for len(options) > 0 && options[0] != 0 {
		size := 1
		if options[0] != 1 {
			if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
				break
			}
			size = int(options[1])
		}
		if options[0]&0x80 != 0 {
			if b != nil {
				copy(b[n:], options[:size])
			}
			n += size
		}
		options = options[size:]
	}
	for ; n%4 != 0; n++ {
		if b != nil {
			b[n] = 0
		}
	}
	return n
}
