// Package appliance puts the gateway together. It is the only package that knows
// every other: it reads the configuration, opens the ports, builds the plan that the
// workers run by, and swaps plans when the file or the links change.
//
//	path.go      the order of steps and of decisions
//	build.go     configuration to plan; tables.go routes and NAT
//	decider.go   the questions that a plan answers
//	gateway.go   start, run, stop; reload.go the swap
//	ports.go     devices; links.go what becomes of them
//	kernel.go    the Linux host; hostport.go the way to its sockets
//	natlog.go    log lines that NAT rules ask for
//	replay.go    the same path over captures
//	view.go      what the admin socket shows
package appliance

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"openvra/appliance/admin"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/flow"
	"openvra/dataplane/neigh"
	"openvra/nat"
)

// Options are what Run needs.
type Options struct {
	// Config is what the gateway starts with. Nil means that ConfigPath is read.
	Config *config.Config
	// ConfigPath is read at each reload.
	ConfigPath string
	Log        *slog.Logger
	// Level, if not nil, gets log.level of each configuration that is applied.
	Level *slog.LevelVar
	// Ready is called once when forwarding has begun; Reloading and Reloaded around
	// each reload. Each may be nil.
	Ready, Reloading, Reloaded func()
	// Reload asks for a reload with each message; Run of the command sends SIGHUPs.
	Reload <-chan struct{}
}

// Gateway is a running gateway. It implements admin.Gateway.
type Gateway struct {
	opt   Options
	log   *slog.Logger
	start time.Time

	// mu serializes the control side: reloads, link events, stop.
	mu     sync.Mutex
	state  *state
	ports  openPorts
	kernel *kernel
	// hostAttached says that there may be routing rules of the host port.
	hostAttached bool
	// stopping says that reloads come too late.
	stopping bool

	workers []*dataplane.Worker
	decider atomic.Pointer[decider]
	view    reloadView
}

// clock returns monotonic nanoseconds since the gateway started, from 1 s on so that
// no time is zero.
func (g *Gateway) clock() int64 { return int64(time.Since(g.start)) + 1e9 }

// Run runs the gateway until ctx ends, and leaves the host as it was.
func Run(ctx context.Context, o Options) (err error) {
	c := o.Config
	if c == nil {
		if c, err = config.Load(o.ConfigPath); err != nil {
			return err
		}
	}
	g := &Gateway{opt: o, log: o.Log, start: time.Now()}
	if g.kernel, err = openKernel(); err != nil {
		return err
	}
	defer g.kernel.close()
	n := workers(c)
	secret := newSecret()
	if g.state, err = newState(c, secret, newNATLog()); err != nil {
		return err
	}
	// Another gateway on these ports or on this socket is met here, before anything
	// of the host is changed.
	opened, err := open(c, n, nil, g.kernel)
	if err != nil {
		return err
	}
	g.ports = opened.ports
	defer func() { closePorts(g.ports, nil) }()
	srv, err := admin.Listen(g, adminOptions(c, g.log))
	if err != nil {
		return err
	}
	defer srv.Close()
	if err := g.kernel.sweepHost(c.Host.Enabled); err != nil {
		return err
	}
	d, err := g.build(c, g.ports)
	if err != nil {
		return err
	}
	g.workers = newWorkers(n, c.Limits.Sessions, secret, g.log, nil)
	for i, w := range g.workers {
		g.equip(w, i, d)
	}
	g.applied(d)
	defer func() { err = errors.Join(err, g.detachHost()) }()
	if err := g.attachHost(d); err != nil {
		return err
	}
	return g.serve(ctx, srv)
}

// serve runs workers and the control side until ctx ends.
func (g *Gateway) serve(ctx context.Context, srv *admin.Server) error {
	events, err := g.kernel.watch(ctx)
	if err != nil {
		return err
	}
	// The workers stop last, when nothing waits for a turn of theirs any more.
	var asking, forwarding sync.WaitGroup
	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ctx, end := context.WithCancel(ctx)
	defer func() {
		end()
		asking.Wait()
		g.noMoreReloads()
		stop()
		forwarding.Wait()
	}()
	failed := make(chan error, len(g.workers)+1)
	asking.Go(func() {
		if err := srv.Run(ctx); err != nil {
			failed <- err
		}
	})
	forwarding.Go(func() { g.state.log.run(wctx, g.log) })
	for _, w := range g.workers {
		forwarding.Go(func() {
			if err := w.Run(wctx, g.clock); err != nil {
				failed <- fmt.Errorf("worker: %w", err)
			}
		})
	}
	g.announce()
	g.log.Info("forwarding", "ports", len(g.ports), "workers", len(g.workers), "generation", g.decider.Load().plan.Generation)
	call(g.opt.Ready)
	return g.control(ctx, events, failed)
}

// control does what comes up until ctx ends.
func (g *Gateway) control(ctx context.Context, events <-chan struct{}, failed <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			g.log.Info("stopping")
			return nil
		case err := <-failed:
			return err
		case <-g.opt.Reload:
			g.Reload(ctx)
		case _, ok := <-events:
			if !ok { // ctx has ended, or the kernel has hung up
				events = nil
				continue
			}
			g.linksChanged()
		case <-tick.C:
			g.everySecond()
		}
	}
}

// noMoreReloads waits for a reload that is under way and refuses those that follow.
func (g *Gateway) noMoreReloads() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopping = true
}

func call(f func()) {
	if f != nil {
		f()
	}
}

func workers(c *config.Config) int {
	if c.Workers != 0 {
		return c.Workers
	}
	return min(runtime.NumCPU(), 64)
}

// secrets of one start: of the flow hash, the NAT ports and the ICMP limiters.
type secrets struct {
	flow [3]uint64
	nat  [32]byte
}

func newSecret() (s secrets) {
	var b [24]byte
	rand.Read(b[:])
	for i := range s.flow {
		s.flow[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	rand.Read(s.nat[:])
	return s
}

// newState returns the state of a start. Log may be nil.
func newState(c *config.Config, s secrets, log *natLog) (*state, error) {
	n, err := neigh.New(neigh.Config{Capacity: c.Limits.Neighbors})
	if err != nil {
		return nil, err
	}
	nc := nat.Config{Mappings: c.Limits.Sessions, Rest: c.Timeouts.PortRest, Seed: s.nat}
	if log != nil {
		nc.Event = log.mapping
	}
	return &state{hasher: flow.NewHasher(s.flow), neighbors: n, nat: nat.New(nc), log: log}, nil
}

func newWorkers(n, sessions int, s secrets, log *slog.Logger, line []dataplane.Step) []*dataplane.Worker {
	if line == nil {
		line = Line
	}
	var rings *dataplane.Rings
	if n > 1 {
		rings = dataplane.NewRings(n)
	}
	list := make([]*dataplane.Worker, n)
	for i := range list {
		list[i] = dataplane.NewWorker(dataplane.WorkerOptions{
			ID: i, Of: n, Sessions: max(sessions/n, 1), Line: line, Handed: Handed, Secret: s.flow, Log: log, Rings: rings,
		})
	}
	return list
}

// equip gives worker i its queues and the plan. On the worker's thread, or before it
// runs.
func (g *Gateway) equip(w *dataplane.Worker, i int, d *decider) {
	n := len(d.plan.Ports)
	w.SetQueues(g.ports.queues(i, g.state.ports.number, n), g.ports.segments(g.state.ports.number, n))
	w.SetPlan(d.plan)
}

// everySecond does what the clock asks of the control side.
func (g *Gateway) everySecond() {
	g.state.nat.Expire(g.clock())
	lost := false
	for _, p := range g.ports {
		lost = lost || p.lost
	}
	if lost {
		g.linksChanged()
	}
}

// announce makes the gateway's addresses known on its ports (RFC 5227 section 2.3).
func (g *Gateway) announce() {
	d := g.decider.Load()
	g.workers[0].Do(func() { g.workers[0].Announce(d.announcements()) })
}
