package demo

import (
	"os"
	"testing"

	"openvra/tools/lab"
)

// TestFlowsArriveThroughAnotherGateway proves the flows themselves, with the kernel
// in the gateway's place.
func TestFlowsArriveThroughAnotherGateway(t *testing.T) {
	if err := lab.Missing(); err != nil {
		if os.Getenv("VRA_REQUIRE_ROOT") == "1" {
			t.Fatalf("this test must run here, but: %v", err)
		}
		t.Skipf("a lab needs root: %v", err)
	}
	l, err := lab.New(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.StandIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.ServeAll(); err != nil {
		t.Fatal(err)
	}
	for _, f := range flows() {
		said, err := f.run(t.Context(), l)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		t.Logf("%s: %s", f.name, said)
	}
}
