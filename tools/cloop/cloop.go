// Package cloop measures a minimal NAT loop in C, the yardstick beside which the
// gateway's whole path is measured. The source is c/loop.c; it is compiled on the
// machine that runs it.
package cloop

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

//go:embed c/loop.c
var source []byte

// ErrNoCompiler says that there is no gcc on this machine.
var ErrNoCompiler = errors.New("no gcc on this machine")

// A Result is what one number of sessions came to, in nanoseconds per packet on one
// core, flows in random order.
type Result struct {
	Sessions int `json:"sessions"`
	// OnePass handles each packet to its end before the next.
	OnePass float64 `json:"onePassNs"`
	// TwoPass parses, hashes and prefetches a batch of 64 before it looks up.
	TwoPass float64 `json:"twoPassNs"`
}

// Best is the faster of the two.
func (r Result) Best() float64 { return min(r.OnePass, r.TwoPass) }

// Run compiles the loop with gcc -O3 -march=native and measures it for each number
// of sessions, 1 to 8388608, about 2.5 seconds each.
func Run(ctx context.Context, sessions ...int) ([]Result, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil, ErrNoCompiler
	}
	dir, err := os.MkdirTemp("", "cloop-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, program := filepath.Join(dir, "loop.c"), filepath.Join(dir, "loop")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, gcc, "-O3", "-march=native", "-Wall", "-Werror", "-o", program, file).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile loop.c: %w: %s", err, out)
	}
	var args []string
	for _, n := range sessions {
		args = append(args, strconv.Itoa(n))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run loop: %w: %s", err, stderr.Bytes())
	}
	var results []Result
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r Result
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("read results of the loop: %w", err)
		}
		results = append(results, r)
	}
	return results, nil
}
