package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"

	"openvra/appliance"
)

func versionCommand() command {
	return command{
		name:     "version",
		summary:  "print the program's version",
		examples: []string{"vra version"},
		setup: func(*flag.FlagSet) func(context.Context, *streams, []string) error {
			return func(_ context.Context, s *streams, _ []string) error {
				_, err := fmt.Fprintf(s.out, "vra %s %s %s/%s\n", appliance.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
		},
	}
}
