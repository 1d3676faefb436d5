package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
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

// schema is a JSON Schema.
type schema map[string]any

const ipv4 = `((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`

const portPattern = `[1-9][0-9]{0,4}`

func matching(pattern string) schema { return schema{"type": "string", "pattern": "^" + pattern + "$"} }

func anyOf(of ...schema) schema { return schema{"anyOf": of} }

// schemaOf returns what a single value of f may be.
func schemaOf(f *field) schema {
	integer := schema{"type": "integer", "minimum": f.min, "maximum": f.max}
	switch f.typ {
	case reflect.TypeFor[netip.Addr]():
		return matching(ipv4)
	case reflect.TypeFor[netip.Prefix]():
		if f.hostSet {
			return matching(ipv4 + `/(3[0-2]|[12]?[0-9])`)
		}
		return matching(ipv4 + `(/(3[0-2]|[12]?[0-9]))?`)
	case reflect.TypeFor[MAC]():
		return matching(`[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}`)
	case reflect.TypeFor[PortRange]():
		return anyOf(schema{"type": "integer", "minimum": 1, "maximum": 65535}, matching(portPattern+"(-"+portPattern+")?"))
	case reflect.TypeFor[AddressRange]():
		return anyOf(schema{"const": "masquerade"}, matching(ipv4+`(-`+ipv4+`|/(3[0-2]|[12]?[0-9]))?`))
	case reflect.TypeFor[Endpoint]():
		return matching(ipv4 + "(:" + portPattern + "(-" + portPattern + ")?)?")
	case reflect.TypeFor[Listener]():
		return anyOf(schema{"const": "off"}, matching(`(`+ipv4+`|\[[0-9a-fA-F:.]+\]):`+portPattern))
	case reflect.TypeFor[Protocol]():
		var names []string
		for _, n := range protocolNames() {
			names = append(names, n.name)
		}
		return anyOf(schema{"enum": names}, schema{"type": "integer", "minimum": 1, "maximum": 255}, matching(`[1-9][0-9]{0,2}`))
	case reflect.TypeFor[time.Duration]():
		return matching(`(0|[1-9][0-9]*)(d|h|m|s|ms)((0|[1-9][0-9]*)(h|m|s|ms))*`)
	case reflect.TypeFor[Size]():
		return anyOf(integer, matching(`(0|[1-9][0-9]*)(B|kB?|MB?|GB?|[KMG]iB?)?`))
	}
	switch {
	case f.scalar.flag:
		return schema{"type": "boolean"}
	case f.scalar.number && f.words == nil:
		return integer
	case f.scalar.number:
		var words []string
		for _, w := range f.words {
			words = append(words, w.name)
		}
		return anyOf(integer, schema{"enum": words})
	case f.isEnum("true"):
		return schema{"enum": []any{"auto", "true", "false", true, false}}
	case f.enum != nil:
		return schema{"enum": f.enum}
	}
	return stringSchema(patternOf(f.match))
}

func stringSchema(p pattern) schema {
	class := "a-z0-9"
	if p.upper {
		class += "A-Z"
	}
	class += strings.ReplaceAll(p.chars, "-", `\-`)
	return schema{"type": "string", "pattern": "^" + p.start + "[" + class + "]+$", "maxLength": p.max}
}

// property returns the schema of f's value, described.
func property(f *field) schema {
	var one schema
	switch {
	case f.labels:
		label := stringSchema(patternOf("label"))
		one = schema{"type": "object", "propertyNames": label, "additionalProperties": label, "maxProperties": maxLabels}
	case f.object != nil:
		one = schema{"$ref": "#/$defs/" + f.object.typ.Name()}
	default:
		one = schemaOf(f)
	}
	s := one
	if f.list {
		s = schema{"type": "array", "items": one}
		if f.need {
			s["minItems"] = 1
		}
		if f.many {
			s = anyOf(one, s)
		}
	}
	described := schema{"description": describeSchema(f)}
	for k, v := range s {
		described[k] = v
	}
	if f.def != "" {
		described["default"] = defaultOf(f)
	}
	return described
}

func describeSchema(f *field) string {
	text := sentence(f.doc) + "."
	if f.unit != "" {
		text += " Unit: " + f.unit + "."
	}
	if f.computed != "" {
		text += " Default: " + f.computed + "."
	}
	return text + " Reload: " + f.reload + "."
}

func defaultOf(f *field) any {
	if n, ok := parseInt(f.def); ok && f.scalar.number {
		return n
	}
	if f.scalar.flag {
		return f.def == "true"
	}
	return f.def
}

func objectSchema(o *object) schema {
	properties := schema{}
	required := []string{}
	for _, f := range o.fields {
		properties[f.key] = property(f)
		if f.alias != "" {
			properties[f.alias] = schema{"description": "Same as " + f.key + ".", "$ref": "#/$defs/" + o.typ.Name() + "/properties/" + f.key}
			if o.typ.Name() == "Config" {
				properties[f.alias].(schema)["$ref"] = "#/properties/" + f.key
			}
		}
		if f.need {
			required = append(required, f.key)
		}
	}
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if o.short != nil {
		s["required"] = required
		short := property(o.short)
		delete(short, "description")
		return anyOf(short, s)
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// Schema is generated from the types.
func generateSchema(t *testing.T) []byte {
	t.Helper()
	root := rootObject()
	s := objectSchema(root)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of the vra edge gateway"
	defs := schema{}
	for o := range objects(root) {
		if o != root {
			defs[o.typ.Name()] = objectSchema(o)
		}
	}
	s["$defs"] = defs
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSchemaIsFresh(t *testing.T) { fresh(t, "schema.json", generateSchema(t)) }

// compiled returns schema.json as a validator of YAML.
func compiled(t *testing.T) func(data []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(generateSchema(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(data []byte) error {
		var v any
		if err := yaml.Unmarshal(data, &v); err != nil {
			return err
		}
		return s.Validate(v)
	}
}

func TestSchemaAcceptsReferenceAndEffectiveConfiguration(t *testing.T) {
	validate := compiled(t)
	data, err := os.ReadFile("reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("reference.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	effective, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"reference.yaml": data, "effective": effective} {
		if err := validate(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
