package golden

import (
	"fmt"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/tools/pcapdiff"
)

// tell describes a packet: what pcapdiff says, and in brackets what a gateway is likely
// to change or to get wrong besides.
func tell(p pcapdiff.Packet) string {
	words := pcapdiff.Describe(p)
	var marks []string
	packet := gopacket.NewPacket(p.Data, p.Link, gopacket.NoCopy)
	for _, l := range packet.Layers() {
		if l.LayerType() == layers.LayerTypeGRE {
			break // the cases have it as a protocol that is not looked into
		}
		if m := mark(l); m != "" {
			marks = append(marks, m)
		}
	}
	if marks == nil {
		return words
	}
	return words + " [" + strings.Join(marks, ", ") + "]"
}

// mark is what tell says of a layer.
func mark(l gopacket.Layer) string {
	switch l := l.(type) {
	case *layers.Ethernet: // the end of the next hop's address
		return fmt.Sprintf("to %02x:%02x", l.DstMAC[4], l.DstMAC[5])
	case *layers.Dot1Q:
		return fmt.Sprintf("vlan %d", l.VLANIdentifier)
	case *layers.IPv4:
		s := fmt.Sprintf("ttl %d, %d bytes", l.TTL, l.Length)
		if l.TOS != 0 {
			s += fmt.Sprintf(", tos %02x", l.TOS)
		}
		if l.FragOffset != 0 {
			s += fmt.Sprintf(", from byte %d", l.FragOffset*8)
		}
		if l.Flags&layers.IPv4MoreFragments != 0 {
			s += ", more"
		}
		return s
	case *layers.TCP:
		for _, o := range l.Options {
			if o.OptionType == layers.TCPOptionKindMSS {
				return fmt.Sprintf("mss %d", int(o.OptionData[0])<<8|int(o.OptionData[1]))
			}
		}
	case *layers.ICMPv4:
		switch l.TypeCode.Type() {
		case layers.ICMPv4TypeEchoRequest, layers.ICMPv4TypeEchoReply:
			return fmt.Sprintf("id %d", l.Id)
		case layers.ICMPv4TypeDestinationUnreachable:
			if l.Seq != 0 {
				return fmt.Sprintf("mtu %d", l.Seq)
			}
		}
	}
	return ""
}
