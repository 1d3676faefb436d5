// Command pktbench measures the gateway on live devices beside the kernel doing the
// same in the same run, and prints both with their ratio:
//
//	generator (core 0) ── veth ── gateway (core 1) ── veth ── sink
//
// The receiving side of the gateway's veths is a kernel thread on core 1 (threaded
// NAPI), so that the gateway's core pays for making packets of frames, as with a
// NIC, and the same for every contender. Rates are frames that arrive at the sink.
// Needs root, ip(8), nft(8), ethtool(8), taskset(1) and two cores.
//
//	go run ./tools/pktbench
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"openvra/tools/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "pktbench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	vra    string
	rounds int
	flows  int
	each   time.Duration
	json   bool
	quick  bool
}

func run(ctx context.Context, w io.Writer, args []string) error {
	var o options
	fs := flag.NewFlagSet("pktbench", flag.ContinueOnError)
	fs.StringVar(&o.vra, "vra", "", "the gateway's `PROGRAM`; built from this module if empty")
	fs.IntVar(&o.rounds, "rounds", 3, "how often each contender has its turn; the median counts")
	fs.IntVar(&o.flows, "flows", 10000, "UDP flows of the rate measurements")
	fs.DurationVar(&o.each, "each", 400*time.Millisecond, "how long each rate is offered")
	fs.BoolVar(&o.json, "json", false, "print JSON")
	fs.BoolVar(&o.quick, "quick", false, "fewer rates: to see that it runs")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := missing(); err != nil {
		return err
	}
	if err := pinAll(generatorCPU); err != nil {
		return err
	}
	b, err := newBed(ctx)
	if err != nil {
		return err
	}
	report, err := measure(ctx, b, o)
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(w).Encode(report)
	}
	return report.table(w)
}

// missing says what this machine lacks.
func missing() error {
	errs := []error{lab.Missing()}
	for _, tool := range []string{"nft", "ethtool", "taskset", "nice"} {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, err)
		}
	}
	if runtime.NumCPU() < 2 {
		errs = append(errs, errors.New("one core; want two"))
	}
	return errors.Join(errs...)
}

// program returns the path of the gateway's program.
func (o *options) program(ctx context.Context, dir string) (string, error) {
	if o.vra != "" {
		return filepath.Abs(o.vra)
	}
	path := filepath.Join(dir, "vra")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "openvra/appliance/vra")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vra: %w: %s", err, out)
	}
	return path, nil
}
