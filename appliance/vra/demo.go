package main

import (
	"context"
	"errors"
	"flag"
)

func demoCommand() command {
	return command{
		name:     "demo",
		summary:  "build a lab on this machine and show the gateway at work in it",
		examples: []string{"sudo vra demo", "sudo vra demo --keep", "vra demo   # without root: over a bundled capture"},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			keep := fs.Bool("keep", false, "leave the lab up until interrupted, to look around")
			return func(ctx context.Context, s *streams, _ []string) error { return demo(ctx, s, *keep) }
		},
	}
}

func demo(ctx context.Context, s *streams, keep bool) error {
	return errors.New("the lab is not built in")
}
