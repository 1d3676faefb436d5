package config

import "net/netip"

// LocalZone stands for the gateway itself and its host in pairs of zones.
const LocalZone = "local"

// Policy says which flows may pass. Without pairs of zones all may.
type Policy struct {
	RuleSets []RuleSet  `yaml:"ruleSets" doc:"rules by name, for pairs of zones to use"`
	Zones    []ZonePair `yaml:"zones" doc:"pairs of zones between which flows may pass as a rule set says; once there is one, a pair that is not listed is dropped, but within a zone all passes"`
}

// ZonePair is the way of flows from a zone to another. Their answers pass with them.
type ZonePair struct {
	Line    int    `yaml:"-"`
	From    string `yaml:"from" need:"yes" match:"name" doc:"zone that flows begin in, or local for the gateway's host"`
	To      string `yaml:"to" need:"yes" match:"name" doc:"zone that flows lead to, or local for the gateway and its host; pairs with local are free until one is listed that leads the same way"`
	RuleSet string `yaml:"ruleSet" need:"yes" match:"name" doc:"rule set that decides"`
}

// RuleSet is rules, of which the first that matches decides.
type RuleSet struct {
	Line    int          `yaml:"-"`
	Name    string       `yaml:"name" need:"yes" match:"name" doc:"name of the rule set"`
	Default string       `yaml:"default" default:"drop" enum:"drop|accept|reject" doc:"what becomes of flows that match no rule; reject says so to the sender (ICMP 3/13)"`
	Rules   []PolicyRule `yaml:"rules" doc:"rules, asked in the order of their numbers"`
}

// PolicyRule matches new flows by their real endpoints: after destination NAT, before source NAT.
// An empty matcher matches everything.
type PolicyRule struct {
	Line        int            `yaml:"-"`
	Number      int            `yaml:"number" need:"yes" range:"1..999999" doc:"place of the rule within its set"`
	Action      string         `yaml:"action" need:"yes" enum:"accept|drop|reject" doc:"what becomes of the flow; reject says so to the sender (ICMP 3/13)"`
	From        []netip.Prefix `yaml:"from" many:"yes" doc:"source is in one of these"`
	To          []netip.Prefix `yaml:"to" many:"yes" doc:"destination is in one of these"`
	Protocol    []Protocol     `yaml:"protocol" many:"yes" doc:"IP protocol by name or number"`
	Ports       []PortRange    `yaml:"ports" many:"yes" doc:"destination ports; needs protocol tcp or udp"`
	SourcePorts []PortRange    `yaml:"sourcePorts" many:"yes" doc:"source ports; needs protocol tcp or udp"`
}
