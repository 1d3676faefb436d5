package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"openvra/appliance/admin"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/fib"
	"openvra/dataplane/link"
)

// Check does what a reload does but for touching the host: it builds the plan that c
// describes, on devices that are taken to be there.
func Check(c *config.Config) error {
	s, err := newState(c, secrets{}, nil)
	if err != nil {
		return err
	}
	_, err = s.build(c, assumed(c), false)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

// assumed returns what can be said of devices without looking at them.
func assumed(c *config.Config) func(string) link.Info {
	return func(name string) link.Info {
		info := link.Info{MTU: 1500, Up: true, MAC: [6]byte{2, 0, 0, 0, 0, 1}}
		if name == hostPort {
			return link.Info{MTU: c.Host.MTU, Up: true, L3: true}
		}
		for i := range c.Ports {
			if p := &c.Ports[i]; p.Name == name {
				info.L3 = p.Driver == config.TUN
				info.MAC[5] = byte(i + 1)
			}
		}
		return info
	}
}

// reloadView is what the admin socket says of reloads. Safe for concurrent use.
type reloadView struct {
	mu     sync.Mutex
	hash   string
	yaml   []byte
	last   admin.ReloadResult
	counts admin.ReloadCount
}

// applied notes what is in force.
func (g *Gateway) applied(d *decider) {
	g.decider.Store(d)
	var level slog.Level
	if g.opt.Level != nil && level.UnmarshalText([]byte(d.config.Log.Level)) == nil {
		g.opt.Level.Set(level)
	}
	g.view.mu.Lock()
	defer g.view.mu.Unlock()
	g.view.yaml, _ = d.config.Marshal()
	g.view.hash = hex.EncodeToString(d.config.Hash[:])
}

// Reload implements admin.Gateway: read once, check, build beside, swap, retire. A
// file that is refused changes nothing.
func (g *Gateway) Reload(context.Context) admin.ReloadResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	call(g.opt.Reloading)
	defer call(g.opt.Reloaded)
	begun := time.Now()
	warnings, err := g.reload()
	r := admin.ReloadResult{
		OK: err == nil, Time: begun.UTC(), TookMillis: time.Since(begun).Milliseconds(),
		Generation: uint64(g.decider.Load().plan.Generation), Warnings: warnings,
	}
	g.view.mu.Lock()
	defer g.view.mu.Unlock()
	if err != nil {
		r.Errors = errorLines(err)
		g.view.counts.Refused++
		for _, line := range r.Errors {
			g.log.Error("reload refused", "err", line)
		}
	} else {
		g.view.counts.Applied++
		g.log.Info("reloaded", "generation", r.Generation, "took", time.Since(begun), "warnings", len(warnings))
	}
	g.view.last = r
	return r
}

func errorLines(err error) (list []string) {
	var es config.Errors
	if errors.As(err, &es) {
		for _, e := range es {
			list = append(list, e.Error())
		}
		return list
	}
	return []string{err.Error()}
}

// reload does the work of Reload. The caller holds mu. All that can fail is done before
// the plan is published, and undone where something fails.
func (g *Gateway) reload() (warnings []string, err error) {
	if g.stopping {
		return nil, errors.New("the gateway is stopping")
	}
	c, err := config.Load(g.opt.ConfigPath)
	if err != nil {
		return nil, err
	}
	old := g.decider.Load()
	ports, err := open(c, len(g.workers), g.ports, g.kernel)
	if err != nil {
		return nil, err
	}
	d, err := g.state.build(c, ports.ports.info, false)
	if err == nil && len(ports.again) > 0 {
		if err = g.reopen(ports); err == nil {
			d, err = g.state.build(c, ports.ports.info, false) // of what the devices are now
		}
	}
	if err == nil {
		err = g.state.adopt(d, g.clock())
	}
	if err != nil {
		ports.undo()
		return nil, err
	}
	g.publish(d, ports.ports)
	warnings = c.NeedsRestart(old.config)
	if err := g.attachHost(d); err != nil {
		warnings = append(warnings, err.Error())
	}
	if !slices.Equal(old.announcements(), d.announcements()) {
		g.announce()
	}
	return warnings, nil
}

// reopen opens devices with other settings while no worker is inside a driver.
func (g *Gateway) reopen(n *change) (err error) {
	g.pause(func() {
		err = n.reopen(g.kernel, g.log)
		g.requeue()
	})
	return err
}

// build makes the plan of c on ports, and the shared state so. Where it fails nothing
// has changed.
func (g *Gateway) build(c *config.Config, ports openPorts) (*decider, error) {
	d, err := g.state.build(c, ports.info, false)
	if err != nil {
		return nil, err
	}
	ports.kernelAddresses(g.kernel, d.Has, g.log)
	d.kernel = ports.kernelOwned(g.state.ports.number)
	return d, g.state.adopt(d, g.clock())
}

// publish gives the plan and its ports to the workers. Ports that are not used any more
// are closed after the last worker has let go of them.
func (g *Gateway) publish(d *decider, ports openPorts) {
	was := g.ports
	g.ports = ports
	for i, w := range g.workers {
		w.Do(func() { g.equip(w, i, d) })
	}
	closePorts(was, ports)
	g.applied(d)
}

// announcements are the addresses to make known, by port, as often as the port's
// configuration says.
func (t *decider) announcements() []dataplane.Announcement {
	times := map[string]int{}
	for i := range t.config.Ports {
		p := &t.config.Ports[i]
		times[p.Name] = p.Announce
		for j := range p.VLANs {
			times[p.VLANs[j].Name] = p.Announce
		}
	}
	var list []dataplane.Announcement
	for a, port := range t.owned {
		if port != dataplane.NoPort && t.plan.Ports[port].Kind == dataplane.PortEthernet {
			list = append(list, dataplane.Announcement{Port: port, Address: a, Times: times[t.plan.Ports[port].Name]})
		}
	}
	slices.SortFunc(list, func(a, b dataplane.Announcement) int {
		return int(int64(a.Port)<<32|int64(a.Address)) - int(int64(b.Port)<<32|int64(b.Address))
	})
	return list
}

// routeCount counts the routes of all tables.
func routeCount(s *fib.Set) (n int) {
	n = s.Main().Len()
	for _, name := range s.Names() {
		n += s.Table(name).Len()
	}
	return n
}
