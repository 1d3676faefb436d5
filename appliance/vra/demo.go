package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"openvra/tools/lab/demo"
)

func demoCommand() command {
	return command{
		name:     "demo",
		summary:  "build a lab on this machine and show the gateway at work in it",
		examples: []string{"sudo vra demo", "sudo vra demo --keep", "vra demo   # without root: over a bundled capture"},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			keep := fs.Bool("keep", false, "leave the lab up until interrupted, to look around")
			return func(ctx context.Context, s *streams, _ []string) error { return runDemo(ctx, s, *keep) }
		},
	}
}

func runDemo(ctx context.Context, s *streams, keep bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	gateway := func(configPath string) *exec.Cmd { return exec.Command(self, "run", "-c", configPath) }
	return demo.Run(ctx, s.out, gateway, keep)
}
