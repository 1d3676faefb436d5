// Package policy finds the first rule of a list that a new flow matches, in a time that
// hardly depends on how many rules there are or how many prefixes they name.
//
// Each of the five fields is cut into the intervals within which the same rules match,
// and each interval has the set of those rules, as bits in the rules' order. A lookup
// finds one interval a field by bisection; the first bit that all five sets have is the
// rule. Sets are stored without their empty words, under a summary of one bit a word, so
// that a thousand rules about a thousand subnets cost what one does.
package policy

import (
	"errors"
	"math/bits"
	"net/netip"
)

// Action is what a rule says of the flows that match it.
type Action uint8

// Actions. Reject tells the sender, Drop does not.
const (
	Drop Action = iota
	Accept
	Reject
)

// A PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// A Rule matches flows of which each field is in its list; an empty list matches all.
type Rule struct {
	From, To []netip.Prefix // IPv4
	Protocol []uint8        // IP protocol numbers
	// SourcePorts and Ports match numbers whatever the protocol: protocols without
	// ports have 0.
	SourcePorts, Ports []PortRange
	Action             Action
	// Number is the rule's name, and Line is where it stands in its file.
	Number, Line int
}

// A Flow is the first packet of one: addresses in host byte order, ports 0 where the
// protocol has none.
type Flow struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
	Proto            uint8
}

// Rules are a compiled list. They do not change; safe for concurrent use.
type Rules struct {
	rules  []Rule
	fields [fields]index
}

const (
	fields   = 5
	maxRules = 1 << 14
	// maxWords bounds what the sets of one list may take: 64 MiB.
	maxWords = 1 << 23
)

// ErrTooLarge is returned for a list of more than 16,384 rules, and for one whose
// prefixes overlap in so many ways that its sets would take more than 64 MiB.
var ErrTooLarge = errors.New("too many rules, or rules with too many overlapping prefixes")

// New compiles a list, of which the first rule that matches decides. It keeps rules.
func New(rules []Rule) (*Rules, error) {
	if len(rules) > maxRules {
		return nil, ErrTooLarge
	}
	r := &Rules{rules: rules}
	spans := [fields]func(*Rule) []span{
		func(r *Rule) []span { return prefixSpans(r.From) },
		func(r *Rule) []span { return prefixSpans(r.To) },
		func(r *Rule) []span { return protocolSpans(r.Protocol) },
		func(r *Rule) []span { return portSpans(r.SourcePorts) },
		func(r *Rule) []span { return portSpans(r.Ports) },
	}
	words := 0
	for i := range r.fields {
		x, err := compile(len(rules), func(n int) []span { return spans[i](&rules[n]) }, maxWords-words)
		if err != nil {
			return nil, err
		}
		words += len(x.words)
		r.fields[i] = x
	}
	return r, nil
}

// Match returns the first rule that f matches, or nil. It does not allocate.
func (r *Rules) Match(f Flow) *Rule {
	if len(r.rules) == 0 {
		return nil
	}
	var s [fields]set
	for i, v := range [fields]uint32{f.Src, f.Dst, uint32(f.Proto), uint32(f.SrcPort), uint32(f.DstPort)} {
		s[i] = r.fields[i].find(v)
	}
	for i := range s[0].summary {
		common := s[0].summary[i] & s[1].summary[i] & s[2].summary[i] & s[3].summary[i] & s[4].summary[i]
		for ; common != 0; common &= common - 1 {
			bit := bits.TrailingZeros64(common)
			all := ^uint64(0)
			for j := range s {
				all &= s[j].word(i, bit)
			}
			if all != 0 {
				return &r.rules[(i*64+bit)*64+bits.TrailingZeros64(all)]
			}
		}
		for j := range s {
			s[j].words = s[j].words[bits.OnesCount64(s[j].summary[i]):]
		}
	}
	return nil
}
