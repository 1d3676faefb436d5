// Package tuntap is the driver for TUN devices (bare IP packets) and TAP devices
// (Ethernet frames), which it makes and which go with it: ways to the host's own
// stack, to charon, to virtual machines.
//
// Each queue is a descriptor of its own, read and written a frame at a time:
// slower than a packet socket for small packets, but super-packets and half-made
// checksums pass whole, which is what the host's stack sends and receives.
//
// Queues of one device are chosen by the kernel, which remembers by which queue a
// flow came last.
package tuntap

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/link/netdev"
	"openvra/dataplane/link/virtio"
)

// Options say which device to make.
type Options struct {
	// Name of the device, 1 to 15 bytes. It must not exist yet.
	Name string
	// TAP makes a device of Ethernet frames; otherwise it is a TUN.
	TAP bool
	// Queues is the number of queues. Zero means 1; at most 256.
	Queues int
	// MTU in bytes of layer 3. Zero means 1500.
	MTU int
}

const maxQueues = 256 // MAX_TAP_QUEUES

// Port is an open device.
type Port struct {
	opts   Options
	queues []*queue

	mu      sync.Mutex // guards what follows
	control int        // socket for ioctls in the device's namespace
	info    link.Info
	closed  bool
}

var _ link.Port = (*Port)(nil)

// Open makes the device in the network namespace of the calling thread, sets its
// MTU and takes it up. It needs CAP_NET_ADMIN.
func Open(o Options) (*Port, error) {
	o.Queues = cmp.Or(o.Queues, 1)
	o.MTU = cmp.Or(o.MTU, 1500)
	p := &Port{opts: o, control: -1}
	for range o.Queues {
		p.queues = append(p.queues, newQueue())
	}
	if err := p.open(); err != nil {
		p.Close()
		return nil, fmt.Errorf("open port device %q: %w", o.Name, err)
	}
	return p, nil
}

func (p *Port) open() (err error) {
	o := &p.opts
	if o.Name == "" || len(o.Name) >= unix.IFNAMSIZ {
		return fmt.Errorf("got a name of %d bytes; want 1 to %d", len(o.Name), unix.IFNAMSIZ-1)
	}
	if o.Queues < 1 || o.Queues > maxQueues {
		return fmt.Errorf("got %d queues; want 1 to %d", o.Queues, maxQueues)
	}
	if p.control, err = netdev.Control(); err != nil {
		return err
	}
	return p.attach()
}

// attach makes the device and gives its descriptors to the queues.
//
// The device gets virtio headers from the descriptor that makes it, and water
// cannot ask for them: so a first descriptor makes the device, water's join it as
// queues, and the first leaves.
func (p *Port) attach() error {
	first, err := p.create()
	if err != nil {
		return err
	}
	defer unix.Close(first)
	devices := make([]*water.Interface, len(p.queues))
	defer func() {
		for _, d := range devices {
			if d != nil {
				d.Close()
			}
		}
	}()
	for i := range devices {
		if devices[i], err = p.join(); err != nil {
			return err
		}
	}
	if err := p.configure(); err != nil {
		return err
	}
	for i, q := range p.queues {
		q.attach(devices[i], descriptor(devices[i]))
		devices[i] = nil
	}
	return nil
}

// create makes the device and returns a descriptor that is one of its queues.
func (p *Port) create() (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	kind := uint16(unix.IFF_TUN)
	if p.opts.TAP {
		kind = unix.IFF_TAP
	}
	r, err := unix.NewIfreq(p.opts.Name)
	if err == nil {
		r.SetUint16(kind | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if errors.Is(err, unix.EBUSY) {
		err = errors.New("exists already")
	}
	if err == nil {
		err = p.offload(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// offload tells the kernel what frames may be handed over unfinished.
func (p *Port) offload(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtio.HeaderLen); err != nil {
		return fmt.Errorf("set header length: %w", err)
	}
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN
	// USO needs Linux 6.2, and the kernel takes it for both IP versions only.
	const udp = unix.TUN_F_USO4 | unix.TUN_F_USO6
	err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|udp)
	if errors.Is(err, unix.EINVAL) {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp)
	}
	if err != nil {
		return fmt.Errorf("set offload: %w", err)
	}
	return nil
}

// join opens one more queue of the device.
func (p *Port) join() (*water.Interface, error) {
	kind := water.DeviceType(water.TUN)
	if p.opts.TAP {
		kind = water.TAP
	}
	// water opens without CLOEXEC: no child may start before it is set.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	d, err := water.New(water.Config{
		DeviceType:             kind,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: p.opts.Name, MultiQueue: true},
	})
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	unix.CloseOnExec(descriptor(d))
	return d, nil
}

// descriptor returns the device's descriptor, which stays the device's.
func descriptor(d *water.Interface) int {
	fd := -1
	f, ok := d.ReadWriteCloser.(*os.File)
	if !ok {
		return fd
	}
	c, err := f.SyscallConn()
	if err != nil {
		return fd
	}
	_ = c.Control(func(n uintptr) { fd = int(n) }) // fails only on a closed file: -1
	return fd
}

// configure sets the MTU, takes the device up and reads what the kernel made.
func (p *Port) configure() (err error) {
	name := p.opts.Name
	if err := netdev.SetMTU(p.control, name, p.opts.MTU); err != nil {
		return err
	}
	if err := netdev.SetUp(p.control, name); err != nil {
		return err
	}
	i := link.Info{Device: name, MTU: p.opts.MTU, L3: !p.opts.TAP, Segments: true, Up: true}
	if i.Index, err = netdev.Index(p.control, name); err != nil {
		return err
	}
	if p.opts.TAP {
		if i.MAC, err = p.ownMAC(); err != nil {
			return err
		}
	}
	p.info = i
	return nil
}

// ownMAC returns the address of our end of the cable: that of the kernel's end,
// which the device has, with the last bit turned over.
func (p *Port) ownMAC() ([6]byte, error) {
	mac, err := netdev.MAC(p.control, p.opts.Name)
	mac[5] ^= 1
	return mac, err
}

// Info returns what the kernel knows of the device now. Safe for concurrent use.
// A TAP is a cable to the kernel, whose end has the device's MAC; the MAC here is
// one for the port's end, that of the device with the last bit turned over.
func (p *Port) Info() link.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.info.Up = false
		return p.info
	}
	if mtu, err := netdev.MTU(p.control, p.info.Device); err == nil {
		p.info.MTU = mtu
	}
	if p.opts.TAP {
		if mac, err := p.ownMAC(); err == nil {
			p.info.MAC = mac
		}
	}
	p.info.Up = netdev.Up(p.control, p.info.Device)
	return p.info
}

func (p *Port) Queues() []link.Queue {
	qs := make([]link.Queue, len(p.queues))
	for i, q := range p.queues {
		qs[i] = q
	}
	return qs
}

func (p *Port) Stats() (s link.Stats) {
	for _, q := range p.queues {
		q.count.AddTo(&s)
	}
	return s
}

// Reattach makes the device again if it was deleted. It must be called in the
// namespace that the device is to be in.
func (p *Port) Reattach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("reattach port device %q: closed", p.opts.Name)
	}
	if i, err := netdev.Index(p.control, p.opts.Name); err == nil && i == p.info.Index {
		return nil
	}
	if err := p.attach(); err != nil {
		return fmt.Errorf("reattach port device %q: %w", p.opts.Name, err)
	}
	return nil
}

func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	var errs []error
	for _, q := range p.queues {
		errs = append(errs, q.close())
	}
	if p.control >= 0 {
		errs = append(errs, unix.Close(p.control))
		p.control = -1
	}
	return errors.Join(errs...)
}
