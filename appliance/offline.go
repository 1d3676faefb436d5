package appliance

import (
	"io"
	"log/slog"

	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/link"
)

// Offline is the gateway without a host: ports, time and thread are the caller's. It is
// what replay, tests and benchmarks run: everything between rx and tx is the real path.
// For one goroutine.
type Offline struct {
	state   *state
	ports   map[string]link.Port
	workers []*dataplane.Worker
	decider *decider
	anyMAC  bool
}

// OfflineOptions describe an offline gateway.
type OfflineOptions struct {
	// Ports by name; those of the configuration that are not here are down. The
	// host port's name is "host".
	Ports map[string]link.Port
	// Workers, 1 if zero. Worker i takes queue i of each port.
	Workers int
	// Seed replaces the secrets of a start: same seed, same input, same output.
	Seed uint64
	// AnyMAC lets ports without a configured MAC take frames for every address.
	AnyMAC bool
	// Log of what the path reports; nil discards it.
	Log *slog.Logger
	// Line replaces the steps of a packet's way; nil is Line.
	Line []dataplane.Step
}

// NewOffline builds a gateway of c.
func NewOffline(c *config.Config, o OfflineOptions) (*Offline, error) {
	o.Workers = max(o.Workers, 1)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	secret := seeded(o.Seed)
	s, err := newState(c, secret, nil)
	if err != nil {
		return nil, err
	}
	off := &Offline{state: s, ports: o.Ports, anyMAC: o.AnyMAC,
		workers: newWorkers(o.Workers, c.Limits.Sessions, secret, o.Log, o.Line)}
	return off, off.Apply(c)
}

// seeded returns secrets that follow from a seed.
func seeded(seed uint64) (s secrets) {
	for i := range s.flow {
		seed += 0x9e3779b97f4a7c15
		s.flow[i] = seed * 0xbf58476d1ce4e5b9
	}
	for i := range s.nat {
		s.nat[i] = byte(s.flow[i%3] >> (8 * (i % 8)))
	}
	return s
}

// Apply makes c the configuration, as a reload does.
func (o *Offline) Apply(c *config.Config) error {
	d, err := o.state.build(c, o.info, o.anyMAC)
	if err != nil {
		return err
	}
	if err := o.state.adopt(d, 0); err != nil {
		return err
	}
	o.decider = d
	n := len(d.plan.Ports)
	for i, w := range o.workers {
		queues, segments := make([]link.Queue, n), make([]bool, n)
		for name, p := range o.ports {
			at, ok := o.state.ports.number[name]
			if q := p.Queues(); ok && i < len(q) {
				queues[at], segments[at] = q[i], p.Info().Segments
			}
		}
		w.SetQueues(queues, segments)
		w.SetPlan(d.plan)
	}
	return nil
}

func (o *Offline) info(name string) link.Info {
	if p, ok := o.ports[name]; ok {
		return p.Info()
	}
	return link.Info{}
}

// Poll runs each worker once, at now in nanoseconds, and reports whether one was busy.
// It returns io.EOF when all queues have ended.
func (o *Offline) Poll(now int64) (busy bool, err error) {
	ended := true
	for _, w := range o.workers {
		b, err := w.Poll(now)
		busy = busy || b
		ended = ended && err == io.EOF
	}
	if ended {
		return busy, io.EOF
	}
	return busy, nil
}

// Workers returns the workers, to read their counters.
func (o *Offline) Workers() []*dataplane.Worker { return o.workers }

// PortNumber returns a port's logical number.
func (o *Offline) PortNumber(name string) (uint16, bool) {
	i, ok := o.state.ports.number[name]
	return i, ok
}
