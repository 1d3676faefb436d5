package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"openvra/appliance"
	"openvra/tools/lab"
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
	if missing := lab.Missing(); missing != nil {
		fmt.Fprintf(s.err, "the lab needs what is missing here:\n%v\nso this is the same over a bundled capture\n\n", missing)
		return replayBundle(s)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	gateway := func(configPath string) *exec.Cmd { return exec.Command(self, "run", "-c", configPath) }
	return demo.Run(ctx, s.out, gateway, keep)
}

const bundlePath = `  client, internet ── outside ┌─────────┐ inside ── worker1 ── pod1
  198.51.100.10               │ gateway │   └── router ══ IP-in-IP ══ worker2 ── pod2
                  203.0.113.2 └─────────┘ 10.0.0.1

`

// replayBundle sends the bundled capture through the path and tells what happens.
func replayBundle(s *streams) (err error) {
	dir, err := os.MkdirTemp("", "vra-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	configPath, in, err := unpackBundle(dir)
	if err != nil {
		return err
	}
	o := appliance.ReplayOptions{OutDir: filepath.Join(dir, "out"), Seed: 1}
	for _, port := range slices.Sorted(maps.Keys(in)) {
		o.In = append(o.In, appliance.ReplayInput{Port: port, Path: in[port]})
	}
	if o.Config, err = loadChecked(s, configPath); err != nil {
		return err
	}
	r, err := appliance.Replay(o)
	if err != nil {
		return err
	}
	out, err := filepath.Glob(filepath.Join(o.OutDir, "*.pcapng"))
	if err != nil {
		return err
	}
	came, err := readEvents(slices.Sorted(maps.Values(in)), false)
	if err != nil {
		return err
	}
	went, err := readEvents(out, true)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(s.out, bundlePath); err != nil {
		return err
	}
	return format("table").print(s.out, r, func(w io.Writer) {
		tell(w, append(came, went...))
		fmt.Fprintln(w)
		replayTable(w, r)
	})
}

// unpackBundle writes the bundled capture to dir. It returns where the configuration
// is and, by port, what comes in.
func unpackBundle(dir string) (configPath string, in map[string]string, err error) {
	bundle, err := demo.Bundle()
	if err != nil {
		return "", nil, err
	}
	configPath, in = filepath.Join(dir, "gateway.yaml"), make(map[string]string)
	err = os.WriteFile(configPath, bundle.Config, 0o600)
	for port, capture := range bundle.Ports {
		in[port] = filepath.Join(dir, port+".pcap")
		err = errors.Join(err, os.WriteFile(in[port], capture, 0o600))
	}
	return configPath, in, err
}
