package golden

import (
	"net"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// tagged returns the packet in a frame with tags, outermost first; two are 802.1ad
// around 802.1Q.
func (p *tape) tagged(tags []uint16, packet ...gopacket.SerializableLayer) []byte {
	e := ethernet(layers.EthernetTypeDot1Q)
	if len(tags) > 1 {
		e.EthernetType = layers.EthernetTypeQinQ
	}
	ls := []gopacket.SerializableLayer{e}
	for i, id := range tags {
		q := &layers.Dot1Q{VLANIdentifier: id, Type: layers.EthernetTypeIPv4}
		if i < len(tags)-1 {
			q.Type = layers.EthernetTypeDot1Q
		}
		ls = append(ls, q)
	}
	return encode(p.t, append(ls, packet...)...)
}

func vlan(p *tape) {
	same := func(text string) []gopacket.SerializableLayer { return udp("10.0.0.11", 5000, server, 53, text) }
	p.packet("trunk", same("untagged")...)
	p.frame("trunk", p.tagged([]uint16{100}, same("same tuple in VLAN 100, where it cannot be")...))
	p.frame("trunk", p.tagged([]uint16{100}, udp("10.1.0.11", 5000, server, 53, "VLAN 100")...))
	p.frame("trunk", p.tagged([]uint16{200, 7}, udp("10.2.0.11", 5000, server, 53, "VLAN 7 in 200")...))
	p.packet("outside", udp(server, 53, gwOut, 5000, "untagged")...)
	p.packet("outside", udp(server, 53, gwOut, portOfStorage, "VLAN 100")...)
	p.packet("outside", udp(server, 53, gwOut, portOfCustomer, "VLAN 7 in 200")...)
	p.frame("trunk", p.tagged([]uint16{100}, udp("10.1.0.11", 5001, "10.2.0.11", 53, "from VLAN to VLAN")...))
	p.frame("trunk", p.tagged([]uint16{200, 7}, udp("10.2.0.11", 53, "10.1.0.11", 5001, "and back")...))
	p.frame("trunk", p.tagged([]uint16{0}, same("a priority tag")...))
	p.frame("trunk", p.tagged([]uint16{101}, same("no such VLAN")...))
	p.frame("trunk", p.tagged([]uint16{200}, same("the outer tag alone")...))
	p.frame("trunk", p.tagged([]uint16{200, 7, 100}, same("a tag too many")...))
	p.frame("trunk", p.tagged([]uint16{100}, same("cut in the tag")...)[:16])
}

// Outside ports of the second and third host of vlan, as verdicts.txt shows them.
const (
	portOfStorage  = 60428
	portOfCustomer = 7984
)

// gate sends packets that are right but for one thing.
func gate(p *tape) {
	whole := func() []byte { // an Ethernet frame of 14 bytes, IPv4 of 20, UDP of 8
		return encode(p.t, append([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4)}, udp(hostA, 5000, server, 53, "a whole packet")...)...)
	}
	damaged := func(change func(f []byte)) {
		f := whole()
		change(f)
		p.frame("inside", f)
	}
	header := func(change func(ip []byte)) { damaged(func(f []byte) { change(f[14:]); fixChecksum(f[14:34]) }) }
	p.frame("inside", whole())
	damaged(func(f []byte) { f[12], f[13] = 0x86, 0xdd })        // IPv6
	damaged(func(f []byte) { f[12], f[13] = 0x88, 0xcc })        // LLDP
	damaged(func(f []byte) { f[12], f[13] = 0, 46 })             // IEEE 802.3 length
	damaged(func(f []byte) { copy(f, broadcast); f[14+20+1]++ }) // unicast in broadcast
	p.frame("inside", whole()[:14+19])
	p.frame("inside", whole()[:14+40])
	header(func(ip []byte) { ip[0] = 0x55 })
	header(func(ip []byte) { ip[0] = 0x44 })
	header(func(ip []byte) { ip[0] = 0x4f })
	header(func(ip []byte) { ip[3] = 19 })
	header(func(ip []byte) { ip[2] = 0xff })
	damaged(func(f []byte) { f[14+10] ^= 0xff })
	header(func(ip []byte) { ip[3] = 27 }) // ends within the UDP header
	damaged(func(f []byte) { f[14+20+5] = 99 })
	addresses(p)
	flags(p)
	options(p)
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func addresses(p *tape) {
	for _, a := range [][2]string{
		{"127.0.0.1", server}, {"0.0.0.0", server}, {"224.0.0.1", server}, {"255.255.255.255", server}, {gwIn, server},
		{hostA, "127.0.0.1"}, {hostA, "0.0.0.1"}, {hostA, "240.0.0.1"}, {hostA, "224.0.0.5"}, {hostA, "255.255.255.255"},
		{hostA, hostA}, {hostA, "10.0.0.255"}, {client, hostA},
	} {
		p.packet("inside", udp(a[0], 5000, a[1], 53, "from "+a[0]+" to "+a[1])...)
	}
}

func flags(p *tape) {
	for _, f := range []string{"", "SF", "SR", "FR", "F", "P", "R", "A", "SA"} {
		p.packet("inside", tcp(hostA, 40000, server, 80, f, 1000, 0, "")...)
	}
}

func options(p *tape) {
	for _, o := range []layers.IPv4Option{
		{OptionType: 131, OptionLength: 7, OptionData: []byte{4, 10, 0, 0, 1}}, // loose source route
		{OptionType: 137, OptionLength: 7, OptionData: []byte{4, 10, 0, 0, 1}}, // strict
		{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}},    // record route: passes
	} {
		u := udp(hostA, 5000, server, 53, "an option")
		u[0].(*layers.IPv4).Options = []layers.IPv4Option{o, {OptionType: 0, OptionLength: 1}}
		p.packet("inside", u...)
	}
}

// arpFrame returns an ARP packet from the remote host, to everybody if it asks.
func arpFrame(p *tape, operation uint16, sender, target string) []byte {
	e := ethernet(layers.EthernetTypeARP)
	a := &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: remoteMAC, SourceProtAddress: net.ParseIP(sender).To4(), DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(target).To4()}
	if operation == layers.ARPReply {
		a.DstHwAddress = gatewayMAC
	} else {
		e.DstMAC = broadcast
	}
	return encode(p.t, e, a, gopacket.Payload(make([]byte, 18)))
}

func arp(p *tape) {
	const stranger = "10.0.0.50"
	p.frame("inside", arpFrame(p, 1, stranger, gwIn))
	p.frame("inside", arpFrame(p, 1, stranger, "10.0.0.100"))
	p.frame("inside", arpFrame(p, 1, stranger, hostA))
	p.frame("inside", arpFrame(p, 1, "0.0.0.0", gwIn)) // a probe
	p.frame("inside", arpFrame(p, 1, stranger, gwOut)) // of the other port
	p.frame("inside", arpFrame(p, 2, gwIn, gwIn))      // somebody has our address
	p.frame("inside", arpFrame(p, 2, hostA, hostA))    // and a configured one
	short := arpFrame(p, 1, stranger, gwIn)
	p.frame("inside", short[:14+27])
	short[14+4] = 7
	p.frame("inside", short)
	p.packet("outside", udp(server, 53, stranger, 5000, "a neighbor that has asked is known")...)
	p.packet("outside", udp(server, 53, "10.0.0.60", 5000, "a stranger is asked for")...)
	p.packet("outside", udp(server, 53, "10.0.0.60", 5000, "and meanwhile all wait")...)
	p.frame("inside", arpFrame(p, 2, "10.0.0.60", gwIn))
	p.packet("outside", udp(server, 53, "10.0.0.60", 5000, "known")...)
	for range 4 {
		p.packet("outside", udp(server, 53, "10.0.0.61", 5000, "nobody there, and only three wait")...)
	}
	p.wait(10 * time.Second)
	p.packet("outside", udp(server, 53, "10.0.0.61", 5000, "asked for again")...)
}

// cooked returns a packet as tcpdump -i any has it.
func (p *tape) cooked(packet ...gopacket.SerializableLayer) []byte {
	head := []byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 0x99, 0, 0, 8, 0}
	return append(head, encode(p.t, packet...)...)
}

func linkTypes(p *tape) {
	p.link["outside"], p.link["inside"] = layers.LinkTypeLinuxSLL, layers.LinkTypeRaw
	p.packet("inside", udp(hostA, 5000, server, 53, "bare")...)
	p.frame("outside", p.cooked(udp(server, 53, gwOut, 5000, "cooked")...))
	p.frame("outside", p.cooked(ping(client, gwOut, request, 7, 1)...))
	p.frame("outside", []byte{0, 0, 0, 1})
	p.frame("inside", []byte{0x00, 0x01})
}

func gzipped(p *tape) {
	p.format["inside"], p.format["outside"] = ".pcap.gz", ".pcapng.gz"
	p.packet("inside", udp(hostA, 5000, server, 53, "who is example.net?")...)
	p.packet("outside", udp(server, 53, gwOut, 5000, "192.0.2.1")...)
}

func merge(p *tape) {
	p.format["inside"] = ".pcap"
	for i := range uint16(3) {
		p.packet("inside", udp(hostA, 5000+i, server, 53, "question")...)
		p.packet("outside", udp(server, 53, gwOut, 5000+i, "answer")...)
	}
}
