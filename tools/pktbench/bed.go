package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openvra/tools/lab"
	"openvra/tools/pktgen"
)

// first is the nice value of everything that is measured: others wait.
const first = -20

// Where things run: this program with generator and sink, and the gateway.
const (
	generatorCPU = 0
	gatewayCPU   = 1
)

// Addresses. Frames of the rate measurements go to nowhere, an address that the
// sink drops; TCP and datagrams that are answered go to sinkAddr.
var (
	sinkAddr   = netip.MustParseAddr("198.51.100.10")
	nowhere    = netip.MustParseAddr("198.51.100.77")
	directAddr = netip.MustParseAddr("192.0.2.2") // the sink, past the gateway
	sources    = netip.MustParsePrefix("10.1.0.0/16")
)

// A bed is the network that everything is measured in.
type bed struct {
	*lab.Lab
	gen, sink *lab.Host
}

// newBed builds it. The gateway's devices have no address yet.
func newBed(ctx context.Context) (*bed, error) {
	l, err := lab.Bare(ctx)
	if err != nil {
		return nil, err
	}
	b := &bed{Lab: l}
	if err := b.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return b, nil
}

func (b *bed) build(ctx context.Context) (err error) {
	for _, h := range []struct {
		at   **lab.Host
		name string
	}{{&b.gen, "gen"}, {&b.Gateway, "gateway"}, {&b.sink, "sink"}} {
		if *h.at, err = b.AddHost(ctx, h.name); err != nil {
			return err
		}
	}
	err = errors.Join(
		b.Gateway.Connect(ctx, "inside", b.gen, "eth0"),
		b.Gateway.Connect(ctx, "outside", b.sink, "eth0"),
		b.gen.Connect(ctx, "direct", b.sink, "direct"),
		b.gen.IP(ctx, `addr add 10.0.0.2/24 dev eth0
			addr add 192.0.2.1/24 dev direct
			route add default via 10.0.0.1`),
		b.sink.IP(ctx, `addr add 203.0.113.1/24 dev eth0
			addr add 198.51.100.10/32 dev lo
			addr add 192.0.2.2/24 dev direct
			route add 10.0.0.0/15 via 203.0.113.2`))
	if err != nil {
		return err
	}
	for _, device := range []string{"inside", "outside"} {
		if err := b.Gateway.ThreadedNAPI(ctx, device); err != nil {
			return err
		}
	}
	return pinThreads("napi/", gatewayCPU)
}

// generator returns a generator of the bed; the caller runs it by gen.Do.
func (b *bed) generator(flows int) (*pktgen.Generator, error) {
	to, err := b.Gateway.MAC("inside")
	if err != nil {
		return nil, err
	}
	var g *pktgen.Generator
	err = b.gen.Do(func() (err error) {
		g, err = pktgen.Open(pktgen.Config{Device: "eth0", To: to, Sources: sources, Destination: nowhere, Flows: flows})
		return err
	})
	return g, err
}

func cpuSet(cpu int) *unix.CPUSet {
	var s unix.CPUSet
	s.Set(cpu)
	return &s
}

// pinAll moves every thread of this process, and so those to come, to a core, ahead of
// what else runs there.
func pinAll(cpu int) error {
	// Nice values count within a session only where the scheduler groups sessions.
	if f, err := os.OpenFile("/proc/self/autogroup", os.O_WRONLY, 0); err == nil {
		fmt.Fprint(f, first)
		f.Close()
	}
	tasks, err := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		tid, aerr := strconv.Atoi(t.Name())
		err = errors.Join(err, aerr, unix.SchedSetaffinity(tid, cpuSet(cpu)), unix.Setpriority(unix.PRIO_PROCESS, tid, first))
	}
	return err
}

// pinThreads moves the kernel threads whose name starts with prefix to a core, ahead
// of what else runs there.
func pinThreads(prefix string, cpu int) error {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	found := 0
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), prefix) {
			continue // the process has ended, or is another
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil {
			err = errors.Join(unix.SchedSetaffinity(pid, cpuSet(cpu)), unix.Setpriority(unix.PRIO_PROCESS, pid, first))
		}
		if err != nil {
			return fmt.Errorf("pin thread %q: %w", strings.TrimSpace(string(comm)), err)
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("no thread %q: this kernel has no threaded NAPI", prefix)
	}
	return nil
}
