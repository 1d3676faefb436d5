package pcapdiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A field is one named part of a packet: a value as people read it or, where octets
// is set, bytes without a meaning of their own.
type field struct {
	name, value string
	octets      []byte
}

// A view is a packet taken apart.
type view struct {
	Packet
	fields []field
}

// maxLayers bounds how deep headers inside headers are followed.
const maxLayers = 8

// A walker takes a packet apart. Each method reads one header from the start of data,
// adds its fields and goes on with what the header carries. What cannot be read is
// bytes.
type walker struct {
	fields []field
	layers []string
	prefix string // "inner." after each IP-in-IP header, "quote." in an ICMP error
}

// takeApart names p's fields. Each byte of p is in one of them, or is a checksum that
// is right.
func takeApart(p Packet) view {
	var w walker
	w.add("time", p.Time.UTC().Truncate(time.Microsecond).Format("15:04:05.000000")) // pcap has no more
	w.add("length", p.Length)
	switch p.Link {
	case layers.LinkTypeEthernet:
		w.ethernet(p.Data)
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, 12, 14: // the last two are raw IP of the BSDs
		w.network(p.Data)
	default:
		w.octets("data", p.Data)
	}
	kind := field{name: "layers", value: strings.Join(w.layers, "/")}
	return view{p, append([]field{kind, {name: "link", value: p.Link.String()}}, w.fields...)}
}

func (w *walker) add(name string, value any) {
	w.fields = append(w.fields, field{name: w.prefix + name, value: fmt.Sprint(value)})
}

func (w *walker) octets(name string, b []byte) {
	if b == nil {
		b = []byte{}
	}
	w.fields = append(w.fields, field{name: w.prefix + name, octets: b})
}

// read decodes the header at the start of data into l and says whether it could. The
// decoders of gopacket panic on some broken headers.
func (w *walker) read(name string, l gopacket.DecodingLayer, data []byte) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	if len(w.layers) >= maxLayers || l.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		return false
	}
	w.layers = append(w.layers, w.prefix+name)
	return true
}

func (w *walker) ethernet(data []byte) {
	var e layers.Ethernet
	if !w.read("ethernet", &e, data) {
		w.octets("data", data)
		return
	}
	w.add("ethernet.dst", e.DstMAC)
	w.add("ethernet.src", e.SrcMAC)
	w.add("ethernet.type", hex16(binary.BigEndian.Uint16(data[12:]))) // e has LLC for a length
	w.ethertype(binary.BigEndian.Uint16(data[12:]), data[14:], "vlan")
}

// ethertype goes on with the payload of an Ethernet or VLAN header. vlan names the
// next tag.
func (w *walker) ethertype(t uint16, data []byte, vlan string) {
	switch layers.EthernetType(t) {
	case layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ:
		var q layers.Dot1Q
		if w.read(vlan, &q, data) {
			w.add(vlan+".id", q.VLANIdentifier)
			w.add(vlan+".priority", q.Priority)
			w.add(vlan+".dropEligible", q.DropEligible)
			w.add(vlan+".type", hex16(uint16(q.Type)))
			w.ethertype(uint16(q.Type), data[4:], "inner-"+vlan)
			return
		}
	case layers.EthernetTypeARP:
		w.arp(data)
		return
	case layers.EthernetTypeIPv4:
		w.network(data)
		return
	}
	w.octets("data", data)
}

func (w *walker) arp(data []byte) {
	var a layers.ARP
	if !w.read("arp", &a, data) {
		w.octets("data", data)
		return
	}
	w.add("arp.hardware", uint16(a.AddrType))
	w.add("arp.protocol", hex16(uint16(a.Protocol)))
	w.add("arp.operation", a.Operation)
	w.add("arp.senderMAC", macOf(a.SourceHwAddress))
	w.add("arp.senderIP", ipOf(a.SourceProtAddress))
	w.add("arp.targetMAC", macOf(a.DstHwAddress))
	w.add("arp.targetIP", ipOf(a.DstProtAddress))
	w.octets("padding", data[min(len(data), len(a.Contents)):])
}

// network reads what is thought to be IPv4, to the end of the frame.
func (w *walker) network(data []byte) {
	var h layers.IPv4
	if len(data) == 0 || data[0]>>4 != 4 || !w.read("ipv4", &h, data) {
		w.octets("data", data)
		return
	}
	w.add("ipv4.tos", hex8(h.TOS))
	w.add("ipv4.length", h.Length)
	w.add("ipv4.id", h.Id)
	w.add("ipv4.flags", flagsOf(h.Flags))
	w.add("ipv4.fragment", h.FragOffset)
	w.add("ipv4.ttl", h.TTL)
	w.add("ipv4.protocol", uint8(h.Protocol))
	header := data[:int(h.IHL)*4]
	w.checksum("ipv4.checksum", h.Checksum, sum(0, header))
	w.add("ipv4.src", h.SrcIP)
	w.add("ipv4.dst", h.DstIP)
	w.octets("ipv4.options", header[20:])
	end := min(len(data), max(int(h.Length), len(header)))
	prefix := w.prefix
	w.transport(&h, data[len(header):end])
	w.prefix = prefix
	w.octets("padding", data[end:])
}

// transport reads the payload of h.
func (w *walker) transport(h *layers.IPv4, data []byte) {
	if h.FragOffset != 0 {
		w.octets("payload", data)
		return
	}
	whole := h.Flags&layers.IPv4MoreFragments == 0 && len(data) == int(h.Length)-int(h.IHL)*4
	switch h.Protocol {
	case layers.IPProtocolTCP:
		w.tcp(h, data, whole)
	case layers.IPProtocolUDP:
		w.udp(h, data, whole)
	case layers.IPProtocolICMPv4:
		w.icmp(data, whole)
	case layers.IPProtocolIPv4:
		w.prefix += "inner."
		w.network(data)
	default:
		w.octets("payload", data)
	}
}

func (w *walker) tcp(h *layers.IPv4, data []byte, whole bool) {
	var t layers.TCP
	if !w.read("tcp", &t, data) {
		w.octets("payload", data)
		return
	}
	w.add("tcp.sport", uint16(t.SrcPort))
	w.add("tcp.dport", uint16(t.DstPort))
	w.add("tcp.seq", t.Seq)
	w.add("tcp.ack", t.Ack)
	w.add("tcp.flags", tcpFlags(data[13]))
	w.add("tcp.reserved", data[12]&15)
	w.add("tcp.window", t.Window)
	w.transportChecksum("tcp.checksum", t.Checksum, h, data, whole)
	w.add("tcp.urgent", t.Urgent)
	w.octets("tcp.options", data[20:int(t.DataOffset)*4])
	w.octets("payload", t.Payload)
}

func (w *walker) udp(h *layers.IPv4, data []byte, whole bool) {
	var u layers.UDP
	if len(data) < 8 || !w.read("udp", &u, data) {
		w.octets("payload", data)
		return
	}
	w.add("udp.sport", uint16(u.SrcPort))
	w.add("udp.dport", uint16(u.DstPort))
	w.add("udp.length", u.Length)
	if u.Checksum == 0 {
		w.add("udp.checksum", "none")
	} else {
		w.transportChecksum("udp.checksum", u.Checksum, h, data, whole)
	}
	w.octets("payload", data[8:])
}

func (w *walker) icmp(data []byte, whole bool) {
	var i layers.ICMPv4
	if !w.read("icmp", &i, data) {
		w.octets("payload", data)
		return
	}
	kind := i.TypeCode.Type()
	w.add("icmp.type", kind)
	w.add("icmp.code", i.TypeCode.Code())
	if whole {
		w.checksum("icmp.checksum", i.Checksum, sum(0, data))
	} else {
		w.add("icmp.checksum", hex16(i.Checksum))
	}
	switch kind {
	case layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeTimeExceeded,
		layers.ICMPv4TypeParameterProblem, layers.ICMPv4TypeSourceQuench, layers.ICMPv4TypeRedirect:
		w.add("icmp.unused", hex16(i.Id))
		w.add("icmp.mtu", i.Seq)
		w.prefix += "quote."
		w.network(i.Payload)
		return
	}
	w.add("icmp.id", i.Id)
	w.add("icmp.seq", i.Seq)
	w.octets("payload", i.Payload)
}

func (w *walker) transportChecksum(name string, got uint16, h *layers.IPv4, data []byte, whole bool) {
	if !whole {
		w.add(name, hex16(got))
		return
	}
	pseudo := binary.BigEndian.AppendUint16(bytes.Join([][]byte{h.SrcIP, h.DstIP, {0, byte(h.Protocol)}}, nil), uint16(len(data)))
	w.checksum(name, got, sum(sum(0, pseudo), data))
}

// checksum adds a checksum that is "right", or its value: two packets that differ
// elsewhere are not said to differ in checksums as well. total is the sum with the
// checksum in it.
func (w *walker) checksum(name string, got, total uint16) {
	if total == 0xffff {
		w.add(name, "right")
	} else {
		w.add(name, hex16(got)+", which is wrong")
	}
}

// sum adds the 16-bit words of b to s in ones' complement (RFC 1071).
func sum(s uint16, b []byte) uint16 {
	total := uint64(s)
	for ; len(b) >= 2; b = b[2:] {
		total += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint64(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
