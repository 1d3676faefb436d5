package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// go test ./config -update rewrites schema.json, and the comments of reference.yaml.
var update = flag.Bool("update", false, "rewrite generated files")

// fresh compares the file name with what generating it gives now.
func fresh(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s does not fit the types; run: go test ./config -update", name)
	}
}

const referenceHead = `# yaml-language-server: $schema=schema.json
#
# Every key of the gateway's configuration, in the example of an edge gateway: an outside port, an
# inside one with two VLANs, a Kubernetes cluster behind Calico's IP-in-IP, and address translation.
# The comments come from the types: change them there and run "go test ./config -update".
# A key is described where it first appears. All spellings of a value are in schema.json.
#
# reload live:     an edited value takes effect on SIGHUP or "vra reload", without losing a flow.
# reload port:     the port is closed and opened anew; its sessions stay.
# reload restart:  the value takes effect when the gateway starts again.
`

// documenter writes each key's comment where the key first appears.
type documenter struct {
	documented map[*field]bool
}

func (d *documenter) object(n *yaml.Node, o *object, top bool) {
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f := o.byKey[key.Value]
		if !d.documented[f] {
			d.documented[f] = true
			key.HeadComment = describe(f)
			if top {
				key.HeadComment = "\n" + key.HeadComment
			}
		}
		switch {
		case f.object != nil && value.Kind == yaml.SequenceNode:
			for _, item := range value.Content {
				d.object(item, f.object, false)
			}
		case f.object != nil:
			d.object(value, f.object, false)
		}
	}
}

// describe returns the comment of a key: what it is, then the facts about it.
func describe(f *field) string {
	var facts []string
	switch {
	case f.need:
		facts = append(facts, "needed")
	case f.computed != "":
		facts = append(facts, "default "+f.computed)
	case f.def != "":
		facts = append(facts, "default "+f.def)
	case f.scalar != nil:
		facts = append(facts, "default none")
	}
	switch {
	case f.scalar != nil && f.list:
		facts = append(facts, "one or a list of: "+takes(f))
	case f.scalar != nil:
		facts = append(facts, takes(f))
	}
	if f.unit != "" {
		facts = append(facts, "unit "+f.unit)
	}
	if f.floor != "" {
		least, rfc, _ := strings.Cut(f.floor, " ")
		facts = append(facts, fmt.Sprintf("below %s only with allowShort (%s)", least, rfc))
	}
	facts = append(facts, "reload "+f.reload)
	return wrap(sentence(f.doc)+".") + "\n" + wrap("["+strings.Join(facts, "; ")+"]")
}

// takes returns the values of f in few words; errors have more.
func takes(f *field) string {
	var words string
	for _, w := range f.words {
		words += ", or " + w.name
	}
	switch {
	case f.low != "":
		return f.low + " to " + f.high + words
	case f.enum != nil:
		return strings.Join(f.enum, ", ")
	case f.match != "":
		short, _, _ := strings.Cut(f.scalar.want(f), " of ")
		return short
	}
	return f.scalar.want(f)
}

func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// wrap breaks s into comment lines.
func wrap(s string) string {
	var b strings.Builder
	column := 0
	for _, w := range strings.Fields(s) {
		if column > 0 && column+1+len(w) > 100 {
			b.WriteString("\n")
			column = 0
		}
		if column == 0 {
			b.WriteString("#")
			column = 1
		}
		b.WriteString(" " + w)
		column += 1 + len(w)
	}
	return b.String()
}

func stripComments(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		stripComments(c)
	}
}

func TestReferenceDocumentsEveryKeyAndLoads(t *testing.T) {
	data, err := os.ReadFile("reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("reference.yaml", data); err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	stripComments(&doc)
	d := documenter{map[*field]bool{}}
	root := rootObject()
	d.object(doc.Content[0], root, true)
	for o := range objects(root) {
		for _, f := range o.fields {
			if !d.documented[f] {
				t.Errorf("reference.yaml does not hold %s of %s", f.key, o.typ.Name())
			}
			if f.doc == "" {
				t.Errorf("%s of %s has no doc", f.key, o.typ.Name())
			}
		}
	}
	body, err := render(doc.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	fresh(t, "reference.yaml", append([]byte(referenceHead), body...))
}

// objects returns every object below o, and o.
func objects(o *object) map[*object]bool {
	all := map[*object]bool{}
	var walk func(o *object)
	walk = func(o *object) {
		all[o] = true
		for _, f := range o.fields {
			if f.object != nil {
				walk(f.object)
			}
		}
	}
	walk(o)
	return all
}
