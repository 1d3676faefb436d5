package config

import "fmt"

// policy checks rule sets and the pairs of zones that use them.
func (k *checker) policy() {
	sets := map[string]int{}
	for i := range k.Policy.RuleSets {
		s := &k.Policy.RuleSets[i]
		k.once(sets, s.Name, s.Line, "a name", "policy", "ruleSets", i, "name")
		numbers := map[string]int{}
		for j := range s.Rules {
			r := &s.Rules[j]
			at := []any{"policy", "ruleSets", i, "rules", j}
			if r.Number != 0 {
				k.once(numbers, fmt.Sprint(r.Number), r.Line, "a number", join(at, "number")...)
			}
			k.portsNeedProtocol(r.Protocol, r.Ports, at...)
			k.keyNeedsProtocol("sourcePorts", r.Protocol, r.SourcePorts, at...)
		}
	}
	pairs := map[string]int{}
	for i := range k.Policy.Zones {
		p := &k.Policy.Zones[i]
		at := []any{"policy", "zones", i}
		k.zoneOrLocal(p.From, join(at, "from")...)
		k.zoneOrLocal(p.To, join(at, "to")...)
		if _, ok := sets[p.RuleSet]; !ok && p.RuleSet != "" && !k.broken["policy"] {
			k.wrong("", "the name of a rule set", join(at, "ruleSet")...)
		}
		if p.From == p.To && p.From != "" {
			k.wrong("", "another zone than from: within a zone all passes", join(at, "to")...)
			continue
		}
		if p.From != "" && p.To != "" {
			k.once(pairs, p.From+" "+p.To, p.Line, "a pair", join(at, "to")...)
		}
	}
	if line, ok := k.zoneLines[LocalZone]; ok && len(k.Policy.Zones) > 0 {
		k.wrong(fmt.Sprintf("a zone %q on line %d", LocalZone, line), "another name for it: in policy it is the gateway itself", "policy", "zones")
	}
}

// zoneOrLocal reports a name that is neither a zone nor the gateway itself.
func (k *checker) zoneOrLocal(name string, path ...any) {
	if _, ok := k.zoneLines[name]; !ok && name != LocalZone && name != "" && !k.broken["ports"] && !k.broken["tunnels"] {
		k.wrong("", "a zone of a port, sub-port or tunnel, or local", path...)
	}
}
