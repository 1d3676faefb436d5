package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// check fills in the defaults that depend on other keys and reports what does not hold between
// keys. It runs over what decode could read, so that everything is reported at once; zero values
// are those decode has already refused.
func check(c *Config, root *yaml.Node, r *report) {
	k := &checker{Config: c, report: r, root: root, broken: map[string]bool{},
		isPort: map[string]bool{}, names: map[string]int{}, zoneLines: map[string]int{}, own: map[netip.Addr]int{},
		connected: map[string]*prefixSet{"": {}}}
	for _, e := range r.errs {
		k.broken[first(e.Path)] = true
	}
	k.ports()
	k.subnets()
	k.zones()
	k.routes()
	k.neighbors()
	k.tunnels()
	k.nat()
	k.policy()
	k.host()
	k.globals()
}

// checker holds what the checks have found so far. Each map is from a name or value to the line
// it stands on.
type checker struct {
	*Config
	*report
	root   *yaml.Node
	broken map[string]bool // top-level keys that decode refused a part of

	ifaces    []iface
	isPort    map[string]bool       // names of ports and sub-ports
	names     map[string]int        // those, and names of tunnels
	zoneLines map[string]int        // zones that something belongs to
	own       map[netip.Addr]int    // own addresses and VIPs
	connected map[string]*prefixSet // subnets by port; "" holds them all
}

// iface is a port or a sub-port.
type iface struct {
	name, zone string
	addresses  []netip.Prefix
	vips       []netip.Addr
	line       int
	path       []any
}

// first returns the top-level key of a path.
func first(path string) string {
	for i, c := range path {
		if c == '.' || c == '[' {
			return path[:i]
		}
	}
	return path
}

// wrong reports that the value at path is not want. An empty got stands for the value as written.
func (k *checker) wrong(got, want string, path ...any) {
	if k.full() {
		return
	}
	line, spelled, written := locate(k.root, path)
	if got == "" {
		got = written
	}
	k.add(line, spelled, got, want)
}

// locate follows path, of keys and indexes, from n as far as the file goes. A key that is not there
// is spelled; an index into a value that is written without a list is not.
func locate(n *yaml.Node, path []any) (line int, spelled, written string) {
	line = n.Line
	for _, step := range path {
		var next *yaml.Node
		switch step := step.(type) {
		case string:
			if n != nil && n.Kind != yaml.MappingNode {
				continue // the short form
			}
			key, value := lookup(n, step)
			if key != nil {
				line, step, next = key.Line, key.Value, value
			}
			if spelled != "" {
				spelled += "."
			}
			spelled += step
		case int:
			if n == nil || n.Kind != yaml.SequenceNode {
				continue
			}
			next = n.Content[step]
			line = next.Line
			spelled += "[" + strconv.Itoa(step) + "]"
		}
		n = next
	}
	return line, spelled, got(n)
}

// lookup finds key, or its other spelling, in the mapping n.
func lookup(n *yaml.Node, key string) (k, v *yaml.Node) {
	if n == nil {
		return nil, nil
	}
	other := map[string]string{"neighbours": "neighbors"}[key]
	for i := 0; i+1 < len(n.Content); i += 2 {
		if w := n.Content[i].Value; w == key || w == other && other != "" {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// join returns path with more steps, in memory of its own.
func join(path []any, more ...any) []any {
	return append(append(make([]any, 0, len(path)+len(more)), path...), more...)
}

// once reports a name that an earlier line has already, and notes it otherwise. Empty names are
// decode's business.
func (k *checker) once(seen map[string]int, name string, line int, what string, path ...any) {
	if name == "" {
		return
	}
	if before, again := seen[name]; again {
		k.wrong("", fmt.Sprintf("%s of its own; line %d has this one", what, before), path...)
		return
	}
	seen[name] = line
}

// port reports a name that is no port.
func (k *checker) port(name string, path ...any) {
	if !k.isPort[name] && name != "" && !k.broken["ports"] {
		k.wrong("", "the name of a port", path...)
	}
}

// portsOrZones reports names that are neither.
func (k *checker) portsOrZones(names []string, path ...any) {
	if k.broken["ports"] || k.broken["tunnels"] {
		return
	}
	for i, name := range names {
		if _, isZone := k.zoneLines[name]; !k.isPort[name] && !isZone && name != "" {
			k.wrong("", "the name of a port or a zone", join(path, i)...)
		}
	}
}

// globals checks timers and the control side.
func (k *checker) globals() {
	timers := reflect.ValueOf(k.Timeouts)
	for _, f := range make(types).object(timers.Type()).fields {
		least, rfc, _ := strings.Cut(f.floor, " ")
		d, ok := parseDuration(least)
		if got := timers.Field(f.index); ok && !k.Timeouts.AllowShort && got.Int() != 0 && got.Int() < int64(d) {
			k.wrong("", fmt.Sprintf("at least %s (%s), or timeouts.allowShort: true", least, rfc), "timeouts", f.key)
		}
	}
	if m := k.Admin.Metrics; m.IsValid() && !m.Addr().Unmap().IsLoopback() && !k.Admin.MetricsPublic {
		k.wrong("", "a loopback address, or admin.metricsPublic: true", "admin", "metrics")
	}
}

// prefixSet is a set of prefixes that finds the longest one around an address or a prefix.
type prefixSet struct {
	owner map[netip.Prefix]string
	has   [33]bool // by length
}

// newPrefixSet returns the set of those prefixes that are valid.
func newPrefixSet(prefixes []netip.Prefix, owner string) *prefixSet {
	s := &prefixSet{}
	for _, p := range prefixes {
		if p.IsValid() {
			s.add(p, owner)
		}
	}
	return s
}

func (s *prefixSet) add(p netip.Prefix, owner string) {
	if s.owner == nil {
		s.owner = map[netip.Prefix]string{}
	}
	s.owner[p] = owner
	s.has[p.Bits()] = true
}

// covering returns the longest prefix of s that holds all of p. A nil set holds nothing.
func (s *prefixSet) covering(p netip.Prefix) (in netip.Prefix, owner string, ok bool) {
	if s == nil || !p.IsValid() {
		return netip.Prefix{}, "", false
	}
	for bits := p.Bits(); bits >= 0; bits-- {
		if !s.has[bits] {
			continue
		}
		in = netip.PrefixFrom(p.Addr(), bits).Masked()
		if owner, ok = s.owner[in]; ok {
			return in, owner, true
		}
	}
	return netip.Prefix{}, "", false
}

// overlapping calls found with the indexes, in file order, of each prefix that overlaps another. Of
// several around one it names the widest; prefixes that are not valid are left out.
func overlapping(n int, prefix func(int) netip.Prefix, found func(first, later int)) {
	order := make([]int, 0, n)
	for i := range n {
		if prefix(i).IsValid() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(prefix(a).Addr().Compare(prefix(b).Addr()), cmp.Compare(prefix(a).Bits(), prefix(b).Bits()))
	})
	around := -1
	for _, i := range order {
		if around < 0 || !prefix(around).Contains(prefix(i).Addr()) {
			around = i
			continue
		}
		found(min(around, i), max(around, i))
	}
}

// single returns a as a prefix; it is not valid when a is not.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
