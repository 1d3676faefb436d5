package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openvra/appliance"
)

// TestREADMEDrawsThePath wants the drawing "A packet's way" to have the steps and the
// questions of appliance/path.go, all of them, in their order.
func TestREADMEDrawsThePath(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## A packet's way")
	_, drawing, _ := strings.Cut(section, "```\n")
	drawing, _, ok := strings.Cut(drawing, "```")
	if !ok {
		t.Fatal("README.md has no drawing under \"A packet's way\"")
	}
	rest := drawing
	find := func(name string) {
		t.Helper()
		_, after, ok := strings.Cut(rest, name)
		if !ok {
			t.Errorf("%q is not in the drawing, or not in its place", name)
			return
		}
		rest = after
	}
	for _, s := range appliance.Line {
		find(s.Name)
	}
	questions := 0
	for _, q := range appliance.Decision {
		find(q.Name + " ")
		questions++
	}
	_, listed, _ := strings.Cut(drawing, "the decision:\n")
	if got := len(strings.Split(strings.TrimSpace(listed), "\n")); got != questions {
		t.Errorf("the drawing has %d questions; want %d", got, questions)
	}
}
