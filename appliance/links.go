package appliance

import (
	"sync"

	"openvra/config"
	"openvra/dataplane"
)

// linksChanged looks at the devices after the kernel said that something changed.
func (g *Gateway) linksChanged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	hostBack := g.reattach()
	old := g.decider.Load()
	changed := g.ports.kernelAddresses(g.kernel, old.Has, g.log)
	for name := range g.ports {
		p := &old.plan.Ports[g.state.ports.number[name]]
		info := g.ports.info(name)
		if p.Up != info.Up {
			changed = true
			g.log.Info("port changed", "port", name, "up", info.Up)
			g.forgetNeighbors(old.plan, name)
		}
		changed = changed || info.MTU != 0 && p.MTU != uint32(orDevice(g.configuredMTU(old.config, name), info.MTU)) ||
			p.Kind == dataplane.PortEthernet && p.MAC != macOf(g.configuredMAC(old.config, name), info)
	}
	if hostBack {
		if err := g.attachHost(old); err != nil {
			g.log.Error("host port not attached", "err", err)
		}
	}
	if !changed {
		return
	}
	d, err := g.build(old.config, g.ports)
	if err != nil {
		g.log.Error("plan not rebuilt after a link change", "err", err)
		return
	}
	g.publish(d, g.ports)
	g.announce()
}

// forgetNeighbors forgets those on a device that went or came: others may be there now.
func (g *Gateway) forgetNeighbors(plan *dataplane.Plan, name string) {
	physical := g.state.ports.number[name]
	for i := range plan.Ports {
		if plan.Ports[i].Physical == physical {
			g.state.neighbors.Flush(uint16(i))
		}
	}
}

func (g *Gateway) configuredMTU(c *config.Config, name string) int {
	for i := range c.Ports {
		if c.Ports[i].Name == name {
			return c.Ports[i].MTU
		}
	}
	return c.Host.MTU
}

func (g *Gateway) configuredMAC(c *config.Config, name string) config.MAC {
	for i := range c.Ports {
		if c.Ports[i].Name == name {
			return c.Ports[i].MAC
		}
	}
	return config.MAC{}
}

// reattach opens devices again that were deleted and are back, and reports whether the
// host port's is among them.
func (g *Gateway) reattach() (host bool) {
	for name, p := range g.ports {
		index := g.kernel.index(p.device.name)
		if !p.lost && index != p.Info().Index {
			p.lost = true
			g.log.Warn("device is gone", "port", name, "device", p.device.name)
		}
		if !p.lost || index == 0 && p.driver == config.AFPacket {
			continue
		}
		var err error
		g.pause(func() {
			if !p.broken {
				err = p.Reattach()
			} else if err = p.reopen(p.device, g.kernel); err == nil {
				g.requeue()
			}
		})
		if err == nil {
			p.lost = false
			host = host || name == hostPort
			g.log.Info("device is back", "port", name, "device", p.device.name)
		}
	}
	return host
}

// requeue gives all workers the queues of the open ports, under the plan they have. The
// workers are paused.
func (g *Gateway) requeue() {
	n := len(g.decider.Load().plan.Ports)
	for i, w := range g.workers {
		w.SetQueues(g.ports.queues(i, g.state.ports.number, n), g.ports.segments(g.state.ports.number, n))
	}
}

// pause runs f while no worker is inside a driver.
func (g *Gateway) pause(f func()) {
	var parked sync.WaitGroup
	resume := make(chan struct{})
	parked.Add(len(g.workers))
	for _, w := range g.workers {
		park := sync.OnceFunc(parked.Done)
		go func() {
			w.Do(func() { park(); <-resume })
			park() // of a worker that has ended
		}()
	}
	parked.Wait()
	f()
	close(resume)
}
