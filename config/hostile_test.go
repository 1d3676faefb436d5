package config

import (
	"fmt"
	"strings"
	"testing"
)

// costlyFile would cost the YAML parser, or a careless check, seconds or more.
type costlyFile struct{ in, want string }

func costlyFiles() map[string]costlyFile {
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "k%d: x\n", i)
		}
		return b.String()
	}
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 ha\n")
	for i := range 30 {
		fmt.Fprintf(&laughs, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i)
	}
	const much = 1 << 20
	return map[string]costlyFile{
		"a billion laughs":        {laughs.String(), "gw.yaml:1: got the anchor &a0; want no anchors"},
		"100,000 keys":            {keys(100_000), "gw.yaml:1: k0: got an unknown key"},
		"a million keys":          {keys(much), "got too large a document"},
		"a million brackets":      {strings.Repeat("[", much), "got too large a document"},
		"a thousand brackets":     {strings.Repeat("[", 1000), "got broken YAML"},
		"nested lists":            {strings.Repeat("- ", 9000) + "x\n", "nested too deep"},
		"a million list items":    {strings.Repeat("- x\n", much), "got too large a document"},
		"a million documents":     {strings.Repeat("---\n", much), "got too large a document"},
		"a hundred thousand tags": {keys(1) + strings.Repeat("%TAG !a! tag:x,2000:\n", 100_000), "gw.yaml:2: got a YAML directive"},
		"a million anchors":       {strings.Repeat("- &a x\n", much), "got too large a document"},
		"one key many times":      {strings.Repeat("workers: 1\n", 100_000), "gw.yaml:2: workers: got the key again"},
		"many bad ports":          {"ports:\n" + strings.Repeat("- name: UPPER\n", 100_000), "gw.yaml:2: ports[0].name"},
		"17 MiB of blanks":        {strings.Repeat(" ", 17<<20), "gw.yaml:1: got more than 16 MiB"},
	}
}

func TestFilesMadeToCostTimeAreRefused(t *testing.T) {
	for name, row := range costlyFiles() {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("gw.yaml", []byte(row.in))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v; want %s", err, row.want)
			}
			if es, ok := err.(Errors); !ok || len(es) > maxErrors || es[0].Line == 0 {
				t.Errorf("got %T of %d; want at most %d Errors with lines", err, len(es), maxErrors)
			}
		})
	}
}

// Each of these takes well under a second.
func BenchmarkRefuse(b *testing.B) {
	for name, row := range costlyFiles() {
		b.Run(name, func(b *testing.B) {
			data := []byte(row.in)
			for b.Loop() {
				if _, err := Parse("gw.yaml", data); err == nil {
					b.Fatal("the file is accepted")
				}
			}
		})
	}
}
