package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"openvra/tools/lab"
	labdemo "openvra/tools/lab/demo"
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
	if missing := lab.Missing(); missing != nil {
		fmt.Fprintf(s.out, "no lab on this machine (%v): a replay of the bundled capture instead\n\n", missing)
		return demoReplay(s)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return labdemo.Run(ctx, s.out, func(config string) *exec.Cmd { return exec.Command(self, "run", "-c", config) }, keep)
}

// demoReplay sends the bundled capture through the path.
func demoReplay(s *streams) error {
	capture, err := labdemo.Bundle()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vra-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(config, capture.Config, 0o600); err != nil {
		return err
	}
	o := ReplayOptions{OutDir: filepath.Join(dir, "out"), Seed: 1}
	for port, file := range capture.Ports {
		in := filepath.Join(dir, port+".pcap")
		if err := os.WriteFile(in, file, 0o600); err != nil {
			return err
		}
		o.In = append(o.In, ReplayInput{Port: port, Path: in})
	}
	return replay(s, config, o, false, "")
}
