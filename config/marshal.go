package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

// Marshal returns the effective configuration, every default filled in, as YAML that loads to the
// same configuration again, lines aside.
func (c *Config) Marshal() ([]byte, error) {
	return render(encode(rootObject(), reflect.ValueOf(c).Elem()))
}

// render writes a document as the project's files are written.
func render(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return b.Bytes(), nil
}

// encode returns v, an object, as YAML. Keys without a value are left out.
func encode(o *object, v reflect.Value) *yaml.Node {
	n := mapNode()
	for _, f := range o.fields {
		if value := f.encode(v.Field(f.index)); value != nil {
			n.Content = append(n.Content, stringNode(f.key), value)
		}
	}
	return n
}

// encode returns the value of f, or nil when it has none.
func (f *field) encode(v reflect.Value) *yaml.Node {
	switch {
	case f.labels:
		return encodeLabels(v)
	case f.list:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if f.object == nil {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, f.encodeOne(v.Index(i)))
		}
		if len(n.Content) == 0 && !f.need {
			return nil
		}
		return n
	case f.def == "" && (v.IsZero() || f.object != nil && f.empty(v)):
		return nil
	}
	return f.encodeOne(v)
}

// empty reports whether v lacks a list its object needs, as an absent translation does.
func (f *field) empty(v reflect.Value) bool {
	return slices.ContainsFunc(f.object.fields, func(g *field) bool {
		return g.need && g.list && v.Field(g.index).Len() == 0
	})
}

func (f *field) encodeOne(v reflect.Value) *yaml.Node {
	if f.object != nil {
		return encode(f.object, v)
	}
	s := f.scalar.format(f, v)
	if f.scalar.number || f.scalar.flag || f.scalar.mixed || f.isEnum("true") {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	}
	return stringNode(s)
}

func encodeLabels(v reflect.Value) *yaml.Node {
	if v.Len() == 0 {
		return nil
	}
	labels := v.Interface().(map[string]string)
	keys := make([]string, 0, len(labels))
	for key := range labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	n := mapNode()
	for _, key := range keys {
		n.Content = append(n.Content, stringNode(key), stringNode(labels[key]))
	}
	return n
}

func mapNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// stringNode returns s as a YAML string, quoted where it would read as something else.
func stringNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
