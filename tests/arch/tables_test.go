package arch

import (
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"openvra/appliance/admin"
	"openvra/dataplane/drop"
)

// TestEveryDropReasonIsGiven wants that each reason is given somewhere: a counter that
// cannot move says that something is fine which nobody looks at.
func TestEveryDropReasonIsGiven(t *testing.T) {
	tr := loaded(t)
	given := map[string]bool{}
	var all []string
	for _, p := range tr.pkgs {
		for _, o := range p.info.Uses {
			if isReason(o) && p.name() != "dataplane/drop" {
				given[o.Name()] = true
			}
		}
		for _, o := range p.info.Defs {
			if isReason(o) && o.Name() != "None" && o.Name() != "Count" {
				all = append(all, o.Name())
			}
		}
	}
	if len(all) != int(drop.Count)-1 {
		t.Errorf("%d reasons were found; want %d", len(all), drop.Count-1)
	}
	slices.Sort(all)
	for _, name := range all {
		if !given[name] {
			t.Errorf("nothing is ever dropped for drop.%s", name)
		}
	}
}

func isReason(o types.Object) bool {
	c, ok := o.(*types.Const)
	return ok && c.Pkg() != nil && c.Pkg().Path() == module+"/dataplane/drop" && c.Parent() == c.Pkg().Scope()
}

func TestDropReasonsAreDescribed(t *testing.T) {
	labels := map[string]drop.Reason{}
	for r := drop.None; r < drop.Count; r++ {
		d := r.Describe()
		if d.Label == "" || d.Text == "" {
			t.Errorf("reason %d has no label or no text", r)
		}
		if other, ok := labels[d.Label]; ok {
			t.Errorf("reasons %d and %d are both %q", other, r, d.Label)
		}
		labels[d.Label] = r
	}
}

// TestREADMEListsDropReasons and TestREADMEListsMetrics hold the tables in README.md to
// the ones in the code.
func TestREADMEListsDropReasons(t *testing.T) {
	want := []string{"| reason | why | asked for by |", "| --- | --- | --- |"}
	for r := drop.None + 1; r < drop.Count; r++ {
		d := r.Describe()
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", d.Label, d.Text, d.RFC))
	}
	compareTable(t, "Drop reasons", want)
}

func TestREADMEListsMetrics(t *testing.T) {
	want := []string{"| metric | labels | kind | what it says |", "| --- | --- | --- | --- |"}
	for _, m := range admin.Metrics() {
		kind := "gauge"
		if m.Counter {
			kind = "counter"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", m.Name, strings.Join(m.Labels, ", "), kind, m.Help))
	}
	compareTable(t, "Metrics", want)
}

// compareTable wants the table under a heading of README.md to have these lines.
func compareTable(t *testing.T, heading string, want []string) {
	t.Helper()
	for i := range want {
		want[i] = singleSpaced(want[i])
	}
	got, ok := readTable(t, heading)
	if !ok {
		t.Errorf("README.md has no section %q with a table", heading)
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("README.md, %s: the table should be:\n%s\nIts first wrong line is %q", heading, strings.Join(want, "\n"), g)
		}
	}
}

// readTable returns the lines of the table under a heading, spaces made single.
func readTable(t *testing.T, heading string) (lines []string, ok bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	under := false
	for line := range strings.Lines(string(text)) {
		line = singleSpaced(line)
		switch {
		case strings.HasPrefix(line, "#"):
			under = strings.TrimLeft(line, "# ") == heading
		case under && strings.HasPrefix(line, "|"):
			lines = append(lines, line)
		}
	}
	return lines, len(lines) > 0
}

func singleSpaced(line string) string { return strings.Join(strings.Fields(line), " ") }
