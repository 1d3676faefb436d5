package link

import (
	"encoding/binary"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// Steer returns flow.Steer of a frame as it arrives, 0 if it is not IPv4 or too
// short. Up to two VLAN tags are skipped. l3 says that the frame has no Ethernet
// header. It is what a driver with several queues chooses the queue by, modulo
// their number; the classic BPF program of af_packet computes the same.
func Steer(frame []byte, l3 bool) uint16 {
	if l3 {
		return steerIPv4(frame, true)
	}
	for at := 12; at+2 <= len(frame) && at <= 12+2*header.VLANLen; at += header.VLANLen {
		switch binary.BigEndian.Uint16(frame[at:]) {
		case header.TypeIPv4:
			return steerIPv4(frame[at+2:], true)
		case header.TypeVLAN, header.TypeQinQ:
		default:
			return 0
		}
	}
	return 0
}

// steerIPv4 steers by the IPv4 packet b; outer says that an IP-in-IP packet
// gives way to the one inside.
func steerIPv4(b []byte, outer bool) uint16 {
	if len(b) < header.IPv4Len || b[0]>>4 != 4 {
		return 0
	}
	ip := header.IPv4(b)
	if ip.IsFragment() {
		return flow.Steer(ip.Src(), ip.Dst(), 0, 0)
	}
	n := ip.HeaderLen()
	switch ip.Protocol() {
	case flow.IPIP:
		if outer {
			return steerIPv4(b[min(n, len(b)):], false)
		}
	case flow.TCP, flow.UDP:
		if len(b) < n+4 {
			return 0
		}
		ports := header.UDP(b[n:])
		return flow.Steer(ip.Src(), ip.Dst(), ports.SrcPort(), ports.DstPort())
	}
	return flow.Steer(ip.Src(), ip.Dst(), 0, 0)
}
