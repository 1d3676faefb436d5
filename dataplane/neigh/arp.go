package neigh

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

// Addresses tells which addresses the gateway has. Safe for concurrent use.
type Addresses interface {
	// Own reports whether the gateway answers for ip on the port.
	Own(port uint16, ip uint32) bool
	// OnLink reports whether ip is the address of a host in a subnet of the port.
	OnLink(port uint16, ip uint32) bool
}

// Conflict says who contradicts whom.
type Conflict uint8

// Conflicts.
const (
	NoConflict     Conflict = iota
	OwnAddress              // another host claims an address of the gateway
	StaticNeighbor          // another MAC claims the address of a static neighbor
)

// A Verdict is what to do about an ARP packet.
type Verdict struct {
	// Reply asks to send BuildReply.
	Reply bool
	// Defend asks to send BuildAnnouncement for the packet's sender address: RFC
	// 5227 section 2.4 (c), at most once in ten seconds for each address.
	Defend bool
	// Conflict is to be reported.
	Conflict Conflict
	// Resolved names a neighbor that packets may wait for, or is zero.
	Resolved Ref
	// Drop is None where the packet was of use.
	Drop drop.Reason
}

// defendTime is DEFEND_INTERVAL of RFC 5227 section 1.1, in nanoseconds.
const defendTime = 10e9

// HandleARP learns from the ARP packet b, without its link header, that came in by
// the port, whose own MAC is mac, and says what to do about it. b is borrowed.
//
// A neighbor is added only if it asks for an address of ours, which is when it
// will be needed; others may renew what is there. Nothing is learned of addresses
// outside the port's subnets, of addresses of ours, or of static neighbors.
func (t *Table) HandleARP(port uint16, b []byte, mac MAC, addrs Addresses, now int64) Verdict {
	if len(b) < header.ARPLen {
		return Verdict{Drop: drop.ARPMalformed}
	}
	h := header.ARP(b)
	sender, ip, target := MACOf(h.SenderMAC()), h.SenderIP(), h.TargetIP()
	request := h.Opcode() == header.ARPRequest
	switch {
	case h.HardwareType() != 1, h.ProtocolType() != header.TypeIPv4, h.HardwareLen() != 6, h.ProtocolLen() != 4,
		!request && h.Opcode() != header.ARPReply,
		!sender.IsHost(), ip != 0 && !singleHost(ip), !singleHost(target):
		return Verdict{Drop: drop.ARPMalformed}
	case sender == mac: // our own, seen back
		return Verdict{Drop: drop.ARPNotForUs}
	case ip != 0 && addrs.Own(port, ip):
		return t.defend(key{ip, port}, now)
	}
	ours := addrs.Own(port, target)
	v := Verdict{Reply: request && ours}
	if !v.Reply {
		v.Drop = drop.ARPNotForUs
	}
	if ip == 0 || !addrs.OnLink(port, ip) { // a probe, or a stranger
		return v
	}
	return t.learn(v, key{ip, port}, sender, ours, request, now)
}

// learn takes in that k has the MAC and completes v.
func (t *Table) learn(v Verdict, k key, m MAC, ours, request bool, now int64) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.index[k]
	if !ok {
		if !ours || !request {
			return v
		}
		if i = t.createLocked(k, Stale); i < 0 {
			return v // it gets its answer all the same
		}
		t.push(i, Stale) // it asked; whether it hears us is not known yet
		t.entries[i].setMAC(m)
		t.entries[i].since = now
		return v
	}
	resolved, contradicts := t.learnLocked(i, m, ours && !request, now)
	switch {
	case contradicts:
		return Verdict{Conflict: StaticNeighbor, Drop: drop.ARPConflict}
	case resolved:
		v.Resolved = t.ref(i)
	}
	if ours || resolved {
		v.Drop = drop.None
	}
	return v
}

// defend answers a claim to an address of ours.
func (t *Table) defend(k key, now int64) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := Verdict{Conflict: OwnAddress, Drop: drop.ARPConflict}
	if last, ok := t.defended[k]; ok && now-last < defendTime {
		return v
	}
	t.defended[k] = now // as many as the gateway has addresses
	v.Defend = true
	return v
}

// singleHost reports whether the address can be that of one host.
func singleHost(ip uint32) bool {
	top := ip >> 24
	return top != 0 && top != 127 && top < 224
}

// FrameLen is the length of the frames below, in bytes, without padding.
const FrameLen = header.EthernetLen + header.ARPLen

// BuildRequest writes a request for target, from an address of ours in target's
// subnet, to b and returns the frame. b must hold FrameLen bytes, as in all
// functions below.
func BuildRequest(b []byte, from MAC, fromIP, target uint32, to MAC) []byte {
	return build(b, header.ARPRequest, from, fromIP, to, 0, target)
}

// BuildReply writes the answer to the request req, which asked for an address of
// ours.
func BuildReply(b []byte, req header.ARP, from MAC) []byte {
	to := MACOf(req.SenderMAC())
	return build(b, header.ARPReply, from, req.TargetIP(), to, to, req.SenderIP())
}

// BuildAnnouncement writes that we have ip (RFC 5227 section 2.3).
func BuildAnnouncement(b []byte, from MAC, ip uint32) []byte {
	return build(b, header.ARPRequest, from, ip, Broadcast, 0, ip)
}

// BuildProbe asks whether somebody has ip already (RFC 5227 section 2.1.1).
func BuildProbe(b []byte, from MAC, ip uint32) []byte {
	return build(b, header.ARPRequest, from, 0, Broadcast, 0, ip)
}

func build(b []byte, op uint16, from MAC, fromIP uint32, to, target MAC, targetIP uint32) []byte {
	b = b[:FrameLen]
	eth, h := header.Ethernet(b), header.ARP(b[header.EthernetLen:])
	to.Put(eth.Dst())
	from.Put(eth.Src())
	eth.SetType(header.TypeARP)
	h.SetFixed()
	h.SetOpcode(op)
	from.Put(h.SenderMAC())
	h.SetSenderIP(fromIP)
	target.Put(h.TargetMAC())
	h.SetTargetIP(targetIP)
	return b
}
