package appliance

import (
	"sync"

	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/fib"
	"openvra/dataplane/flow"
	"openvra/nat"
)

// Line is THE ORDER of a packet's way: what every batch meets, one step a line. A
// step runs over the whole batch before the next one begins.
var Line = []dataplane.Step{
	{Name: "parse", Run: (*dataplane.Worker).Parse, Why: "checks lengths and the IPv4 header once, so that nothing behind has to; finds the logical port by the tags"},
	{Name: "decap", Run: (*dataplane.Worker).Decap, Why: "what was inside IP-in-IP is parsed again and goes on as if it had come in by the tunnel"},
	{Name: "lookup", Run: (*dataplane.Worker).Lookup, Why: "loads index and sessions of the whole batch, so that their cache misses overlap"},
	{Name: "forward", Run: (*dataplane.Worker).Forward, Why: "a packet with a session is tracked, rewritten, encapsulated, and its next hop resolved"},
	{Name: "exceptions", Run: (*dataplane.Worker).Exceptions, Why: "ARP, fragments, ICMP errors and what is for the gateway; a new flow meets the Decision"},
}

// Handed is the index of the step at which a packet from another worker begins.
const Handed = 2

// step is one question of the slow path. It says drop.None to go on; done in the
// decision ends the questions.
type step struct {
	Name string
	Run  func(*decision) drop.Reason
	Why  string
}

// Decision is THE ORDER of the questions that a new flow is asked. The answers become
// its session.
var Decision = []step{
	{"kernel", (*decision).kernelKeeps, "an address that the kernel keeps on a port: it has the frame too, or nobody can reach it"},
	{"destination NAT", (*decision).destination, "who is it really for? One-to-one rules, then the others as written"},
	{"local", (*decision).local, "an address of the gateway: policy to the zone local, then its own answer, or its host"},
	{"route", (*decision).routeTo, "where is it? By the table of the zone, then main; plain or IP-in-IP"},
	{"policy", (*decision).policy, "may it go there? Between zones, by its real endpoints: after destination NAT and before source NAT"},
	{"source NAT", (*decision).source, "as whom does it leave? After routing, for the rule depends on the port of the way out"},
	{"return", (*decision).back, "which way do its answers go, and by which key will they come"},
}

// decision is one flow's way through the questions.
type decision struct {
	*decider
	q *dataplane.Query
	d *dataplane.Decision
	// now is the flow as translated so far; in is what came.
	now  nat.Flow
	hash uint64
	// target is what destination NAT said, valid if translated.
	target     nat.Target
	translated bool
	route      *fib.Route
	out        uint16
	done       bool
}

// decisions keeps the questions from costing an allocation each.
var decisions = sync.Pool{New: func() any { return new(decision) }}

// Decide implements dataplane.Decider.
func (t *decider) Decide(q *dataplane.Query, d *dataplane.Decision) {
	k := q.Key
	x := decisions.Get().(*decision)
	defer decisions.Put(x)
	*x = decision{decider: t, q: q, d: d, hash: t.hasher.Hash(k), now: nat.Flow{
		Src: k.Src(), Dst: k.Dst(), SrcPort: k.SrcPort(), DstPort: k.DstPort(), Proto: k.Proto(), In: q.Port,
	}}
	for i := range Decision {
		if d.Drop = Decision[i].Run(x); d.Drop != drop.None {
			if d.Mapping != 0 && (q.Old == nil || q.Old.Mapping != d.Mapping) {
				t.nat.Release(nat.Handle(d.Mapping), x.remote(), q.Now, true)
				d.Mapping = 0
			}
			return
		}
		if x.done {
			return
		}
	}
	if q.Old == nil {
		x.countRules()
	}
}

// remote is the host that the flow's mapping counts a session with.
func (x *decision) remote() uint32 {
	if x.d.Rule[1] == 0 {
		return x.q.Key.Src()
	}
	return x.now.Dst
}

// kernelKeeps asks whether the packet is for the host's kernel, which then has got it by
// itself if it came by the port where the kernel has the address.
func (x *decision) kernelKeeps() drop.Reason {
	port, ok := x.kernel[x.now.Dst]
	switch {
	case !ok:
		return drop.None
	case port != x.q.Port:
		return drop.LocalNotServed
	}
	x.d.Kernel, x.done = true, true
	return drop.None
}

// destination asks who the packet is really for.
func (x *decision) destination() drop.Reason {
	target, ok := x.rules.Destination(x.now)
	if ok {
		x.target, x.translated = target, true
		x.now.Dst, x.now.DstPort = target.Addr, target.Port
		x.d.Rule[0] = uint16(target.Rule.Number)
		return drop.None
	}
	if x.q.Port == x.plan.HostPort || !x.own(x.now.Dst) {
		return drop.None
	}
	return x.inbound()
}

// inbound takes up a packet from outside to a mapping, if its filter lets it in.
func (x *decision) inbound() drop.Reason {
	if old := x.q.Old; old != nil && old.Mapping != 0 && old.Rule[1] == 0 {
		x.now.Dst, x.now.DstPort = old.Key[1].Src(), old.Key[1].SrcPort()
		x.d.Mapping, x.translated = old.Mapping, true
		return drop.None
	}
	to, reason := x.nat.Inbound(x.now)
	if to.Handle != 0 {
		x.now.Dst, x.now.DstPort = to.Addr, to.Port
		x.d.Mapping, x.translated = uint32(to.Handle), true
	}
	return reason
}

// local asks whether the packet is for the gateway.
func (x *decision) local() drop.Reason {
	if !x.own(x.now.Dst) || x.q.Port == x.plan.HostPort {
		return drop.None
	}
	if reason := x.permit(localRealm); reason != drop.None {
		return reason
	}
	if s := x.serviceFor(&x.now); s != nil {
		if x.hostWay == 0 {
			return drop.HostPortAbsent
		}
		x.d.Local = true
		x.out = x.plan.HostPort
		x.d.Way[0] = x.hostWay
		x.d.Route = uint32(s.Line)
		return drop.None
	}
	if x.now.Proto == flow.ICMP && !x.translated {
		x.d.Self, x.done = true, true
		return drop.None
	}
	switch x.now.Proto {
	case flow.IPIP, flow.IPv6, flow.GRE:
		return drop.TunnelNotConfigured // silently: there is no tunnel of these
	case flow.UDP:
		x.d.Reject = dataplane.RejectPort
	}
	return drop.LocalNotServed
}

// routeTo asks where the destination is.
func (x *decision) routeTo() drop.Reason {
	if x.d.Local {
		return drop.None
	}
	var reason drop.Reason
	x.route, x.d.Way[0], reason = x.way(x.now.Dst, x.q.Port, x.hash)
	if reason != drop.None {
		x.d.Reject = rejectOf(reason)
		if x.route != nil && x.route.Kind == fib.Unreachable {
			x.d.Reject = dataplane.RejectHost
		}
		return reason
	}
	v := &x.plan.Ways.All()[x.d.Way[0]]
	if v.Encap && x.q.Port != x.plan.HostPort && x.plan.Tunnels[v.Tunnel].Loops(x.q.Key.Src(), v.OuterDst) {
		return drop.TunnelLoop // RFC 2003 section 3.2
	}
	x.out = x.portOf(x.d.Way[0])
	x.d.Route = uint32(x.route.Line)
	return drop.None
}

func rejectOf(r drop.Reason) dataplane.Reject {
	switch r {
	case drop.NoRoute:
		return dataplane.RejectNet
	case drop.NeighborUnresolved, drop.PortDown:
		return dataplane.RejectHost
	}
	return dataplane.RejectSilent
}

// source asks as whom the packet leaves.
func (x *decision) source() drop.Reason {
	if x.d.Local || x.q.Port == x.plan.HostPort {
		return drop.None
	}
	var rule *nat.Rule
	egress := x.addressOf(x.out)
	if x.translated && x.target.Hairpin {
		arrived := x.now
		arrived.Dst, arrived.DstPort = x.q.Key.Dst(), x.q.Key.DstPort()
		rule = x.rules.HairpinSource(arrived)
		if at := x.owned[arrived.Dst]; at != dataplane.NoPort {
			egress = x.addressOf(at) // as the outside would see it
		} else {
			egress = arrived.Dst
		}
	} else {
		rule = x.rules.Source(x.now, x.out)
	}
	if rule == nil || rule.Kind == nat.Exempt {
		return drop.None
	}
	if old := x.q.Old; old != nil && old.Mapping != 0 && x.nat.Keep(nat.Handle(old.Mapping), rule, x.now, egress) {
		r := old.Key[1]
		x.now.Src, x.now.SrcPort = r.Dst(), r.DstPort()
		x.d.Mapping = old.Mapping
	} else {
		if x.now.Proto == flow.TCP && !x.q.SYN {
			return drop.NoSession // its mapping is gone: only a SYN begins one
		}
		to, reason := x.nat.Map(rule, x.now, egress, x.q.Now)
		if reason != drop.None {
			if reason == drop.NATPortsExhausted || reason == drop.NATLimit {
				x.d.Reject = dataplane.RejectProhibited // RFC 5508 REQ-8
			}
			return reason
		}
		x.now.Src, x.now.SrcPort = to.Addr, to.Port
		x.d.Mapping = uint32(to.Handle)
	}
	x.d.Rule[1] = uint16(rule.Number)
	x.d.OneWayRefresh = x.d.Mapping != 0
	return drop.None
}

// back finds the way of the answers, and the key by which they will come.
func (x *decision) back() drop.Reason {
	k := x.q.Key
	if x.now.Proto == flow.ICMP {
		x.now.DstPort = x.now.SrcPort // one identifier, both ways
	}
	x.d.Reply = flow.Make(x.now.Dst, x.now.Src, x.now.DstPort, x.now.SrcPort, x.now.Proto, x.plan.Ports[x.out].Realm)
	if x.q.Port == x.plan.HostPort {
		x.d.Local = true
		x.d.Way[1] = x.hostWay
		return drop.None
	}
	_, way, reason := x.way(k.Src(), x.out, x.hash)
	switch reason {
	case drop.None:
	case drop.PortDown:
		return reason // for now
	default:
		// Its sender cannot be answered: say no to the flow rather than to each
		// of its answers (RFC 3704 would have caught it on a port that checks).
		return drop.ReversePath
	}
	x.d.Way[1] = way
	return drop.None
}

// countRules counts a new flow with the rules that decided it, and logs it where the
// destination rule asks for it; of the others' mappings nat tells.
func (x *decision) countRules() {
	for i, n := range x.d.Rule {
		if n == 0 {
			continue
		}
		r := x.rules.All()[n-1]
		r.Hit()
		if i == 0 && r.Log() && x.log != nil {
			x.log.session(r, x.q.Key, x.now)
		}
	}
}
