package appliance

import (
	"cmp"
	"fmt"
	"slices"

	"openvra/appliance/admin"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/policy"
	"openvra/dataplane/session"
	"openvra/nat"
)

// localRealm stands for the gateway and its host; no zone has it.
const localRealm = dataplane.NoPort

// zonePolicy says which flows may pass from zone to zone.
type zonePolicy struct {
	// pairs are the rule sets by the realms of the two zones.
	pairs map[[2]uint16]*ruleSet
	// fromLocal and toLocal say that a pair begins or ends with the gateway itself.
	fromLocal, toLocal bool
}

type ruleSet struct {
	*policy.Rules
	name     string
	fallback policy.Action
	line     int
}

// A verdict is what policy says of a flow: by the rule, or if that is nil by the default
// of the set, or if that is nil because of the zones.
type verdict struct {
	action policy.Action
	set    *ruleSet
	rule   *policy.Rule
}

// judge asks about a new flow between two realms, by its real endpoints.
func (z *zonePolicy) judge(from, to uint16, f nat.Flow) verdict {
	if from == to || len(z.pairs) == 0 {
		return verdict{action: policy.Accept}
	}
	s := z.pairs[[2]uint16{from, to}]
	if s == nil {
		if from == localRealm && !z.fromLocal || to == localRealm && !z.toLocal {
			return verdict{action: policy.Accept}
		}
		return verdict{action: policy.Drop}
	}
	p := policy.Flow{Src: f.Src, Dst: f.Dst, SrcPort: f.SrcPort, DstPort: f.DstPort, Proto: f.Proto}
	if f.Proto == flow.ICMPOther {
		p.Proto = flow.ICMP
	}
	if r := s.Match(p); r != nil {
		return verdict{r.Action, s, r}
	}
	return verdict{s.fallback, s, nil}
}

// policy asks whether the flow may leave by the zone of its way out. For flows to the
// gateway, local has asked.
func (x *decision) policy() drop.Reason {
	if x.d.Local {
		return drop.None
	}
	return x.permit(x.realmOf(x.out))
}

// permit asks whether the flow may go to a zone.
func (x *decision) permit(to uint16) drop.Reason {
	v := x.zones.judge(x.realmOf(x.q.Port), to, x.now)
	switch {
	case v.action == policy.Accept:
		return drop.None
	case v.set == nil:
		return drop.ZoneUnlisted
	case v.action == policy.Reject:
		x.d.Reject = dataplane.RejectProhibited // RFC 1812 section 5.2.7.1
	}
	return drop.PolicyDenied
}

// realmOf returns the realm of a port as policy sees it.
func (t *decider) realmOf(port uint16) uint16 {
	if port == t.plan.HostPort {
		return localRealm
	}
	return t.plan.Ports[port].Realm
}

// whyAllowed adds the rule by which policy let a session of this plan pass.
func (t *decider) whyAllowed(s *session.Session[flow.Key], v *admin.Session) {
	k, r := s.Key[session.Original], s.Key[session.Reply]
	to := t.portOf(s.Way[session.Original])
	a := t.zones.judge(t.realmOf(s.Port[session.Original]), t.realmOf(to), nat.Flow{
		Src: k.Src(), Dst: r.Src(), SrcPort: k.SrcPort(), DstPort: r.SrcPort(), Proto: k.Proto(),
	})
	switch {
	case a.rule != nil:
		v.Why = append(v.Why, admin.Reason{Kind: "policy", Name: fmt.Sprintf("%s rule %d", a.set.name, a.rule.Number), Source: t.source(a.rule.Line)})
	case a.set != nil:
		v.Why = append(v.Why, admin.Reason{Kind: "policy", Name: a.set.name + " default", Source: t.source(a.set.line)})
	}
}

// addPolicy compiles the rule sets and takes the pairs of zones in.
func (b *builder) addPolicy() error {
	sets := map[string]*ruleSet{}
	for i := range b.c.Policy.RuleSets {
		c := &b.c.Policy.RuleSets[i]
		rules, err := policy.New(policyRules(c.Rules))
		if err != nil {
			return fmt.Errorf("line %d: rule set %q: %w", c.Line, c.Name, err)
		}
		sets[c.Name] = &ruleSet{rules, c.Name, actions[c.Default], c.Line}
	}
	z := &b.t.zones
	z.pairs = map[[2]uint16]*ruleSet{}
	for i := range b.c.Policy.Zones {
		c := &b.c.Policy.Zones[i]
		pair := [2]uint16{localRealm, localRealm}
		for j, name := range []string{c.From, c.To} {
			if name != config.LocalZone {
				pair[j] = b.realms.number[name]
			}
		}
		z.fromLocal = z.fromLocal || c.From == config.LocalZone
		z.toLocal = z.toLocal || c.To == config.LocalZone
		z.pairs[pair] = sets[c.RuleSet]
	}
	return nil
}

var actions = map[string]policy.Action{"drop": policy.Drop, "accept": policy.Accept, "reject": policy.Reject}

// policyRules returns rules in the order of their numbers.
func policyRules(list []config.PolicyRule) []policy.Rule {
	rules := make([]policy.Rule, 0, len(list))
	for i := range list {
		c := &list[i]
		rules = append(rules, policy.Rule{
			From: c.From, To: c.To, Protocol: protos(c.Protocol), SourcePorts: policyPorts(c.SourcePorts), Ports: policyPorts(c.Ports),
			Action: actions[c.Action], Number: c.Number, Line: c.Line,
		})
	}
	slices.SortFunc(rules, func(a, b policy.Rule) int { return cmp.Compare(a.Number, b.Number) })
	return rules
}

func policyPorts(list []config.PortRange) (ports []policy.PortRange) {
	for _, r := range list {
		ports = append(ports, policy.PortRange{First: r.First, Last: r.Last})
	}
	return ports
}
