package cloop

import (
	"errors"
	"testing"
)

// TestRun compiles and runs the loop: it finds every session and takes a time that
// a machine can take.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two seconds")
	}
	results, err := Run(t.Context(), 1000)
	if errors.Is(err, ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Sessions != 1000 || results[0].Best() < 1 || results[0].Best() > 10000 {
		t.Errorf("got %+v; want one result for 1000 sessions, 1 to 10000 ns a packet", results)
	}
}

func TestRunRefusesSessionsOutOfRange(t *testing.T) {
	_, err := Run(t.Context(), 0)
	if errors.Is(err, ErrNoCompiler) {
		t.Skip(err)
	}
	if err == nil {
		t.Error("0 sessions were accepted")
	}
}
