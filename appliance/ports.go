package appliance

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"openvra/config"
	"openvra/dataplane/link"
	"openvra/dataplane/link/afpacket"
	"openvra/dataplane/link/tuntap"
)

// device is what of a port's configuration decides whether its device is opened anew.
type device struct {
	driver  config.Driver
	name    string
	mac     config.MAC
	queues  int // one for each worker
	promisc string
	mtu     int // of devices that the gateway makes
}

// openPort is a physical port while its device is open.
type openPort struct {
	link.Port
	device
	// kernel are the addresses that the kernel has on the device, once guarded says
	// that the device's guard knows them.
	kernel  []netip.Addr
	guarded bool
	// lost says that the device is gone and is waited for; broken that the driver
	// is closed, too.
	lost, broken bool
}

// openPorts are the open ports by name.
type openPorts map[string]*openPort

// info returns what is known of a port's device; the zero Info of one that is gone.
func (o openPorts) info(name string) link.Info {
	p, ok := o[name]
	if !ok {
		return link.Info{}
	}
	info := p.Info()
	info.Up = info.Up && !p.lost
	return info
}

// wanted is a port that the configuration asks for.
type wanted struct {
	port string
	device
}

// devices lists what c asks for, in the order of the file, the host port last.
func devices(c *config.Config, workers int) (list []wanted) {
	for i := range c.Ports {
		p := &c.Ports[i]
		d := device{driver: p.Driver, name: p.Device, mac: p.MAC, queues: workers, promisc: p.Promiscuous}
		if p.Driver == config.TUN || p.Driver == config.TAP {
			d.mtu = p.MTU
		}
		list = append(list, wanted{p.Name, d})
	}
	if c.Host.Enabled {
		list = append(list, wanted{hostPort, device{driver: config.TUN, name: c.Host.Device, queues: workers, mtu: c.Host.MTU}})
	}
	return list
}

// change is a change of the open ports that is prepared.
type change struct {
	// ports are those there are to be.
	ports openPorts
	// opened are those of them that were not open before.
	opened []*openPort
	// again are those whose device is open with other settings. It cannot be open
	// twice: reopen closes it first.
	again map[*openPort]device
}

// open prepares the ports that c asks for: a device that is open stays so, under
// whatever name, the others are opened. On an error nothing has changed; nor has old.
func open(c *config.Config, workers int, old openPorts, k *kernel) (*change, error) {
	byDevice := map[string]*openPort{}
	for _, p := range old {
		byDevice[p.device.name] = p
	}
	n := &change{ports: openPorts{}, again: map[*openPort]device{}}
	for _, w := range devices(c, workers) {
		p := byDevice[w.device.name]
		switch {
		case p == nil:
			dev, err := openDevice(w.device, k)
			if err != nil {
				n.undo()
				return nil, fmt.Errorf("port %q: %w", w.port, err)
			}
			p = &openPort{Port: dev, device: w.device}
			n.opened = append(n.opened, p)
		case p.device != w.device:
			n.again[p] = w.device
		}
		n.ports[w.port] = p
	}
	return n, nil
}

// undo closes what open has opened.
func (n *change) undo() {
	for _, p := range n.opened {
		p.Close()
	}
}

// reopen opens the devices of again with their new settings. On an error all have their
// old settings again; one for which even that fails is lost, and waited for. No worker
// may be inside a driver, and all must get their queues anew.
func (n *change) reopen(k *kernel, log *slog.Logger) (err error) {
	before := map[*openPort]device{}
	for p, d := range n.again {
		before[p] = p.device
		if err = p.reopen(d, k); err != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	for p, d := range before {
		if p.device == d && !p.broken {
			continue
		}
		if again := p.reopen(d, k); again != nil {
			log.Error("device not opened again", "device", d.name, "err", again)
		}
	}
	return err
}

// reopen closes the port's device and opens it as d.
func (p *openPort) reopen(d device, k *kernel) error {
	err := p.Close()
	if err == nil {
		var dev link.Port
		if dev, err = openDevice(d, k); err == nil {
			p.Port, p.device, p.lost, p.broken, p.guarded = dev, d, false, false, false
			return nil
		}
	}
	p.lost, p.broken = true, true
	return fmt.Errorf("open %q again: %w", d.name, err)
}

func openDevice(d device, k *kernel) (link.Port, error) {
	switch d.driver {
	case config.AFPacket:
		p, err := afpacket.Open(afpacket.Options{
			Device: d.name, Queues: d.queues, Guarded: true,
			Promiscuous: d.promisc == "true" || d.promisc == "auto" && d.mac != (config.MAC{}),
		})
		if err != nil {
			return nil, err
		}
		// Until kernelAddresses looks closer, what the kernel has is the kernel's.
		addrs, err := k.addresses(p.Info().Index)
		if err == nil {
			err = p.SetKernelAddresses(addrs)
		}
		if err != nil {
			p.Close()
			return nil, err
		}
		return p, nil
	case config.TUN, config.TAP:
		return tuntap.Open(tuntap.Options{Name: d.name, TAP: d.driver == config.TAP, Queues: d.queues, MTU: d.mtu})
	}
	return nil, fmt.Errorf("driver %s: got vra run; want af_packet, tap or tun, as it is for tests and replay", d.driver)
}

// closePorts closes the ports that keep does not have, by whatever name.
func closePorts(ports, keep openPorts) {
	kept := map[*openPort]bool{}
	for _, p := range keep {
		kept[p] = true
	}
	for _, p := range ports {
		if !kept[p] {
			p.Close()
		}
	}
}

// queues returns worker i's queue of each port, by logical index.
func (o openPorts) queues(i int, number map[string]uint16, n int) []link.Queue {
	list := make([]link.Queue, n)
	for name, p := range o {
		if q := p.Queues(); i < len(q) {
			list[number[name]] = q[i]
		}
	}
	return list
}

// segments says of each port whether its device takes super-packets.
func (o openPorts) segments(number map[string]uint16, n int) []bool {
	list := make([]bool, n)
	for name, p := range o {
		list[number[name]] = p.Info().Segments
	}
	return list
}

// kernelAddresses finds out which addresses the kernel has on the guarded ports, tells
// their guards, and reports whether one has changed. An address that the gateway has too
// is the gateway's.
func (o openPorts) kernelAddresses(k *kernel, own func(netip.Addr) bool, log *slog.Logger) (changed bool) {
	for name, p := range o {
		g, ok := p.Port.(interface{ SetKernelAddresses([]netip.Addr) error })
		if !ok || p.lost {
			continue
		}
		addrs, err := k.addresses(p.Info().Index)
		var both []netip.Addr
		addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
			if own(a) {
				both = append(both, a)
			}
			return own(a)
		})
		if err == nil && (!p.guarded || !slices.Equal(addrs, p.kernel)) {
			if err = g.SetKernelAddresses(addrs); err == nil {
				p.kernel, p.guarded, changed = addrs, true, true
			}
			if len(both) > 0 {
				log.Warn("addresses of the gateway are on the device too; the gateway has them", "port", name, "addresses", both)
			}
		}
		if err != nil {
			log.Warn("kernel's addresses of a port not known", "port", name, "err", err)
		}
	}
	return changed
}

// kernelOwned returns the addresses that the kernel has on ports, with the port's number.
func (o openPorts) kernelOwned(number map[string]uint16) map[uint32]uint16 {
	m := map[uint32]uint16{}
	for name, p := range o {
		for _, a := range p.kernel {
			m[u32(a)] = number[name]
		}
	}
	return m
}
