package admin

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A SessionFilter chooses sessions. What is set must hold, all of it; the zero
// filter matches every session.
type SessionFilter struct {
	// Src matches the source as it came or as it leaves, Dst the destination so.
	Src, Dst netip.Prefix
	// Port matches any port of either direction, SrcPort and DstPort as Src and
	// Dst do. Zero matches all.
	Port, SrcPort, DstPort uint16
	// Protocol matches if HasProtocol.
	Protocol    Protocol
	HasProtocol bool
	// State, In, Out and Zone match whole names; Zone that of either side.
	State, In, Out, Zone string
	// NAT matches sessions that are translated.
	NAT bool
}

// Match says whether f chooses s. It reads what it names of s: the protocol, the
// state, addresses and ports of both directions, ports and zones. So a gateway can
// fill in those first, and the rest only when it matches. No allocation.
func (f *SessionFilter) Match(s *Session) bool {
	o, r := &s.Original, &s.Reply
	switch {
	case f.HasProtocol && f.Protocol != s.Protocol,
		f.Src.IsValid() && !f.Src.Contains(o.Src) && !f.Src.Contains(r.Dst),
		f.Dst.IsValid() && !f.Dst.Contains(o.Dst) && !f.Dst.Contains(r.Src),
		f.SrcPort != 0 && f.SrcPort != o.SrcPort && f.SrcPort != r.DstPort,
		f.DstPort != 0 && f.DstPort != o.DstPort && f.DstPort != r.SrcPort,
		f.Port != 0 && f.Port != o.SrcPort && f.Port != o.DstPort && f.Port != r.SrcPort && f.Port != r.DstPort,
		f.State != "" && f.State != s.State,
		f.In != "" && f.In != s.In,
		f.Out != "" && f.Out != s.Out,
		f.Zone != "" && f.Zone != s.InZone && f.Zone != s.OutZone,
		f.NAT && !s.Translated():
		return false
	}
	return true
}

// A filterKey is one key of the query, which is also the flag of "vra show sessions".
type filterKey struct {
	name, want string
	set        func(f *SessionFilter, value string) error
}

func filterKeys() []filterKey {
	return []filterKey{
		{"src", "an address or prefix", func(f *SessionFilter, v string) error { return setPrefix(&f.Src, v) }},
		{"dst", "an address or prefix", func(f *SessionFilter, v string) error { return setPrefix(&f.Dst, v) }},
		{"port", "a port of either side", func(f *SessionFilter, v string) error { return setPort(&f.Port, v) }},
		{"sport", "a source port", func(f *SessionFilter, v string) error { return setPort(&f.SrcPort, v) }},
		{"dport", "a destination port", func(f *SessionFilter, v string) error { return setPort(&f.DstPort, v) }},
		{"protocol", "a protocol's name or number", func(f *SessionFilter, v string) (err error) {
			f.HasProtocol = true
			f.Protocol, err = ParseProtocol(strings.ToLower(v))
			return err
		}},
		{"state", "a state, as established", func(f *SessionFilter, v string) error { return setName(&f.State, v) }},
		{"in", "the port it came in by", func(f *SessionFilter, v string) error { return setName(&f.In, v) }},
		{"out", "the port it leaves by", func(f *SessionFilter, v string) error { return setName(&f.Out, v) }},
		{"zone", "a zone of either side", func(f *SessionFilter, v string) error { return setName(&f.Zone, v) }},
		{"nat", "true: only translated ones", func(f *SessionFilter, v string) (err error) {
			if f.NAT, err = strconv.ParseBool(v); err != nil {
				return fmt.Errorf("got %q; want true or false", v)
			}
			return nil
		}},
	}
}

// FilterKeys calls each for every key of a filter with what its value is.
func FilterKeys(each func(name, want string)) {
	for _, k := range filterKeys() {
		each(k.name, k.want)
	}
}

// ParseFilter reads a filter and a limit from a query. Without a limit it is 1000.
func ParseFilter(q url.Values) (f SessionFilter, limit int, err error) {
	limit = 1000
	keys := filterKeys()
	for name, values := range q {
		i := slices.IndexFunc(keys, func(k filterKey) bool { return k.name == name })
		switch {
		case len(values) != 1:
			err = fmt.Errorf("got %d values; want one", len(values))
		case name == "limit":
			if limit, err = strconv.Atoi(values[0]); err != nil || limit < 1 || limit > MaxSessions {
				err = fmt.Errorf("got %q; want 1 to %d", values[0], MaxSessions)
			}
		case i < 0:
			err = fmt.Errorf("got an unknown filter; want one of those of vra show sessions --help")
		default:
			err = keys[i].set(&f, values[0])
		}
		if err != nil {
			return f, 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return f, limit, nil
}

func setPrefix(p *netip.Prefix, v string) (err error) {
	if *p, err = netip.ParsePrefix(v); err == nil {
		return nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("got %q; want an address or prefix, as 192.0.2.0/24", v)
	}
	*p = netip.PrefixFrom(a, a.BitLen())
	return nil
}

func setPort(p *uint16, v string) error {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("got %q; want a port from 1 to 65535", v)
	}
	*p = uint16(n)
	return nil
}

func setName(s *string, v string) error {
	if v == "" {
		return fmt.Errorf("got nothing; want a name")
	}
	*s = v
	return nil
}
