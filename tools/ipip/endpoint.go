package ipip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const maxPacket = 65535

// A Route says behind which remote a prefix of inner destinations is.
type Route struct {
	Prefix netip.Prefix
	Remote netip.Addr
}

// Config describes an endpoint.
type Config struct {
	// Device is the name of the TUN device to make, at most 15 bytes.
	Device string
	// Local is the outer source.
	Local netip.Addr
	// Routes are tried longest prefix first; what matches none is dropped.
	// Their remotes are also the only sources that are decapsulated.
	Routes []Route
}

// Counters are an endpoint's counts of packets since it was opened.
type Counters struct {
	Encapsulated, Decapsulated uint64
	// Dropped counts packets of either direction that were not IPv4, had no
	// route or a foreign source, carried a mark they may not, or were refused
	// by the kernel.
	Dropped uint64
}

// An Endpoint is an open TUN device and the raw socket behind it.
type Endpoint struct {
	routes  []Route
	remotes map[netip.Addr]bool
	local   [4]byte
	tun     *os.File
	raw     *os.File

	encapsulated, decapsulated, dropped atomic.Uint64
}

// Open makes the TUN device and the raw socket in the network namespace of the
// calling thread, where they stay. The device is down and has no address.
func Open(c Config) (*Endpoint, error) {
	if !c.Local.Is4() {
		return nil, fmt.Errorf("ipip endpoint: local address is %v; want IPv4", c.Local)
	}
	tun, err := openTUN(c.Device)
	if err != nil {
		return nil, fmt.Errorf("open device %q: %w", c.Device, err)
	}
	raw, err := openRaw()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open raw socket: %w", err), tun.Close())
	}
	e := &Endpoint{routes: c.Routes, local: c.Local.As4(), tun: tun, raw: raw, remotes: map[netip.Addr]bool{}}
	for _, r := range c.Routes {
		e.remotes[r.Remote] = true
	}
	return e, nil
}

func openTUN(name string) (*os.File, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openRaw returns a socket that receives IP-in-IP packets, reassembled, and sends
// packets whose outer header we write.
func openRaw() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_HDRINCL, 1)
	// A burst of one TCP window must fit; the kernel halves what it is over.
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 8<<20))
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "ipip"), nil
}

// Counters is safe for concurrent use.
func (e *Endpoint) Counters() Counters {
	return Counters{e.encapsulated.Load(), e.decapsulated.Load(), e.dropped.Load()}
}

// Run moves packets until ctx ends, then closes the endpoint, which removes the
// device. It returns nil when ctx ended it.
func (e *Endpoint) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, e.close)
	defer stop()
	var wg sync.WaitGroup
	var out error
	wg.Go(func() { out = e.encapLoop(); e.close() })
	in := e.decapLoop()
	e.close()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(out, in)
}

func (e *Endpoint) close() {
	e.tun.Close()
	e.raw.Close()
}

// encapLoop takes what the kernel routes into the device.
func (e *Endpoint) encapLoop() error {
	conn, err := e.raw.SyscallConn()
	if err != nil {
		return err
	}
	in, buf := make([]byte, maxPacket), make([]byte, maxPacket)
	for {
		n, err := e.tun.Read(in)
		if err != nil {
			return ignoreClosed(err)
		}
		if !e.encap(in[:n], buf, func(p []byte, to [4]byte) (err error) {
			werr := conn.Write(func(fd uintptr) bool {
				err = unix.Sendto(int(fd), p, 0, &unix.SockaddrInet4{Addr: to})
				return !errors.Is(err, unix.EAGAIN)
			})
			return errors.Join(err, werr)
		}) {
			e.dropped.Add(1)
		}
	}
}

func (e *Endpoint) encap(inner, buf []byte, send func([]byte, [4]byte) error) bool {
	if len(inner) < headerLen || len(inner)+headerLen > maxPacket {
		return false
	}
	remote, ok := e.lookup(netip.AddrFrom4([4]byte(inner[16:20])))
	if !ok {
		return false
	}
	p, err := Encap(buf, inner, e.local, remote.As4())
	if err != nil || send(p, remote.As4()) != nil {
		return false
	}
	e.encapsulated.Add(1)
	return true
}

// lookup returns the remote of the longest prefix that holds dst.
func (e *Endpoint) lookup(dst netip.Addr) (remote netip.Addr, ok bool) {
	best := -1
	for _, r := range e.routes {
		if r.Prefix.Contains(dst) && r.Prefix.Bits() > best {
			best, remote = r.Prefix.Bits(), r.Remote
		}
	}
	return remote, best >= 0
}

// decapLoop takes IP-in-IP packets that are addressed to this host.
func (e *Endpoint) decapLoop() error {
	buf := make([]byte, maxPacket)
	for {
		n, err := e.raw.Read(buf)
		if err != nil {
			return ignoreClosed(err)
		}
		inner, src, err := Decap(buf[:n])
		if err != nil || !e.remotes[netip.AddrFrom4(src)] {
			e.dropped.Add(1)
			continue
		}
		if _, err := e.tun.Write(inner); err != nil {
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			e.dropped.Add(1)
			continue
		}
		e.decapsulated.Add(1)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
