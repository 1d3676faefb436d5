package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

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

// generateSchema returns schema.json as the types ask for it.
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
