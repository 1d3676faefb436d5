package afpacket

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// join makes the sockets one group among which the kernel spreads frames as
// link.Steer says, or, where it refuses the program, by its own hash: then both
// directions of a flow may arrive at different queues.
func join(sockets []socket) error {
	if len(sockets) < 2 {
		return nil
	}
	kind := unix.PACKET_FANOUT_CBPF
	flags := unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	first := &sockets[0]
	err := unix.SetsockoptInt(first.fd, unix.SOL_PACKET, unix.PACKET_FANOUT,
		(kind|flags|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16)
	if err != nil {
		kind = unix.PACKET_FANOUT_HASH
		err = unix.SetsockoptInt(first.fd, unix.SOL_PACKET, unix.PACKET_FANOUT,
			(kind|flags|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16)
	}
	if err != nil {
		return fmt.Errorf("make fanout group: %w", err)
	}
	group, err := unix.GetsockoptInt(first.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return fmt.Errorf("read fanout group: %w", err)
	}
	for i := range sockets[1:] {
		err := unix.SetsockoptInt(sockets[i+1].fd, unix.SOL_PACKET, unix.PACKET_FANOUT,
			group&0xffff|(kind|flags)<<16)
		if err != nil {
			return fmt.Errorf("join fanout group: %w", err)
		}
	}
	if kind != unix.PACKET_FANOUT_CBPF {
		return nil
	}
	if err := first.filter(unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, steerProgram()); err != nil {
		return fmt.Errorf("set fanout program: %w", err)
	}
	return nil
}

// line is an instruction with its label and the label it jumps to, if any.
type line struct {
	label string
	op    bpf.Instruction
	to    string
}

// Scratch words of the program.
const (
	scratchAddrs = 0 // source ^ destination
	scratchHere  = 1 // start of the IPv4 header, then a port
)

// steerProgram returns link.Steer as a classic BPF program. The kernel runs it
// with the first VLAN tag taken off and the packet starting behind the Ethernet
// header, and takes the result modulo the number of sockets. A load outside of
// the packet ends it with 0.
func steerProgram() []bpf.Instruction {
	keep := func(label string) []line {
		return []line{{label: label, op: bpf.StoreScratch{Src: bpf.RegX, N: scratchHere}}}
	}
	return assemble(
		findIPv4(),
		classify("outer"),
		[]line{{op: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: flow.IPIP}, to: "addrs"}},
		skipHeader(), classify("inner"),
		keep("addrs"), xorAddrs(), result(),
		keep("ports"), xorAddrs(),
		[]line{
			{op: bpf.StoreScratch{Src: bpf.RegA, N: scratchAddrs}},
			{op: bpf.LoadScratch{Dst: bpf.RegX, N: scratchHere}},
		},
		skipHeader(), addPorts(), result(),
		[]line{{label: "none", op: bpf.RetConstant{}}})
}

// findIPv4 sets X to the start of the IPv4 header.
func findIPv4() []line {
	return []line{
		{op: bpf.LoadExtension{Num: bpf.ExtProto}},
		{op: equal(header.TypeIPv4), to: "untagged"},
		{op: equal(header.TypeVLAN), to: "tagged"},
		{op: equal(header.TypeQinQ), to: "tagged"},
		{op: bpf.RetConstant{}},
		{label: "tagged", op: bpf.LoadAbsolute{Off: 2, Size: 2}},
		{op: bpf.LoadConstant{Dst: bpf.RegX, Val: header.VLANLen}},
		{op: equal(header.TypeIPv4), to: "outer"},
		{op: bpf.RetConstant{}},
		{label: "untagged", op: bpf.LoadConstant{Dst: bpf.RegX}},
	}
}

// classify jumps by what the IPv4 packet at X is, or goes on with its protocol in A.
func classify(label string) []line {
	return []line{
		{label: label, op: at(0, 1)},
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4}},
		{op: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 4}, to: "none"},
		{op: at(6, 2)},
		{op: bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: header.MoreFragments | header.FragmentOffset}, to: "addrs"},
		{op: at(9, 1)},
		{op: equal(flow.TCP), to: "ports"},
		{op: equal(flow.UDP), to: "ports"},
	}
}

// skipHeader adds the length of the IPv4 header at X to X.
func skipHeader() []line {
	return []line{
		{op: at(0, 1)},
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 15}},
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2}},
		{op: bpf.ALUOpX{Op: bpf.ALUOpAdd}},
		{op: bpf.TAX{}},
	}
}

// xorAddrs sets A to source ^ destination of the IPv4 header at X.
func xorAddrs() []line {
	return []line{
		{op: at(12, 4)},
		{op: bpf.StoreScratch{Src: bpf.RegA, N: scratchAddrs}},
		{op: at(16, 4)},
		{op: bpf.LoadScratch{Dst: bpf.RegX, N: scratchAddrs}},
		{op: bpf.ALUOpX{Op: bpf.ALUOpXor}},
	}
}

// addPorts sets A to x of flow.Steer, from the ports at X and the kept addresses.
func addPorts() []line {
	return []line{
		{op: at(2, 2)},
		{op: bpf.StoreScratch{Src: bpf.RegA, N: scratchHere}},
		{op: at(0, 2)},
		{op: bpf.LoadScratch{Dst: bpf.RegX, N: scratchHere}},
		{op: bpf.ALUOpX{Op: bpf.ALUOpXor}},
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 0x9e3779b1}},
		{op: bpf.LoadScratch{Dst: bpf.RegX, N: scratchAddrs}},
		{op: bpf.ALUOpX{Op: bpf.ALUOpXor}},
	}
}

// result returns what flow.Steer makes of x in A.
func result() []line {
	return []line{
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 0x85ebca6b}},
		{op: bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16}},
		{op: bpf.RetA{}},
	}
}

// at loads size bytes at X + offset.
func at(offset uint32, size int) bpf.Instruction {
	return bpf.LoadIndirect{Off: offset, Size: size}
}

func equal(v uint32) bpf.Instruction { return bpf.JumpIf{Cond: bpf.JumpEqual, Val: v} }

// assemble joins blocks and turns labels into distances. All jumps go forward.
func assemble(blocks ...[]line) []bpf.Instruction {
	var lines []line
	for _, b := range blocks {
		lines = append(lines, b...)
	}
	index := map[string]int{}
	for i, l := range lines {
		index[l.label] = i
	}
	prog := make([]bpf.Instruction, len(lines))
	for i, l := range lines {
		prog[i] = l.op
		if j, ok := l.op.(bpf.JumpIf); ok {
			j.SkipTrue = uint8(index[l.to] - i - 1)
			prog[i] = j
		}
	}
	return prog
}
