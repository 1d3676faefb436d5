package pcap

import (
	"encoding/binary"

	"openvra/dataplane/header"
)

// LinkType says what a captured frame starts with (www.tcpdump.org/linktypes.html).
type LinkType uint16

// Link types that are read. The raw ones are bare IP packets; 12 and 14 are what
// some BSDs write for 101.
const (
	Ethernet     LinkType = 1
	rawBSD       LinkType = 12
	rawOpenBSD   LinkType = 14
	RawIP        LinkType = 101
	LinuxCooked  LinkType = 113
	RawIPv4      LinkType = 228
	RawIPv6      LinkType = 229
	LinuxCooked2 LinkType = 276
)

// Lengths of the Linux cooked headers, in bytes.
//
//	1: 0 kind | 2 hardware | 4 address length | 6 address | 14 protocol
//	2: 0 protocol | 2 reserved | 4 interface | 8 hardware | 10 kind | 11 address length | 12 address
const (
	cookedLen  = 16
	cooked2Len = 20
)

func (l LinkType) known() bool {
	switch l {
	case Ethernet, rawBSD, rawOpenBSD, RawIP, LinuxCooked, RawIPv4, RawIPv6, LinuxCooked2:
		return true
	}
	return false
}

// SyntheticSource is the source MAC address of frames that came without one.
var SyntheticSource = [6]byte{0x02}

// AppendFrame appends the frame to dst as a port takes it, and reports false,
// appending nothing, if it cannot be one.
//
// A port of bare IP packets (l3) gets Ethernet and cooked frames without their
// header and up to two VLAN tags; what is not IP is none of its frames. An Ethernet
// port gets cooked and raw ones with a header to mac from SyntheticSource.
func (r *Record) AppendFrame(dst []byte, l3 bool, mac [6]byte) ([]byte, bool) {
	if r.Link == Ethernet && !l3 {
		return append(dst, r.Data...), len(r.Data) >= header.EthernetLen
	}
	typ, packet, ok := r.strip()
	if !ok {
		return dst, false
	}
	if l3 {
		typ, packet = untag(typ, packet)
		if typ != header.TypeIPv4 && typ != header.TypeIPv6 {
			return dst, false
		}
		return append(dst, packet...), len(packet) > 0
	}
	dst = append(dst, mac[:]...)
	dst = append(dst, SyntheticSource[:]...)
	dst = binary.BigEndian.AppendUint16(dst, typ)
	return append(dst, packet...), true
}

// strip returns the EtherType of the frame and what follows its header.
func (r *Record) strip() (typ uint16, packet []byte, ok bool) {
	d := r.Data
	be := binary.BigEndian
	switch r.Link {
	case Ethernet:
		if len(d) >= header.EthernetLen {
			return be.Uint16(d[12:]), d[header.EthernetLen:], true
		}
	case LinuxCooked:
		if len(d) >= cookedLen {
			return be.Uint16(d[14:]), d[cookedLen:], true
		}
	case LinuxCooked2:
		if len(d) >= cooked2Len {
			return be.Uint16(d), d[cooked2Len:], true
		}
	default:
		if len(d) > 0 && d[0]>>4 == 4 {
			return header.TypeIPv4, d, true
		}
		if len(d) > 0 && d[0]>>4 == 6 {
			return header.TypeIPv6, d, true
		}
	}
	return 0, nil, false
}

// untag takes off up to two VLAN tags.
func untag(typ uint16, b []byte) (uint16, []byte) {
	for range 2 {
		if typ != header.TypeVLAN && typ != header.TypeQinQ || len(b) < header.VLANLen {
			break
		}
		typ, b = binary.BigEndian.Uint16(b[2:]), b[header.VLANLen:]
	}
	return typ, b
}
