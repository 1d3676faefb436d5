package main

import (
	"fmt"

	"openvra/config"
)

// didYouMean returns ", did you mean …?" with the known word nearest to the given
// one, or nothing if none is near.
func didYouMean(word string, known []string) string {
	best, bestDistance := "", len(word)/2+2 // further is no typing error
	for _, k := range known {
		if d := config.Distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}
