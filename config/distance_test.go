package config

import "testing"

func TestDistanceIsThatOfTheDefinition(t *testing.T) {
	var slow func(a, b string) int
	slow = func(a, b string) int {
		if a == "" || b == "" {
			return len(a) + len(b)
		}
		change := slow(a[1:], b[1:])
		if a[0] != b[0] {
			change++
		}
		return min(change, slow(a[1:], b)+1, slow(a, b[1:])+1)
	}
	words := []string{"", "a", "run", "runs", "show", "status", "reload", "replay", "shwo", "check"}
	for _, a := range words {
		for _, b := range words {
			if got, want := Distance(a, b), slow(a, b); got != want {
				t.Errorf("%q to %q: got %d; want %d", a, b, got, want)
			}
		}
	}
}
