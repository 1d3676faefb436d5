package nat

import "openvra/dataplane/flow"

// Rules is the compiled NAT section of one configuration generation. It does not
// change and is safe for concurrent use. State.Bind comes before its first use
// with a State.
type Rules struct {
	destinations, sources ruleList
	reserved              tupleSet
	announced             spans // of pools and one-to-one rules
	hairpin               *Rule
	rules                 []*Rule
}

// A Rule is one compiled rule. It does not change.
type Rule struct {
	Name string
	Line int
	Kind Kind
	// Number is the rule's place in Rules.All, from 1.
	Number uint16

	links LinkSet // In of a destination rule, Out of a source rule, or Links

	// Static translation: new address | old address & hostBits, and new ports
	// for old ones, zero meaning the same.
	newDst, newSrc, hostBits uint32
	oldPorts, newPorts       PortRange

	// Dynamic translation.
	hosts     spans // From
	pool      spans
	poolSize  uint32
	ports     PortRange
	filtering Filtering
	anyParity bool
	overload  bool
	log       bool
	maxPorts  uint16
	block     uint16 // ports of each inside host; 0 for no blocks
	reserved  *tupleSet

	id    uint16 // of count within the State
	count *Counters
}

// Log says whether the rule asks for log lines.
func (r *Rule) Log() bool { return r.log }

// isDynamic says whether the rule makes mappings.
func (r *Rule) isDynamic() bool { return r.Kind == Masquerade || r.Kind == Pool }

// static returns f's source by a rule that makes no mappings.
func (r *Rule) static(f Flow) Translation {
	if r.Kind == oneToOne {
		return Translation{Addr: r.newSrc | f.Src&r.hostBits, Port: f.SrcPort}
	}
	return Translation{Addr: f.Src, Port: f.SrcPort}
}

// A Target is for whom a packet really is.
type Target struct {
	// Addr and Port are the new destination.
	Addr uint32
	Port uint16
	Rule *Rule
	// Hairpin says that the packet did not come by one of the rule's ports: its
	// source must be translated as Rules.HairpinSource says.
	Hairpin bool
}

// Destination returns for whom f really is by one-to-one and destination rules,
// false if no rule says anything. f is as it arrived.
func (r *Rules) Destination(f Flow) (Target, bool) {
	rule := r.destinations.find(&f, f.In, false)
	if rule == nil {
		return Target{}, false
	}
	return Target{
		Addr:    rule.newDst | f.Dst&rule.hostBits,
		Port:    rule.port(f),
		Rule:    rule,
		Hairpin: !rule.links.Has(f.In),
	}, true
}

// port returns f's destination port after a destination rule.
func (r *Rule) port(f Flow) uint16 {
	switch {
	case r.newPorts.isZero():
		return f.DstPort
	case r.newPorts.First == r.newPorts.Last:
		return r.newPorts.First
	}
	return r.newPorts.First + (f.DstPort - r.oldPorts.First)
}

// Source returns the rule for the source of f, which leaves by the logical port
// out, or nil: the source stays. Kind Exempt says so on purpose; every other kind
// goes to State.Map. f's destination is the translated one.
func (r *Rules) Source(f Flow, out uint16) *Rule {
	return r.sources.find(&f, out, false)
}

// HairpinSource returns the rule for the source of a flow whose Target says
// Hairpin: the one that would hold if f, as it arrived, went outside, whichever the
// port (RFC 4787, REQ-9a). Where no rule holds it is a masquerade, since a server in
// the client's own network must answer through the gateway. The egress address for
// State.Map is that of the port to which the address that f was sent to belongs, so
// that the client shows what it shows outside.
func (r *Rules) HairpinSource(f Flow) *Rule {
	if rule := r.sources.find(&f, 0, true); rule != nil {
		return rule
	}
	return r.hairpin
}

// All returns the rules in the order in which they are tried: one-to-one rules,
// destination rules, source rules, and last the masquerade of HairpinSource. The
// slice is the Rules' own.
func (r *Rules) All() []*Rule { return r.rules }

// admits says whether the rule could give out the outside address; egress is the
// address of the logical port of the way out.
func (r *Rule) admits(outside, egress uint32) bool {
	if r.Kind == Masquerade {
		return outside == egress
	}
	return r.Kind == Pool && r.pool.has(outside)
}

// portRange returns the outside ports for an entry's inside: the host's block if
// the rule has blocks; else those of the inside port's class in RFC 4787, REQ-3a, as
// far as the rule has any, and all identifiers for ICMP.
func (r *Rule) portRange(e *entry) PortRange {
	if r.block > 0 {
		_, ports := r.place(e.inside)
		return ports
	}
	if e.proto == flow.ICMP {
		return allPorts
	}
	within := PortRange{1024, 65535}
	if e.inPort < 1024 {
		within = PortRange{1, 1023}
	}
	within.First, within.Last = max(within.First, r.ports.First), min(within.Last, r.ports.Last)
	if within.First > within.Last {
		return r.ports
	}
	return within
}

// allows says whether the rule could give the entry's outside to its inside.
func (r *Rule) allows(e *entry, egress uint32) bool {
	if !r.admits(e.outside, egress) || e.flags&overloaded != 0 && !r.overload {
		return false
	}
	if r.block > 0 {
		if a, _ := r.place(e.inside); a != e.outside {
			return false
		}
	}
	class := classOf(e.proto)
	held := r.reserved.of(e.outside, class)
	if class == classOther {
		return len(held) == 0
	}
	return r.portRange(e).has(e.outPort) && !held.has(e.outPort)
}
