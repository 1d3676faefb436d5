package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

func protocolWant() string {
	var names []string
	for _, n := range protocolNames() {
		names = append(names, n.name)
	}
	return "an IP protocol from 1 to 255, or one of " + strings.Join(names, ", ")
}

func prefixScalar() *scalar {
	return &scalar{
		parse: func(f *field, s string, v reflect.Value) bool {
			p, ok := parseNet(s)
			if f.hostSet {
				var err error
				p, err = netip.ParsePrefix(s)
				ok = err == nil && p.Addr().Is4()
			}
			if ok {
				v.Set(reflect.ValueOf(p))
			}
			return ok
		},
		format: func(_ *field, v reflect.Value) string { return v.Interface().(netip.Prefix).String() },
		want: func(f *field) string {
			if f.hostSet {
				return `an IPv4 address with the prefix length of its subnet, as "192.0.2.1/24"`
			}
			return `an IPv4 prefix, as "10.0.0.0/8"`
		},
	}
}

func durationScalar() *scalar {
	return &scalar{
		parse: func(f *field, s string, v reflect.Value) bool {
			d, ok := parseDuration(s)
			if ok {
				v.SetInt(int64(d))
			}
			return ok && f.inRange(int64(d))
		},
		format: func(_ *field, v reflect.Value) string { return formatDuration(time.Duration(v.Int())) },
		want: func(f *field) string {
			return fmt.Sprintf(`a duration from %s to %s, as "300s", "5m", "2h" or "1d"`, f.low, f.high)
		},
	}
}

func sizeScalar() *scalar {
	return &scalar{
		mixed: true,
		parse: func(f *field, s string, v reflect.Value) bool {
			n, ok := parseSize(s)
			if ok {
				v.SetInt(int64(n))
			}
			return ok && f.inRange(int64(n))
		},
		format: func(_ *field, v reflect.Value) string { return Size(v.Int()).String() },
		want: func(f *field) string {
			return fmt.Sprintf(`a size from %s to %s, as "4MiB", "64k" or 1500`, f.low, f.high)
		},
	}
}

func intScalar() *scalar {
	return &scalar{
		number: true,
		parse: func(f *field, s string, v reflect.Value) bool {
			for _, w := range f.words {
				if w.name == s {
					v.SetInt(w.number)
					return true
				}
			}
			n, ok := parseInt(s)
			if ok {
				v.SetInt(n)
			}
			return ok && f.inRange(n)
		},
		format: func(f *field, v reflect.Value) string {
			for _, w := range f.words {
				if w.number == v.Int() {
					return w.name
				}
			}
			return strconv.FormatInt(v.Int(), 10)
		},
		want: func(f *field) string {
			want := fmt.Sprintf("an integer from %s to %s", f.low, f.high)
			for _, w := range f.words {
				want += ", or " + w.name
			}
			return want
		},
	}
}

func boolScalar() *scalar {
	return &scalar{
		flag: true,
		parse: func(_ *field, s string, v reflect.Value) bool {
			v.SetBool(s == "true")
			return s == "true" || s == "false"
		},
		format: func(_ *field, v reflect.Value) string { return strconv.FormatBool(v.Bool()) },
		want:   func(*field) string { return "true or false" },
	}
}

func stringScalar() *scalar {
	return &scalar{
		parse: func(f *field, s string, v reflect.Value) bool {
			v.SetString(s)
			if f.enum == nil {
				return patternOf(f.match).ok(s)
			}
			for _, e := range f.enum {
				if e == s {
					return true
				}
			}
			return false
		},
		format: func(_ *field, v reflect.Value) string { return v.String() },
		want: func(f *field) string {
			if f.enum != nil {
				return "one of " + strings.Join(f.enum, ", ")
			}
			return patternOf(f.match).want
		},
	}
}

// inRange reports whether n is in f's range.
func (f *field) inRange(n int64) bool { return f.low == "" || (n >= f.min && n <= f.max) }

// pattern is a class of strings, as data for the check and for the schema.
type pattern struct {
	chars string // accepted bytes beside a-z and 0-9
	upper bool   // A-Z too
	max   int
	start string // what it must begin with
	want  string
}

func patternOf(name string) pattern {
	switch name {
	case "name":
		return pattern{chars: "_.-", max: 32, want: `a name of 1 to 32 characters of a-z, 0-9, "_", "." and "-"`}
	case "device":
		return pattern{chars: "_.-@", upper: true, max: 15, want: `a device name of 1 to 15 characters of A-Z, a-z, 0-9, "_", ".", "-" and "@"`}
	case "path":
		return pattern{chars: "_.-/", upper: true, max: 100, start: "/", want: `an absolute path of at most 100 characters of A-Z, a-z, 0-9, "_", ".", "-" and "/"`}
	case "group":
		return pattern{chars: "_.-", upper: true, max: 32, want: `a group name of 1 to 32 characters of A-Z, a-z, 0-9, "_", "." and "-"`}
	case "label":
		return pattern{chars: "_.-/", upper: true, max: 63, want: `a label of 1 to 63 characters of A-Z, a-z, 0-9, "_", ".", "-" and "/"`}
	}
	panic("config: no pattern " + name)
}

func (p pattern) ok(s string) bool {
	if s == "" || len(s) > p.max || !strings.HasPrefix(s, p.start) || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || p.upper && c >= 'A' && c <= 'Z' ||
			strings.IndexByte(p.chars, c) >= 0
		if !ok {
			return false
		}
	}
	return true
}
