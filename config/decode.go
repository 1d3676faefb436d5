package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// trail is the way from the document to a value; it is spelled only when something is wrong.
type trail struct {
	up    *trail
	key   string // of a mapping, or
	index int    // of a list
}

// String returns the form ports[0].mtu.
func (t *trail) String() string {
	if t == nil {
		return ""
	}
	if t.key == "" {
		return t.up.String() + "[" + strconv.Itoa(t.index) + "]"
	}
	if up := t.up.String(); up != "" {
		return up + "." + t.key
	}
	return t.key
}

// decode reads root into a Config of defaults, reporting what does not fit.
func decode(root *yaml.Node, r *report) *Config {
	o := rootObject()
	v := reflect.New(o.typ).Elem()
	v.Set(o.zero)
	d := decoder{r}
	d.object(root, root.Line, o, v, nil)
	return v.Addr().Interface().(*Config)
}

type decoder struct{ *report }

// object reads n, whose key stands on line, into v, which holds o's defaults.
func (d decoder) object(n *yaml.Node, line int, o *object, v reflect.Value, at *trail) {
	if o.line >= 0 {
		v.Field(o.line).SetInt(int64(line))
	}
	if o.short != nil && n.Kind != yaml.MappingNode {
		d.value(n, line, o.short, v.Field(o.short.index), at)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(line, at.String(), got(n), "a mapping")
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := &trail{up: at, key: clip(key.Value)}
		f := o.byKey[key.Value]
		if key.Kind != yaml.ScalarNode || f == nil {
			d.unknown(key, o, at)
			continue
		}
		if first, again := seen[f.key]; again {
			d.add(key.Line, here.String(), "the key again", fmt.Sprintf("it once; first on line %d", first))
			continue
		}
		seen[f.key] = key.Line
		d.value(value, key.Line, f, v.Field(f.index), here)
	}
	for _, f := range o.fields {
		if _, there := seen[f.key]; f.need && !there {
			d.add(line, (&trail{up: at, key: f.key}).String(), "nothing", f.want())
		}
	}
}

// unknown reports a key that o does not have.
func (d decoder) unknown(key *yaml.Node, o *object, at *trail) {
	if key.Kind != yaml.ScalarNode || key.Value == "" {
		d.add(key.Line, at.String(), "a key that is "+got(key), "a plain key")
		return
	}
	near, best := o.fields[0].key, 1<<30
	for name := range o.byKey {
		if n := Distance(clip(key.Value), name); n < best || n == best && name < near {
			near, best = name, n
		}
	}
	d.add(key.Line, (&trail{up: at, key: clip(key.Value)}).String(), "an unknown key", fmt.Sprintf("a known one, as %q", near))
}

// value reads n into v as f says.
func (d decoder) value(n *yaml.Node, line int, f *field, v reflect.Value, at *trail) {
	switch {
	case f.labels:
		d.labels(n, line, v, at)
	case !f.list:
		d.one(n, line, f, v, at)
	case n.Kind == yaml.SequenceNode:
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			if d.full() {
				return
			}
			d.element(item, item.Line, f, list.Index(i), &trail{up: at, index: i})
		}
		v.Set(list)
		if f.need && len(n.Content) == 0 {
			d.add(line, at.String(), "an empty list", "at least one")
		}
	case f.many && !null(n):
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.element(n, line, f, v.Index(0), at)
	default:
		d.add(line, at.String(), got(n), "a list")
	}
}

// element reads one element of a list.
func (d decoder) element(n *yaml.Node, line int, f *field, v reflect.Value, at *trail) {
	if f.object != nil {
		v.Set(f.object.zero)
	}
	d.one(n, line, f, v, at)
}

// one reads an object or a scalar.
func (d decoder) one(n *yaml.Node, line int, f *field, v reflect.Value, at *trail) {
	if f.object != nil {
		d.object(n, line, f.object, v, at)
		return
	}
	if want := f.read(n, v); want != "" {
		v.SetZero()
		d.add(n.Line, at.String(), got(n), want)
	}
}

// labels reads a mapping of strings.
func (d decoder) labels(n *yaml.Node, line int, v reflect.Value, at *trail) {
	if n.Kind != yaml.MappingNode {
		d.add(line, at.String(), got(n), "a mapping of labels")
		return
	}
	if len(n.Content)/2 > maxLabels {
		d.add(line, at.String(), fmt.Sprintf("%d labels", len(n.Content)/2), fmt.Sprintf("at most %d", maxLabels))
		return
	}
	label := patternOf("label")
	labels := make(map[string]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := &trail{up: at, key: clip(key.Value)}
		_, again := labels[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !label.ok(key.Value):
			d.add(key.Line, at.String(), got(key), label.want)
		case again:
			d.add(key.Line, here.String(), "the key again", "it once")
		case !text(value) && !null(value) && label.ok(value.Value):
			d.add(value.Line, here.String(), got(value), "a string: write it in quotes")
		case !text(value) || !label.ok(value.Value):
			d.add(value.Line, here.String(), got(value), label.want)
		default:
			labels[key.Value] = value.Value
		}
	}
	v.Set(reflect.ValueOf(labels))
}

// maxLabels bounds the labels of one port.
const maxLabels = 64

// read sets v from the scalar n and returns "", or what is wanted instead.
func (f *field) read(n *yaml.Node, v reflect.Value) string {
	s := f.scalar
	isText, isInt := text(n), n.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == "!!int"
	fits := isText
	switch {
	case s.number:
		fits = isInt || isText && n.Style == 0 || isText && f.word(n.Value)
	case s.mixed:
		fits = isText || isInt
	case s.flag, f.isEnum("true"):
		fits = n.Kind == yaml.ScalarNode && (n.Style == 0 || f.enum != nil)
	}
	if fits && n.Kind == yaml.ScalarNode && s.parse(f, n.Value, v) {
		return ""
	}
	if f.match != "" && n.Kind == yaml.ScalarNode && !isText && !null(n) {
		return "a string: write it in quotes"
	}
	if f.typ == reflect.TypeFor[netip.Prefix]() && !f.hostSet {
		if p, err := netip.ParsePrefix(n.Value); err == nil && p.Addr().Is4() {
			return fmt.Sprintf("no host bits, as %q", p.Masked())
		}
	}
	return s.want(f)
}

// want says what f takes.
func (f *field) want() string {
	switch {
	case f.list:
		return "a list with at least one"
	case f.object != nil:
		return "a mapping"
	}
	return f.scalar.want(f)
}

func (f *field) word(s string) bool {
	return slices.ContainsFunc(f.words, func(w word) bool { return w.name == s })
}

func (f *field) isEnum(s string) bool { return slices.Contains(f.enum, s) }

// text reports whether n is a string to every YAML reader.
func text(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!str" }

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// got spells n for an error.
func got(n *yaml.Node) string {
	switch {
	case n == nil || null(n):
		return "nothing"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case text(n):
		return strconv.Quote(clip(n.Value))
	}
	return clip(n.Value)
}

// clip bounds what an error repeats.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Distance is the Levenshtein distance of two short strings: how many bytes must be
// inserted, deleted or changed to make one of the other.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
