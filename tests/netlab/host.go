package netlab

import (
	"net"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A Host has one port, one address and a default gateway. It asks for neighbors and
// answers for itself, answers pings, and speaks UDP and a little TCP.
type Host struct {
	lab   *Lab
	name  string
	link  *Link
	mac   [6]byte
	addr  netip.Prefix
	route netip.Addr

	out, in   [][]byte
	neighbors map[netip.Addr]net.HardwareAddr
	waiting   map[netip.Addr][][]gopacket.SerializableLayer

	// Pongs counts the answers to the host's pings, by identifier.
	Pongs map[uint16]int
	// Errors are the ICMP errors that it got.
	Errors []ICMPError
	// UDP is called with each datagram; nil throws them away.
	UDP func(d Datagram)

	serve map[uint16]bool // TCP ports
	conns map[connKey]*Conn
	port  uint16 // of the last connection that was dialed
}

// An ICMPError is one that a host got.
type ICMPError struct {
	From       netip.Addr
	Type, Code uint8
	MTU        uint16
}

// A Datagram is one that a host got or sends.
type Datagram struct {
	From, To netip.AddrPort
	Data     string
}

// Host adds a host with an address on a link and a default gateway, which may be none.
func (l *Lab) Host(name string, k *Link, address, gateway string) *Host {
	h := &Host{lab: l, name: name, link: k, mac: l.nextMAC(), addr: netip.MustParsePrefix(address),
		neighbors: map[netip.Addr]net.HardwareAddr{}, waiting: map[netip.Addr][][]gopacket.SerializableLayer{},
		Pongs: map[uint16]int{}, serve: map[uint16]bool{}, conns: map[connKey]*Conn{}, port: 40000}
	if gateway != "" {
		h.route = netip.MustParseAddr(gateway)
	}
	k.attach(name, h.mac, h)
	l.hosts = append(l.hosts, h)
	return h
}

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr.Addr() }

func (h *Host) drain() (frames [][]byte) {
	frames, h.out = h.out, nil
	return frames
}

func (h *Host) put(frame []byte) bool {
	h.in = append(h.in, frame)
	return true
}

// turn takes what has arrived, and what is due.
func (h *Host) turn() {
	frames := h.in
	h.in = nil
	for _, f := range frames {
		h.receive(f)
	}
	for _, key := range h.sortedConns() {
		h.conns[key].timer()
	}
}

// Ping sends an echo request.
func (h *Host) Ping(to netip.Addr, id, seq uint16) { h.PingTTL(to, id, seq, 64) }

// PingTTL sends an echo request with so many hops to go.
func (h *Host) PingTTL(to netip.Addr, id, seq uint16, ttl uint8) {
	h.send(h.ipv4(to, layers.IPProtocolICMPv4, ttl),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: seq}, gopacket.Payload("ping"))
}

// Meet pings until it is answered, so that all on the way know their neighbors.
func (h *Host) Meet(to netip.Addr) {
	h.lab.tb.Helper()
	before := h.Pongs[0]
	h.Ping(to, 0, 0)
	h.lab.Until("a pong of "+to.String(), func() bool { return h.Pongs[0] > before })
}

// Send sends a datagram from a port.
func (h *Host) Send(from uint16, to netip.AddrPort, data string) {
	h.send(h.ipv4(to.Addr(), layers.IPProtocolUDP, 64),
		&layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to.Port())}, gopacket.Payload(data))
}

// EchoUDP makes the host send every datagram back.
func (h *Host) EchoUDP() {
	h.UDP = func(d Datagram) { h.Send(d.To.Port(), d.From, d.Data) }
}

func (h *Host) ipv4(to netip.Addr, proto layers.IPProtocol, ttl uint8) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: ttl, Flags: layers.IPv4DontFragment, Protocol: proto, SrcIP: h.Addr().AsSlice(), DstIP: to.AsSlice()}
}

// send sends a packet by the neighbor that it is to go by, or keeps it until that has
// answered.
func (h *Host) send(packet ...gopacket.SerializableLayer) {
	ip := packet[0].(*layers.IPv4)
	next, _ := netip.AddrFromSlice(ip.DstIP)
	if !h.addr.Contains(next) {
		next = h.route
	}
	if mac, ok := h.neighbors[next]; ok {
		h.frame(mac, layers.EthernetTypeIPv4, packet...)
		return
	}
	if h.waiting[next] = append(h.waiting[next], packet); len(h.waiting[next]) > 1 {
		return // it was asked
	}
	h.arp(layers.ARPRequest, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, next)
}

func (h *Host) arp(operation uint16, mac net.HardwareAddr, target netip.Addr) {
	h.frame(mac, layers.EthernetTypeARP, &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
		HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: h.mac[:], SourceProtAddress: h.Addr().AsSlice(), DstHwAddress: mac, DstProtAddress: target.AsSlice()})
}

// frame puts a frame on the link.
func (h *Host) frame(to net.HardwareAddr, typ layers.EthernetType, ls ...gopacket.SerializableLayer) {
	h.lab.tb.Helper()
	for i, l := range ls {
		var err error
		switch l := l.(type) {
		case *layers.TCP:
			err = l.SetNetworkLayerForChecksum(ls[i-1].(*layers.IPv4))
		case *layers.UDP:
			err = l.SetNetworkLayerForChecksum(ls[i-1].(*layers.IPv4))
		}
		if err != nil {
			h.lab.tb.Fatal(err)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: h.mac[:], DstMAC: to, EthernetType: typ}}, ls...)
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		h.lab.tb.Fatal(err)
	}
	if n := len(buf.Bytes()); n > h.link.MTU+14 {
		h.lab.tb.Fatalf("host %s: frame of %d bytes on a link of MTU %d", h.name, n, h.link.MTU)
	}
	h.out = append(h.out, buf.Bytes())
}

func (h *Host) receive(frame []byte) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		h.receiveARP(a)
		return
	}
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok || !net.IP(h.Addr().AsSlice()).Equal(ip.DstIP) {
		return
	}
	from, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	if err := verify(ip); err != "" {
		h.lab.tb.Errorf("host %s got a packet from %v: %s", h.name, from, err)
		return
	}
	switch l := p.TransportLayer().(type) {
	case *layers.UDP:
		if h.UDP != nil {
			h.UDP(Datagram{netip.AddrPortFrom(from, uint16(l.SrcPort)), netip.AddrPortFrom(h.Addr(), uint16(l.DstPort)), string(l.Payload)})
		}
	case *layers.TCP:
		h.receiveTCP(from, l)
	default:
		if c, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			h.receiveICMP(from, c)
		}
	}
}

func (h *Host) receiveARP(a *layers.ARP) {
	from, _ := netip.AddrFromSlice(a.SourceProtAddress)
	to, _ := netip.AddrFromSlice(a.DstProtAddress)
	if to != h.Addr() {
		return
	}
	mac := slices.Clone(net.HardwareAddr(a.SourceHwAddress))
	h.neighbors[from] = mac
	if a.Operation == layers.ARPRequest {
		h.arp(layers.ARPReply, mac, from)
	}
	packets := h.waiting[from]
	delete(h.waiting, from)
	for _, p := range packets {
		h.frame(mac, layers.EthernetTypeIPv4, p...)
	}
}

func (h *Host) receiveICMP(from netip.Addr, c *layers.ICMPv4) {
	switch c.TypeCode.Type() {
	case layers.ICMPv4TypeEchoRequest:
		h.send(h.ipv4(from, layers.IPProtocolICMPv4, 64),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0), Id: c.Id, Seq: c.Seq}, gopacket.Payload(c.Payload))
	case layers.ICMPv4TypeEchoReply:
		h.Pongs[c.Id]++
	default:
		h.Errors = append(h.Errors, ICMPError{from, c.TypeCode.Type(), c.TypeCode.Code(), c.Seq})
	}
}

// verify says what is wrong with the checksums of a packet.
func verify(ip *layers.IPv4) string {
	if sum(0, ip.Contents) != 0xffff {
		return "IPv4 header with a wrong checksum"
	}
	total := uint32(0)
	switch ip.Protocol {
	case layers.IPProtocolTCP, layers.IPProtocolUDP:
		total = sum(sum(uint32(ip.Protocol)+uint32(len(ip.Payload)), ip.SrcIP.To4()), ip.DstIP.To4())
	case layers.IPProtocolICMPv4:
	default:
		return ""
	}
	if sum(total, ip.Payload) != 0xffff {
		return ip.Protocol.String() + " with a wrong checksum"
	}
	return ""
}

// sum adds the 16-bit words of b to s in ones' complement (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for i, v := range b {
		s += uint32(v) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}
