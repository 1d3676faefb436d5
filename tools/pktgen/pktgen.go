// Package pktgen offers small UDP frames of many flows to a veth, millions a second
// from one core: an XDP program that the kernel runs again and again on frames of
// its own (BPF_PROG_RUN with live frames) redirects them into the device. What it
// costs to make packets of the frames is paid where they arrive, as with a NIC.
package pktgen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// FrameLen is the length of every frame, in bytes without the FCS.
const FrameLen = 60

const ipAt, udpAt = 14, 34

// Config describes what is offered. Flow f, 0 to Flows-1, chosen at random for each
// frame, comes from the f/16th address of Sources and the f%16th of 16 ports.
type Config struct {
	// Device is the veth to send by, in the namespace of the thread that calls Open
	// and Run. Its other end must do NAPI: GRO switched on is enough.
	Device string
	// To is the Ethernet address of the frames.
	To net.HardwareAddr
	// Sources is the network, a /16, of the source addresses.
	Sources netip.Prefix
	// Destination is the one destination, at UDP port 9.
	Destination netip.Addr
	// Flows is 1 to 1048576.
	Flows int
}

// A Generator is a loaded program. Not safe for concurrent use.
type Generator struct {
	prog  *ebpf.Program
	pace  *ebpf.Map
	frame []byte
}

// pacing is the value of the program's map, shared with program.
type pacing struct {
	// Next is when the next frame is due, and Interval the time between two, in
	// nanoseconds of the monotonic clock. Interval 0 means no limit.
	Next, Interval uint64
	// Sent counts frames.
	Sent uint64
}

// Open loads the program.
func Open(c Config) (*Generator, error) {
	if c.Flows < 1 || c.Flows > 1<<20 || c.Sources.Bits() != 16 {
		return nil, fmt.Errorf("packet generator: got %d flows from %v; want 1 to 1048576 from a /16", c.Flows, c.Sources)
	}
	dev, err := net.InterfaceByName(c.Device)
	if err != nil {
		return nil, err
	}
	g := &Generator{frame: template(c, dev.HardwareAddr)}
	g.pace, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 24, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("make map of packet generator: %w", err)
	}
	g.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pktgen", Type: ebpf.XDP, License: "Apache-2.0", Instructions: program(dev.Index, c.Flows, g.pace.FD(), g.frame),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load packet generator: %w", err), g.pace.Close())
	}
	return g, nil
}

// Close unloads the program.
func (g *Generator) Close() error { return errors.Join(g.prog.Close(), g.pace.Close()) }

// template returns a frame with UDP checksum 0 and IP checksum 0.
func template(c Config, from net.HardwareAddr) []byte {
	f := make([]byte, FrameLen)
	copy(f, c.To)
	copy(f[6:], from)
	f[12] = 8
	f[ipAt] = 0x45
	binary.BigEndian.PutUint16(f[ipAt+2:], FrameLen-ipAt)
	f[ipAt+8], f[ipAt+9] = 64, 17
	copy(f[ipAt+12:], c.Sources.Masked().Addr().AsSlice())
	copy(f[ipAt+16:], c.Destination.AsSlice())
	binary.BigEndian.PutUint16(f[udpAt+2:], 9)
	binary.BigEndian.PutUint16(f[udpAt+4:], FrameLen-udpAt)
	return f
}

// sum is the ones' complement sum of b in words of the machine's byte order.
func sum(b []byte) int32 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.NativeEndian.Uint16(b[i:]))
	}
	s = s>>16 + s&0xffff
	return int32(s>>16 + s&0xffff)
}

// Run offers frames for the given time, evenly, rate a second, or as many as the
// core can make if rate is 0. It keeps the core busy. It returns how many it offered;
// the device may have dropped some.
func (g *Generator) Run(ctx context.Context, rate int, during time.Duration) (uint64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var p pacing
	if rate > 0 {
		p.Interval = uint64(time.Second) / uint64(rate)
	}
	if err := g.pace.Put(uint32(0), p); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	// One call runs to the end: to set it up takes the kernel longer than a frame
	// may be late. A signal ends it, one that the Go runtime knows to ignore.
	pid, thread := unix.Getpid(), unix.Gettid()
	running := make(chan struct{})
	defer close(running)
	go func() {
		<-ctx.Done()
		for {
			select {
			case <-running:
				return
			case <-time.After(time.Millisecond): // the first may come before the call
				unix.Tgkill(pid, thread, unix.SIGURG)
			}
		}
	}()
	for ctx.Err() == nil {
		if err := runLive(g.prog.FD(), g.frame); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("send frames: %w", err)
		}
	}
	err := g.pace.Lookup(uint32(0), &p)
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		err = errors.Join(err, cause)
	}
	return p.Sent, err
}
