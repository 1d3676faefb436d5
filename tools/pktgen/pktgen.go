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
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
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
	frame []byte
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
	frame := template(c, dev.HardwareAddr)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pktgen", Type: ebpf.XDP, License: "Apache-2.0", Instructions: program(dev.Index, c.Flows, sum(frame[ipAt:udpAt])),
	})
	if err != nil {
		return nil, fmt.Errorf("load packet generator: %w", err)
	}
	return &Generator{prog, frame}, nil
}

// Close unloads the program.
func (g *Generator) Close() error { return g.prog.Close() }

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

// program writes source address and port of a random flow, and the IP checksum for
// them, and redirects the frame. The page it works on keeps what it wrote before.
func program(ifindex, flows int, ipSum int32) asm.Instructions {
	const data, end = 0, 4 // in struct xdp_md
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetPrandomU32.Call(),
		asm.Mod.Imm32(asm.R0, int32(flows)),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.LoadMem(asm.R1, asm.R6, data, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, end, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, FrameLen),
		asm.Mov.Imm(asm.R0, 1), // XDP_DROP
		asm.JGT.Reg(asm.R3, asm.R2, "exit"),

		asm.Mov.Reg(asm.R4, asm.R7), // low half of the source address
		asm.RSh.Imm(asm.R4, 4),
		asm.StoreMem(asm.R1, ipAt+14, asm.R4, asm.Half),
		asm.Add.Imm(asm.R4, ipSum), // checksum
		asm.Mov.Reg(asm.R3, asm.R4),
		asm.RSh.Imm(asm.R3, 16),
		asm.And.Imm(asm.R4, 0xffff),
		asm.Add.Reg(asm.R4, asm.R3),
		asm.Xor.Imm(asm.R4, 0xffff),
		asm.StoreMem(asm.R1, ipAt+10, asm.R4, asm.Half),
		asm.And.Imm(asm.R7, 15), // source port
		asm.Mul.Imm(asm.R7, 3000),
		asm.Add.Imm(asm.R7, 1024),
		asm.StoreMem(asm.R1, udpAt, asm.R7, asm.Half),

		asm.Mov.Imm(asm.R1, int32(ifindex)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return().WithSymbol("exit"),
	}
}

// Run offers frames for the given time: rate a second, in bursts a millisecond
// apart, or as many as the core can make if rate is 0. It returns how many it
// offered; the device may have dropped some.
func (g *Generator) Run(ctx context.Context, rate int, during time.Duration) (uint64, error) {
	const burst = 50000 // frames in one call where there is no rate
	var sent uint64
	start := time.Now()
	for {
		elapsed := time.Since(start)
		if elapsed >= during || ctx.Err() != nil {
			return sent, ctx.Err()
		}
		n := uint64(burst)
		if rate > 0 {
			due := uint64(elapsed.Seconds() * float64(rate))
			if due <= sent {
				time.Sleep(time.Millisecond / 2)
				continue
			}
			n = min(due-sent, burst)
		}
		if err := g.send(uint32(n)); err != nil {
			return sent, err
		}
		sent += n
	}
}

func (g *Generator) send(n uint32) error {
	_, err := g.prog.Run(&ebpf.RunOptions{Data: g.frame, Repeat: n, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES})
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("send frames: %w", err)
	}
	return nil
}
