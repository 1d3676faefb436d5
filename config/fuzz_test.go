package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzParse holds every input to: no panic; errors that name the file; and what is accepted is
// written to a file that is accepted and written the same again.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("reference.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	data, err = os.ReadFile("testdata/refused.txt")
	if err != nil {
		f.Fatal(err)
	}
	for part := range strings.SplitSeq(string(data), "=== ") {
		_, body, _ := strings.Cut(part, "\n")
		in, _, _ := strings.Cut(body, "--- refused\n")
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("gw.yaml", data)
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) == 0 || len(es) > maxErrors {
				t.Fatalf("got %T; want Errors", err)
			}
			for i, e := range es {
				if !strings.HasPrefix(e.Error(), "gw.yaml:") || strings.Contains(e.Error(), "\n") || e.Got == "" || e.Want == "" {
					t.Fatalf("got %q; want one line with file, value and rule", e)
				}
				if e.Line < 1 || i > 0 && es[i-1].Line > e.Line {
					t.Fatalf("got line %d after %d; want file order", e.Line, es[max(i-1, 0)].Line)
				}
			}
			return
		}
		first, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("gw.yaml", first)
		if err != nil {
			t.Fatalf("the effective configuration is refused: %v\n%s", err, first)
		}
		second, err := again.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Fatalf("got\n%s\nwant\n%s", second, first)
		}
	})
}
