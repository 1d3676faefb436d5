package dataplane

import (
	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/neigh"
	"openvra/dataplane/packet"
)

// addresses shows a plan to the neighbor table.
type addresses struct{ *Plan }

func (a addresses) Own(port uint16, ip uint32) bool    { return a.OwnOn(port, ip) }
func (a addresses) OnLink(port uint16, ip uint32) bool { return a.Subnet(port, ip) }

// arp gives an ARP packet to the neighbor table, and answers for own addresses.
func (w *Worker) arp(p *packet.Packet, m *meta) {
	port := &w.plan.Ports[p.Port]
	mac := neigh.MAC(port.MAC)
	if p.End-p.L3 >= header.ARPLen && header.ARP(p.Buf[p.L3:]).Opcode() == header.ARPRequest && !w.arpMeters[p.Port].Allow(w.arpLimit, w.now) {
		w.drop(p, drop.RateLimited)
		return
	}
	v := w.plan.Neighbors.HandleARP(p.Port, p.Buf[p.L3:p.End], mac, addresses{w.plan}, w.now)
	switch {
	case v.Conflict == neigh.OwnAddress, v.Conflict == neigh.StaticNeighbor:
		if w.logs.Allow(w.now) {
			h := header.ARP(p.Buf[p.L3:p.End])
			w.log.Warn("address conflict", "port", port.Name, "address", netAddr(h.SenderIP()), "mac", neigh.MACOf(h.SenderMAC()).String(), "static", v.Conflict == neigh.StaticNeighbor, w.logs.Suppressed())
		}
	case v.Reply:
		if out := w.arpFrame(p.Port); out != nil {
			neigh.BuildReply(out.Buf[out.Start:], header.ARP(p.Buf[p.L3:p.End]), mac)
			w.sendARP(out)
		}
	}
	if v.Defend {
		w.announceOn(p.Port, header.ARP(p.Buf[p.L3:]).SenderIP())
	}
	if v.Drop != drop.None {
		w.drop(p, v.Drop)
		return
	}
	w.local(p)
}

// arpFrame returns a frame for an ARP packet that is to leave by a port; nil while the
// port is down.
func (w *Worker) arpFrame(port uint16) *packet.Packet {
	v := &w.plan.Ports[port]
	if v.Kind != PortEthernet || !v.Up {
		return nil
	}
	p := w.spare(neigh.FrameLen)
	p.Out, p.Port = port, port
	return p
}

// sendARP sends the frame that was built in p, with the port's tags.
func (w *Worker) sendARP(p *packet.Packet) {
	v := &w.plan.Ports[p.Out]
	if v.Tags[0] != 0 {
		eth := header.Ethernet(p.Buf[p.Start:])
		dst, src := be.Uint64(eth)>>16, be.Uint64(eth[4:])&0xffffffffffff
		p.Start += header.EthernetLen
		writeEthernet(p, dst, src, v.Tags, header.TypeARP)
	}
	w.count.made++
	w.queueTx(p, v.Physical)
}

func (w *Worker) announceOn(port uint16, ip uint32) {
	if out := w.arpFrame(port); out != nil {
		neigh.BuildAnnouncement(out.Buf[out.Start:], neigh.MAC(w.plan.Ports[port].MAC), ip)
		w.sendARP(out)
	}
}

// An Announcement makes an address known on a port, Times times, one a second.
type Announcement struct {
	Port    uint16
	Address uint32
	Times   int
}

// Announce begins to make addresses known (RFC 5227 section 2.3). It replaces what an
// earlier call has left to do.
func (w *Worker) Announce(list []Announcement) {
	w.announcing, w.announceAt = list, 0
}

const second = int64(1e9)

// tick does what is due by the clock. Its work is bounded.
func (w *Worker) tick() {
	w.sessions.Expire(w.ticks, ExpireBudget, w.onRemove)
	w.takePlants() // or their sender's backlog would grow while nothing comes in here
	for to := range w.backlog {
		if len(w.backlog[to]) > 0 {
			w.sendBacklog(to)
		}
	}
	if w.hold.Len() > 0 {
		w.hold.Take(w.plan.Neighbors, w.now, w.resume, w.unresolved)
	}
	if w.now-w.ticked >= second/10 {
		w.ticked = w.now
		w.expireFragments()
		if w.opt.ID == 0 {
			w.askNeighbors()
			w.announceDue()
		}
	}
	w.transmit()
}

// ExpireBudget is how many sessions a poll looks at for expiry: with ten thousand polls
// a second and more under load, a million sessions can end within a second.
const ExpireBudget = 256

// askNeighbors sends the ARP requests that are due. One worker does it for all.
func (w *Worker) askNeighbors() {
	w.requests = w.plan.Neighbors.Tick(w.now, w.requests[:0])
	for _, r := range w.requests {
		w.ask(r)
	}
}

func (w *Worker) ask(r neigh.Request) {
	if int(r.Port) >= len(w.plan.Ports) {
		return
	}
	if out := w.arpFrame(r.Port); out != nil {
		neigh.BuildRequest(out.Buf[out.Start:], neigh.MAC(w.plan.Ports[r.Port].MAC), w.addressFor(r.Port, r.Target), r.Target, r.To)
		w.sendARP(out)
	}
}

// addressFor returns the own address of the subnet in which target is.
func (w *Worker) addressFor(port uint16, target uint32) uint32 {
	for _, a := range w.plan.Ports[port].Addresses {
		if a.Contains(netAddr(target)) && a.Bits() < 32 {
			return addr4(a.Addr())
		}
	}
	return w.addressOn(port)
}

func (w *Worker) announceDue() {
	if len(w.announcing) == 0 || w.now < w.announceAt {
		return
	}
	w.announceAt = w.now + second
	left := w.announcing[:0:0]
	for _, a := range w.announcing {
		if a.Times <= 0 || int(a.Port) >= len(w.plan.Ports) {
			continue
		}
		w.announceOn(a.Port, a.Address)
		if a.Times--; a.Times > 0 {
			left = append(left, a)
		}
	}
	w.announcing = left
}

// wait keeps a packet until its next hop's address is known.
func (w *Worker) wait(p *packet.Packet, m *meta) {
	m.class = classDone
	way := &w.ways[m.way]
	ref, _, ask := w.plan.Neighbors.Resolve(way.Port, way.NextHop, w.now)
	if ref == 0 {
		w.drop(p, drop.NeighborTableFull)
		return
	}
	w.plan.Ways.setRef(m.way, ref)
	if ask {
		w.ask(neigh.Request{Port: way.Port, Target: way.NextHop, To: neigh.Broadcast})
	}
	if mac, ok := w.plan.Neighbors.Lookup(ref); ok { // it has come meanwhile
		w.nextHop = nextHop{m.way, uint64(mac)}
		w.resolve(p, m, way)
		return
	}
	if w.plan.Neighbors.Gone(ref) {
		w.drop(p, drop.NeighborUnresolved)
		return
	}
	if reason := w.hold.Put(ref, p, w.now); reason != drop.None {
		w.drop(p, reason)
		return
	}
	w.keep(p)
}

// resume sends a packet whose next hop has answered.
func (w *Worker) resume(p *packet.Packet, mac neigh.MAC) {
	w.Counters.Resumed.Add(1)
	if int(p.Out) >= len(w.plan.Ports) {
		w.drop(p, drop.PortDown)
		return
	}
	v := &w.plan.Ports[p.Out]
	writeEthernet(p, uint64(mac), v.MAC, v.Tags, header.TypeIPv4)
	w.queueTx(p, v.Physical)
}

// unresolved gives up a packet whose next hop does not answer.
func (w *Worker) unresolved(p *packet.Packet) {
	w.Counters.Resumed.Add(1)
	w.drop(p, drop.NeighborUnresolved)
}
