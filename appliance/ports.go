package appliance

import (
	"fmt"
	"log/slog"
	"maps"
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
	queues  int
	promisc string
	mtu     int // of devices that the gateway makes
}

// openPort is a physical port while its device is open.
type openPort struct {
	link.Port
	device
	// lost says that the device is gone and is waited for.
	lost bool
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

// devices lists the devices that c asks for, by port name.
func devices(c *config.Config, workers int) map[string]device {
	m := map[string]device{}
	for i := range c.Ports {
		p := &c.Ports[i]
		d := device{driver: p.Driver, name: p.Device, mac: p.MAC, queues: p.Queues, promisc: p.Promiscuous}
		if p.Driver == config.TUN || p.Driver == config.TAP {
			d.mtu = p.MTU
		}
		if d.queues == 0 || d.queues > workers {
			d.queues = workers
		}
		m[p.Name] = d
	}
	if c.Host.Enabled {
		m[hostPort] = device{driver: config.TUN, name: c.Host.Device, queues: workers, mtu: c.Host.MTU}
	}
	return m
}

// open returns the ports that c asks for: those of old whose device is the same, the
// others opened. On an error everything that was opened is closed again. Old is not
// changed, and what it has beyond the result stays open.
func open(c *config.Config, workers int, old openPorts, k *kernel) (ports openPorts, err error) {
	ports = openPorts{}
	defer func() {
		if err != nil {
			closePorts(ports, old)
		}
	}()
	want := devices(c, workers)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		d := want[name]
		if o, ok := old[name]; ok && o.device == d {
			ports[name] = o
			continue
		}
		if o, ok := old[name]; ok && o.device.name == d.name {
			// The device is the same and cannot be open twice.
			if err := o.Close(); err != nil {
				return nil, fmt.Errorf("port %q: %w", name, err)
			}
		}
		p, err := openDevice(d, k)
		if err != nil {
			return nil, fmt.Errorf("port %q: %w", name, err)
		}
		ports[name] = &openPort{Port: p, device: d}
	}
	return ports, nil
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

// closePorts closes the ports that keep does not have.
func closePorts(ports, keep openPorts) {
	for name, p := range ports {
		if keep[name] != p {
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

// kernelAddresses tells the guarded ports which addresses are the kernel's now.
func (o openPorts) kernelAddresses(k *kernel, log *slog.Logger) {
	for name, p := range o {
		g, ok := p.Port.(interface{ SetKernelAddresses([]netip.Addr) error })
		if !ok || p.lost {
			continue
		}
		addrs, err := k.addresses(p.Info().Index)
		if err == nil {
			err = g.SetKernelAddresses(addrs)
		}
		if err != nil {
			log.Warn("kernel's addresses of a port not known", "port", name, "err", err)
		}
	}
}
