// Hot path: see doc.go.

package dataplane

import (
	"encoding/binary"

	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// class is what a packet still needs.
type class uint8

const (
	classDone      class = iota // sent, delivered, held or dropped
	classFlow                   // has a key, wants its session
	classDecap                  // IP in IP to an own address
	classARP                    // for the neighbor table
	classICMPError              // key is that of the packet it quotes, reversed
	classFragment               // wants its datagram's ports
	classMiss                   // no session: decide
	classStale                  // its session was decided under another plan
	classMoved                  // its session knows it by another port
	classTTL                    // time to live runs out here
	classBig                    // does not fit the way out
	classSplit                  // a super-packet that must be cut before it leaves
	classHold                   // the next hop's address is not known
)

// meta is what the line keeps of each packet beside the packet itself.
type meta struct {
	key  flow.Key
	hash uint64
	// cand is the session that the index suggests; see session.Candidate.
	cand  uint32
	way   uint32
	class class
	// laterFragment says that there is no transport header.
	laterFragment bool
	// broadcast says that the frame was not for our MAC address alone.
	broadcast bool
	// piece says that it was cut here, in w.pieces.
	piece bool
	// handed counts hand-overs.
	handed uint8
	flags  uint8 // of TCP
}

var be = binary.BigEndian

// Parse checks each frame, finds its logical port and key, and sorts out what is
// not a whole packet of a flow.
func (w *Worker) Parse(from int) {
	b, ports := &w.batch, w.plan.Ports
	for i := from; i < b.N; i++ {
		w.cur = i
		p, m := &b.P[i], &w.m[i]
		if !w.parsePlain(p, m, &ports[p.Port]) {
			w.parse(p, m)
		}
	}
}

// parsePlain is parse for what nearly every frame is: untagged, to our MAC address, and a
// plain packet (see plainIPv4). It says false, and has changed nothing, for any other
// frame. TestParsePlain holds it against parse; it saves 6 of 72 ns
// (BenchmarkLine/nat/flows=10000).
func (w *Worker) parsePlain(p *packet.Packet, m *meta, port *Port) bool {
	f := p.Buf[p.Start:p.End]
	return len(f) >= header.EthernetLen+header.IPv4Len+header.UDPLen && port.Kind == PortEthernet && p.VLANs[0] == 0 &&
		be.Uint64(f)>>16 == port.MAC && be.Uint16(f[12:]) == header.TypeIPv4 &&
		w.plainIPv4(p, m, p.Start+header.EthernetLen, port.Realm)
}

// plainIPv4 is parseIPv4 for a packet at l3 without options, whole, UDP, TCP or for the end
// of a tunnel, and nothing wrong with it. It says false, and has changed nothing, for
// any other.
func (w *Worker) plainIPv4(p *packet.Packet, m *meta, l3 uint32, realm uint16) bool {
	ip := p.Buf[l3:p.End]
	if len(ip) < header.IPv4Len+header.UDPLen || ip[0] != 0x45 {
		return false
	}
	total := int(be.Uint16(ip[2:]))
	if be.Uint16(ip[6:])&(header.MoreFragments|header.FragmentOffset) != 0 || total > len(ip) || !checksum.Header(ip) {
		return false
	}
	t := ip[header.IPv4Len:]
	proto := ip[9]
	class, flags := classFlow, uint8(0)
	switch proto {
	case flow.UDP:
		n := int(be.Uint16(t[4:]))
		if n < header.UDPLen || n > total-header.IPv4Len {
			return false
		}
	case flow.TCP:
		if total < header.IPv4Len+header.TCPLen {
			return false
		}
		hl := int(t[12]>>4) * 4
		if flags = t[13] & 0x3f; hl < header.TCPLen || hl > total-header.IPv4Len || badFlags[flags] {
			return false
		}
	case flow.IPIP:
		if total < header.IPv4Len || !w.tunnelEnd(be.Uint32(ip[16:])) {
			return false
		}
		class = classDecap
	default:
		return false
	}
	p.L3, p.L4, p.L3End = l3, l3+header.IPv4Len, l3+uint32(total)
	m.class, m.flags = class, flags
	m.laterFragment, m.broadcast, m.handed = false, false, 0
	if class == classFlow {
		m.key = flow.Wire(be.Uint64(ip[12:]), be.Uint32(t), proto, realm)
		m.hash = w.hasher.Hash(m.key)
	}
	return true
}

// tunnelEnd says whether a is the gateway's end of a tunnel.
func (w *Worker) tunnelEnd(a uint32) bool {
	for i := range w.plan.Tunnels {
		if w.plan.Tunnels[i].Local == a {
			return true
		}
	}
	return false
}

func (w *Worker) parse(p *packet.Packet, m *meta) {
	*m = meta{}
	port := &w.plan.Ports[p.Port]
	p.L3 = p.Start
	if port.Kind == PortEthernet {
		f := p.Buf[p.Start:p.End]
		if len(f) < header.EthernetLen {
			w.drop(p, drop.FrameTruncated)
			return
		}
		p.L3 += header.EthernetLen
		typ := be.Uint16(f[12:])
		if typ == header.TypeVLAN || typ == header.TypeQinQ || p.VLANs[0] != 0 || typ < 0x600 {
			var ok bool
			if typ, ok = w.parseTags(p, typ); !ok {
				return
			}
			port = &w.plan.Ports[p.Port]
		}
		if dst := be.Uint64(f) >> 16; dst != port.MAC {
			if f[0]&1 != 0 {
				m.broadcast = true
			} else if !port.AnyMAC {
				w.drop(p, drop.ForeignMAC)
				return
			}
		}
		if typ != header.TypeIPv4 {
			switch typ {
			case header.TypeARP:
				m.class = classARP
			case header.TypeIPv6:
				w.drop(p, drop.IPv6NotSupported)
			default:
				w.drop(p, drop.EtherTypeUnknown)
			}
			return
		}
	}
	w.parseIPv4(p, m)
	if m.broadcast && m.class != classDone {
		w.refuseBroadcast(p, m)
	}
}

// refuseBroadcast drops an IP packet of a broadcast or multicast frame: multicast is
// not forwarded, and unicast has no business there (RFC 1122 section 3.3.6).
func (w *Worker) refuseBroadcast(p *packet.Packet, m *meta) {
	m.class = classDone
	ip := header.IPv4(p.Buf[p.L3:])
	reason := martian(ip.Src(), ip.Dst())
	if reason == drop.None {
		reason = drop.UnicastInBroadcast
	}
	w.drop(p, reason)
}

// parseTags moves the tags of the frame to p.VLANs, finds the sub-port and returns
// the type behind the tags. It drops the packet, and says false, if there is none.
func (w *Worker) parseTags(p *packet.Packet, typ uint16) (uint16, bool) {
	n := 0
	for n < len(p.VLANs) && p.VLANs[n] != 0 {
		n++
	}
	for typ == header.TypeVLAN || typ == header.TypeQinQ {
		if n == len(p.VLANs) {
			w.drop(p, drop.VLANUnknown)
			return 0, false
		}
		if p.End-p.L3 < header.VLANLen {
			w.drop(p, drop.FrameTruncated)
			return 0, false
		}
		p.VLANs[n] = uint32(typ)<<16 | uint32(be.Uint16(p.Buf[p.L3:]))
		typ = be.Uint16(p.Buf[p.L3+2:])
		p.L3 += header.VLANLen
		n++
	}
	if typ < 0x600 {
		w.drop(p, drop.EtherTypeUnknown) // IEEE 802.3 length
		return 0, false
	}
	// A tag of VLAN 0 carries a priority only.
	key := [2]uint16{uint16(p.VLANs[0]) & 0xfff, uint16(p.VLANs[1]) & 0xfff}
	if key == [2]uint16{} {
		return typ, true
	}
	sub, ok := w.plan.Ports[p.Port].VLANs[key]
	if !ok {
		w.drop(p, drop.VLANUnknown)
		return 0, false
	}
	p.Port = sub
	return typ, true
}

// parseIPv4 is the gate of RFC 1812 section 5.2.2 for the packet at p.L3, and makes
// its key. The checks in which addresses play a part are in martian: they are made
// for new flows only, since a session can only stand where they were passed.
func (w *Worker) parseIPv4(p *packet.Packet, m *meta) {
	b := p.Buf[p.L3:p.End]
	if len(b) < header.IPv4Len {
		w.drop(p, drop.IPTruncated)
		return
	}
	ip := header.IPv4(b)
	hl := header.IPv4Len
	if b[0] != 0x45 {
		if ip.Version() != 4 {
			if ip.Version() == 6 {
				w.drop(p, drop.IPv6NotSupported)
			} else {
				w.drop(p, drop.IPVersion)
			}
			return
		}
		hl = ip.HeaderLen()
		if hl < header.IPv4Len || hl > len(b) {
			w.drop(p, drop.IPHeaderLength)
			return
		}
	}
	n := ip.TotalLen()
	if n < hl || n > len(b) {
		w.drop(p, drop.IPTotalLength)
		return
	}
	if hl == header.IPv4Len && !checksum.Header(b) || hl > header.IPv4Len && checksum.Of(b[:hl]) != 0 {
		w.drop(p, drop.IPChecksum)
		return
	}
	p.L3End = p.L3 + uint32(n)
	p.L4 = p.L3 + uint32(hl)
	if hl > header.IPv4Len && refusedOption(b[header.IPv4Len:hl]) {
		w.drop(p, drop.IPOptions)
		return
	}
	if ip.IsFragment() {
		m.class = classFragment
		return
	}
	w.parseTransport(p, m)
}

// parseTransport makes the key of a packet that is whole, or a first fragment.
func (w *Worker) parseTransport(p *packet.Packet, m *meta) {
	ip := header.IPv4(p.Buf[p.L3:])
	l4 := p.Buf[p.L4:p.L3End]
	var sport, dport uint16
	proto := ip.Protocol()
	switch proto {
	case flow.TCP:
		if len(l4) < header.TCPLen {
			w.drop(p, drop.TransportTruncated)
			return
		}
		t := header.TCP(l4)
		if hl := t.HeaderLen(); hl < header.TCPLen || hl > len(l4) && !ip.IsFragment() {
			w.drop(p, drop.TransportTruncated)
			return
		}
		m.flags = t.Flags() & 0x3f
		if badFlags[m.flags] {
			w.drop(p, drop.TCPFlags)
			return
		}
		sport, dport = t.SrcPort(), t.DstPort()
	case flow.UDP:
		if len(l4) < header.UDPLen {
			w.drop(p, drop.TransportTruncated)
			return
		}
		u := header.UDP(l4)
		if n := u.Length(); (n < header.UDPLen || n > len(l4)) && !ip.IsFragment() && p.Offload.GSOType == 0 {
			w.drop(p, drop.TransportTruncated)
			return
		}
		sport, dport = u.SrcPort(), u.DstPort()
	case flow.ICMP:
		if len(l4) < header.ICMPLen {
			w.drop(p, drop.TransportTruncated)
			return
		}
		c := header.ICMP(l4)
		switch {
		case c.IsQuery():
			sport = c.ID()
			dport = sport
		case c.IsError():
			if ip.IsFragment() {
				w.drop(p, drop.ICMPMalformed)
				return
			}
			m.class = classICMPError
			return
		default:
			proto = flow.ICMPOther
		}
	case flow.IPIP:
		if w.tunnelEnd(ip.Dst()) {
			m.class = classDecap
			return
		}
	}
	m.key = flow.Make(ip.Src(), ip.Dst(), sport, dport, proto, w.plan.Ports[p.Port].Realm)
	m.hash = w.hasher.Hash(m.key)
	m.class = classFlow
}

// badFlags are the combinations of the low six TCP flags that no TCP sends: none
// at all, SYN with FIN or RST, FIN without ACK, and those with URG or PSH alone.
var badFlags = func() (bad [64]bool) {
	for f := range bad {
		syn, fin, rst, ack := f&header.SYN != 0, f&header.FIN != 0, f&header.RST != 0, f&header.ACK != 0
		bad[f] = syn && (fin || rst) || fin && rst || !syn && !rst && !ack
	}
	return bad
}()

// Options of IPv4 (RFC 791 section 3.1).
const (
	optEnd = 0
	optNop = 1
	optLSR = 131
	optSSR = 137
)

// refusedOption says whether options hold a source route or cannot be read
// (RFC 7126 sections 4.3 and 4.4). Others pass untouched: the gateway records no
// route and no time.
func refusedOption(o []byte) bool {
	for len(o) > 0 {
		switch o[0] {
		case optEnd:
			return false
		case optNop:
			o = o[1:]
			continue
		case optLSR, optSSR:
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return true
		}
		o = o[o[1]:]
	}
	return false
}

// martian says why a new flow from src to dst may not exist (RFC 1812 5.3.7).
func martian(src, dst uint32) drop.Reason {
	switch s := src >> 24; {
	case s == 0, s == 127, s >= 224:
		return drop.MartianSource
	}
	switch d := dst >> 24; {
	case d == 0, d == 127, d >= 240 && dst != 0xffffffff:
		return drop.MartianDestination
	case d >= 224:
		return drop.Multicast
	case src == dst:
		return drop.Land
	}
	return drop.None
}
