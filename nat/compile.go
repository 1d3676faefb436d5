package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"openvra/dataplane/flow"
)

// A RuleError says what is wrong with a rule.
type RuleError struct {
	// Line and Name are the rule's own.
	Line int
	Name string
	// Text reads "got ...; want ...", after the field's name.
	Text string
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("line %d: nat rule %q: %s", e.Line, e.Name, e.Text)
}

// HairpinRule is the name of the built-in rule of Rules.HairpinSource.
const HairpinRule = "(hairpin)"

// MaxRules is how many rules a Section may have.
const MaxRules = 60000

// Compile checks the section and compiles it. Its error joins one *RuleError per
// fault, in the order of the rules.
func Compile(s Section) (*Rules, error) {
	c := compiler{names: map[string]bool{HairpinRule: true}, held: tupleSetBuilder{}}
	r := &Rules{}
	c.rules = r
	for i := range s.OneToOne {
		c.oneToOne(&s.OneToOne[i])
	}
	for i := range s.Destinations {
		c.destination(&s.Destinations[i])
	}
	for i := range s.Sources {
		c.source(&s.Sources[i])
	}
	for _, v := range s.Reserved {
		c.reserve(v)
	}
	if n := len(r.rules); n > MaxRules {
		c.fail("", 0, "got %d rules; want at most %d", n, MaxRules)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	r.reserved = c.held.build()
	r.announced = mergeSpans(r.announced)
	r.destinations.build(c.toInside)
	r.sources.build(c.toOutside)
	r.hairpin = c.rule(&Rule{Name: HairpinRule, Kind: Masquerade, ports: PortRange{1, 65535}})
	return r, nil
}

type compiler struct {
	rules               *Rules
	held                tupleSetBuilder
	names               map[string]bool
	toInside, toOutside []selector // of the destination and source lists
	errs                []error
}

func (c *compiler) fail(name string, line int, format string, args ...any) {
	c.errs = append(c.errs, &RuleError{line, name, fmt.Sprintf(format, args...)})
}

// rule adds a rule to the list of all.
func (c *compiler) rule(r *Rule) *Rule {
	r.reserved, r.count = &c.rules.reserved, &Counters{}
	c.rules.rules = append(c.rules.rules, r)
	r.Number = uint16(len(c.rules.rules))
	return r
}

// inward files a rule among those that translate destinations.
func (c *compiler) inward(r *Rule, m match, s selector) {
	l := &c.rules.destinations
	l.rules, l.matches = append(l.rules, r), append(l.matches, m)
	c.toInside = append(c.toInside, s)
}

// outward files a rule among those that translate sources.
func (c *compiler) outward(r *Rule, m match, s selector) {
	l := &c.rules.sources
	l.rules, l.matches = append(l.rules, r), append(l.matches, m)
	c.toOutside = append(c.toOutside, s)
}

// check reports faults in what all kinds of rules have.
func (c *compiler) check(name string, line int, s selector, others ...[]netip.Prefix) bool {
	before := len(c.errs)
	if name == "" || c.names[name] {
		c.fail(name, line, "name: got %q; want one of its own", name)
	}
	c.names[name] = true
	for _, ps := range append(others, s.from, s.to) {
		for _, p := range ps {
			if !p.IsValid() || !p.Addr().Is4() {
				c.fail(name, line, "prefix: got %q; want an IPv4 prefix", p)
			}
		}
	}
	for _, r := range s.ports {
		if r.First > r.Last || r.First == 0 {
			c.fail(name, line, "ports: got %v; want 1 to 65535, the lower first", r)
		}
	}
	isPortless := func(p uint8) bool { return p != flow.TCP && p != flow.UDP }
	if len(s.ports) > 0 && (len(s.protos) == 0 || slices.ContainsFunc(s.protos, isPortless)) {
		c.fail(name, line, "protocols: got %v; want TCP, UDP or both beside ports", s.protos)
	}
	return len(c.errs) == before
}

func (c *compiler) oneToOne(o *OneToOne) {
	in, out := []netip.Prefix{o.Inside}, []netip.Prefix{o.Outside}
	toInside := selector{to: out}
	if !c.check(o.Name, o.Line, toInside, in, o.NotRemote) {
		return
	}
	if o.Inside.Bits() != o.Outside.Bits() {
		c.fail(o.Name, o.Line, "inside: got %v; want a prefix of %d bits, as outside", o.Inside, o.Outside.Bits())
		return
	}
	remote := prefixSpans(o.NotRemote)
	inside, outside := prefixSpans(in), prefixSpans(out)
	r := c.rule(&Rule{
		Name: o.Name, Line: o.Line, Kind: oneToOne, links: o.Links,
		newDst: inside[0].first, newSrc: outside[0].first, hostBits: ^mask(o.Inside.Bits()),
	})
	c.inward(r, match{links: o.Links, anyLink: o.Hairpin, to: outside, notFrom: remote}, toInside)
	c.outward(r, match{links: o.Links, from: inside, notTo: remote}, selector{from: in})
	c.rules.announced = append(c.rules.announced, outside...)
	for class := range uint8(classes) {
		c.held.add(o.Outside, class, allPorts)
	}
}

func (c *compiler) destination(d *Destination) {
	sel := selector{from: d.From, to: d.To, protos: d.Protos, ports: d.Ports}
	if !c.check(d.Name, d.Line, sel, d.NotFrom, []netip.Prefix{d.New}) {
		return
	}
	r := c.rule(&Rule{
		Name: d.Name, Line: d.Line, Kind: destination, links: d.In, log: d.Log,
		newDst: prefixSpan(d.New).first, hostBits: ^mask(d.New.Bits()), newPorts: d.NewPorts,
	})
	if d.New.Bits() < 32 && (len(d.To) != 1 || d.To[0].Bits() != d.New.Bits()) {
		c.fail(d.Name, d.Line, "new: got %v; want one address, or a prefix as long as the only one in to", d.New)
	}
	if n := d.NewPorts; !n.isZero() {
		if n.First == 0 || n.First > n.Last || len(d.Ports) == 0 || n.First < n.Last &&
			(len(d.Ports) != 1 || n.Last-n.First != d.Ports[0].Last-d.Ports[0].First) {
			c.fail(d.Name, d.Line, "new ports: got %v; want one port, or a range as long as the only one in ports", n)
		} else {
			r.oldPorts = d.Ports[0]
		}
	}
	c.inward(r, match{
		links: d.In, anyLink: d.Hairpin, protos: slices.Clone(d.Protos), ports: slices.Clone(d.Ports),
		from: prefixSpans(d.From), notFrom: prefixSpans(d.NotFrom), to: prefixSpans(d.To),
	}, sel)
	for _, to := range d.To {
		for _, proto := range d.Protos {
			for _, ports := range d.Ports {
				c.held.add(to, classOf(proto), ports)
			}
		}
	}
}

func (c *compiler) source(s *Source) {
	sel := selector{from: s.From, to: s.To, protos: s.Protos, ports: s.DstPorts}
	if !c.check(s.Name, s.Line, sel, s.NotFrom, s.NotTo) {
		return
	}
	r := c.rule(&Rule{
		Name: s.Name, Line: s.Line, Kind: s.Kind, links: s.Out, hosts: prefixSpans(s.From), ports: s.Ports,
		filtering: s.Filtering, anyParity: s.AnyParity, overload: s.Overload, log: s.Log, maxPorts: uint16(s.MaxPorts),
	})
	if r.ports.isZero() || s.Block == 0 && r.ports == (PortRange{1024, 65535}) {
		r.ports = PortRange{1, 65535}
	}
	switch {
	case s.Kind != Masquerade && s.Kind != Pool && s.Kind != Exempt:
		c.fail(s.Name, s.Line, "kind: got %v; want masquerade, pool or exempt", s.Kind)
	case s.Kind != Pool && len(s.Addresses) > 0:
		c.fail(s.Name, s.Line, "addresses: got %d; want none beside %v", len(s.Addresses), s.Kind)
	case r.ports.First == 0 || r.ports.First > r.ports.Last:
		c.fail(s.Name, s.Line, "outside ports: got %v; want 1 to 65535, the lower first", s.Ports)
	case s.MaxPorts < 0 || s.MaxPorts > 65535:
		c.fail(s.Name, s.Line, "max ports: got %d; want 0 to 65535", s.MaxPorts)
	case s.Overload && s.Filtering != AddressAndPortDependent:
		c.fail(s.Name, s.Line, "filtering: got %v; want address-and-port-dependent beside overload", s.Filtering)
	case s.Filtering > EndpointIndependent:
		c.fail(s.Name, s.Line, "filtering: got %d; want 0 to 2", s.Filtering)
	}
	c.pool(r, s)
	c.outward(r, match{
		links: s.Out, protos: slices.Clone(s.Protos), ports: slices.Clone(s.DstPorts),
		from: r.hosts, notFrom: prefixSpans(s.NotFrom),
		to: prefixSpans(s.To), notTo: prefixSpans(s.NotTo),
	}, sel)
}

func (c *compiler) pool(r *Rule, s *Source) {
	for _, a := range s.Addresses {
		if !a.First.Is4() || !a.Last.Is4() || a.Last.Less(a.First) {
			c.fail(s.Name, s.Line, "addresses: got %v to %v; want IPv4 addresses, the lower first", a.First, a.Last)
			return
		}
		r.pool = append(r.pool, span{addr4(a.First), addr4(a.Last)})
	}
	r.pool = mergeSpans(r.pool)
	c.rules.announced = append(c.rules.announced, r.pool...)
	if n := r.pool.size(); n > MaxPoolAddresses {
		c.fail(s.Name, s.Line, "addresses: got %d of them; want at most %d", n, MaxPoolAddresses)
	}
	r.poolSize = uint32(r.pool.size())
	if s.Block == 0 {
		return
	}
	if s.Block < 0 || s.Block > 65535 || s.Kind != Pool || s.MaxPorts > 0 || len(s.From) == 0 {
		c.fail(s.Name, s.Line, "block: got %d; want 1 to 65535 ports, a pool, from, and no max ports", s.Block)
		return
	}
	r.block = uint16(s.Block)
	if blocks := r.pool.size() * uint64(r.blocksPerAddress()); blocks < r.hosts.size() {
		c.fail(s.Name, s.Line, "block: got %d blocks of %d ports; want one for each of %d hosts",
			blocks, s.Block, r.hosts.size())
	}
}

func (c *compiler) reserve(v Reserved) {
	p := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v.Addr.IsValid() {
		if !v.Addr.Is4() {
			c.fail("", 0, "reserved address: got %v; want IPv4", v.Addr)
			return
		}
		p = netip.PrefixFrom(v.Addr, 32)
	}
	if v.Ports.First > v.Ports.Last {
		c.fail("", 0, "reserved ports: got %v; want the lower first", v.Ports)
		return
	}
	if v.Ports.isZero() {
		v.Ports = allPorts
	}
	c.held.add(p, classOf(v.Proto), v.Ports)
}
