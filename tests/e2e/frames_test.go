package e2e

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/tools/lab"
)

// pick returns the layers of type T of the frames that have one for which want holds.
func pick[T gopacket.Layer](frames []lab.Frame, typ gopacket.LayerType, want func(lab.Frame, T) bool) []T {
	var all []T
	for _, f := range frames {
		p := gopacket.NewPacket(f.Bytes, layers.LayerTypeEthernet, gopacket.NoCopy)
		if layer, ok := p.Layer(typ).(T); ok && want(f, layer) {
			all = append(all, layer)
		}
	}
	return all
}

// icmpFrames returns the ICMP messages of a type.
func icmpFrames(frames []lab.Frame, typ uint8) []*layers.ICMPv4 {
	return pick(frames, layers.LayerTypeICMPv4, func(_ lab.Frame, m *layers.ICMPv4) bool { return m.TypeCode.Type() == typ })
}

// arpReplies returns the ARP replies for an address.
func arpReplies(frames []lab.Frame, addr netip.Addr) []*layers.ARP {
	return pick(frames, layers.LayerTypeARP, func(_ lab.Frame, a *layers.ARP) bool {
		return a.Operation == layers.ARPReply && [4]byte(a.SourceProtAddress) == addr.As4()
	})
}

// segmentsFrom returns the TCP segments that came from a port.
func segmentsFrom(frames []lab.Frame, port uint16) []*layers.TCP {
	return pick(frames, layers.LayerTypeTCP, func(_ lab.Frame, s *layers.TCP) bool { return uint16(s.SrcPort) == port })
}
