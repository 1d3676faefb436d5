package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// object is a struct type as the file sees it.
type object struct {
	typ    reflect.Type
	fields []*field
	byKey  map[string]*field
	short  *field        // the key a bare value is taken for, or nil
	line   int           // index of the Line field, or -1
	zero   reflect.Value // a value with every default
}

// field is one key of an object.
type field struct {
	key, alias string
	index      int
	typ        reflect.Type // of a list's elements, if list
	list, many bool
	labels     bool    // a map of strings
	object     *object // of the value or of each element; nil for scalars
	scalar     *scalar // nil for objects

	def, computed string
	need, hostSet bool
	low, high     string // the range as written
	min, max      int64
	floor         string // "120s RFC 4787, REQ-5"
	words         []word
	enum          []string
	match         string
	unit          string
	reload        string
	doc           string
}

type word struct {
	name   string
	number int64
}

// types holds the objects by type. It is built once a Parse; nothing is shared.
type types map[reflect.Type]*object

// rootObject describes Config.
func rootObject() *object { return make(types).object(reflect.TypeFor[Config]()) }

func (ts types) object(t reflect.Type) *object {
	if o := ts[t]; o != nil {
		return o
	}
	o := &object{typ: t, byKey: map[string]*field{}, line: -1, zero: reflect.New(t).Elem()}
	ts[t] = o
	short := ""
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Name == "Line" {
			o.line, short = i, sf.Tag.Get("short")
		}
		if key := sf.Tag.Get("yaml"); key != "-" {
			f := ts.field(key, i, sf)
			o.fields = append(o.fields, f)
			o.byKey[f.key] = f
			if f.alias != "" {
				o.byKey[f.alias] = f
			}
			f.setDefault(o.zero.Field(i))
		}
	}
	o.short = o.byKey[short]
	return o
}

func (ts types) field(key string, index int, sf reflect.StructField) *field {
	tag := sf.Tag.Get
	f := &field{
		key: key, alias: tag("alias"), index: index, typ: sf.Type,
		many: tag("many") != "", need: tag("need") != "", hostSet: tag("host") == "set",
		def: tag("default"), computed: tag("computed"), floor: tag("floor"),
		match: tag("match"), unit: tag("unit"), reload: tag("reload"), doc: tag("doc"),
	}
	if f.reload == "" {
		f.reload = "live"
	}
	if enum := tag("enum"); enum != "" {
		f.enum = strings.Split(enum, "|")
	}
	for w := range strings.SplitSeq(tag("words"), ",") {
		if name, number, ok := strings.Cut(w, "="); ok {
			n, _ := parseInt(number)
			f.words = append(f.words, word{name, n})
		}
	}
	if f.typ.Kind() == reflect.Slice {
		f.list, f.typ = true, f.typ.Elem()
	}
	switch s := scalarOf(f.typ); {
	case s != nil:
		f.scalar = s
	case f.typ.Kind() == reflect.Map:
		f.labels = true
	default:
		f.object = ts.object(f.typ)
	}
	if low, high, ok := strings.Cut(tag("range"), ".."); ok {
		f.min, f.max = f.number(low), f.number(high)
		f.low, f.high = low, high
	}
	return f
}

// number reads a bound of f's range as f's own type spells it.
func (f *field) number(s string) int64 {
	v := reflect.New(f.typ).Elem()
	if !f.scalar.parse(f, s, v) {
		panic(fmt.Sprintf("config: tag of %s: bad bound %q", f.key, s))
	}
	return v.Int()
}

func (f *field) setDefault(v reflect.Value) {
	switch {
	case f.def != "":
		if f.scalar == nil || f.list || !f.scalar.parse(f, f.def, v) {
			panic(fmt.Sprintf("config: tag of %s: bad default %q", f.key, f.def))
		}
	case f.object != nil && !f.list:
		v.Set(f.object.zero)
	}
}

// scalar reads and writes one kind of single value.
type scalar struct {
	// number: YAML writes the value as a plain integer; flag: as true or false; else as a string.
	number, flag bool
	// mixed: a plain integer is accepted beside strings.
	mixed  bool
	parse  func(f *field, s string, v reflect.Value) bool
	format func(f *field, v reflect.Value) string
	want   func(f *field) string
}

// stringer makes a scalar of a type with a parser and a String method.
func stringer[T fmt.Stringer](parse func(string) (T, bool), want string) *scalar {
	return &scalar{
		parse: func(_ *field, s string, v reflect.Value) bool {
			x, ok := parse(s)
			if ok {
				v.Set(reflect.ValueOf(x))
			}
			return ok
		},
		format: func(_ *field, v reflect.Value) string { return v.Interface().(T).String() },
		want:   func(*field) string { return want },
	}
}

// mixed accepts plain integers too.
func mixed(s *scalar) *scalar { s.mixed = true; return s }

// scalarOf returns how values of t are read, or nil when t is no scalar.
func scalarOf(t reflect.Type) *scalar {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return stringer(parseAddress, `an IPv4 address, as "192.0.2.1"`)
	case reflect.TypeFor[netip.Prefix]():
		return prefixScalar()
	case reflect.TypeFor[MAC]():
		return stringer(parseMAC, `the Ethernet address of one station, as "02:00:5e:10:00:01"`)
	case reflect.TypeFor[PortRange]():
		return mixed(stringer(parsePorts, `a port or a range of ports from 1 to 65535, as 443 or "8000-8010"`))
	case reflect.TypeFor[AddressRange]():
		return stringer(parseAddressRange, `masquerade, an address, a prefix without host bits or a range, as "203.0.113.4-203.0.113.7"`)
	case reflect.TypeFor[Endpoint]():
		return stringer(parseEndpoint, `an address, with a port or a range of ports where they change, as "10.0.0.5:8443"`)
	case reflect.TypeFor[Listener]():
		return stringer(parseListener, `an address and a port, as "127.0.0.1:9478", or off`)
	case reflect.TypeFor[Protocol]():
		return mixed(stringer(parseProtocol, protocolWant()))
	case reflect.TypeFor[time.Duration]():
		return durationScalar()
	case reflect.TypeFor[Size]():
		return sizeScalar()
	}
	switch t.Kind() {
	case reflect.Int:
		return intScalar()
	case reflect.Bool:
		return boolScalar()
	case reflect.String:
		return stringScalar()
	}
	return nil
}
