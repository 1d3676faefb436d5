package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"openvra/dataplane/header"
)

// maxKernelAddresses bounds the set of a Guard.
const maxKernelAddresses = 1024

// Guard keeps the kernel from handling the frames that a device receives, except
// those for addresses the kernel keeps. It is an eBPF program at the device's tc
// ingress hook (TCX, Linux 6.6), which packet sockets come before: they see every
// frame. The hook goes when the process does, however it ends.
//
// What the kernel still gets, all of it untagged: IPv4 packets to an address of
// the set; ARP whose target address is in the set; IPv6 packets to an address of
// the set. Unless the set is empty also IPv6 to link-local and multicast
// addresses, since neighbor discovery needs them.
type Guard struct {
	mu   sync.Mutex // guards kept and the map behind it
	kept map[netip.Addr]bool
	set  *ebpf.Map
	prog *ebpf.Program
	hook link.Link
}

// OpenGuard attaches a guard with an empty set to the device of that interface
// index. l3 says that the device's frames have no Ethernet header. It must be
// called in the device's network namespace.
func OpenGuard(index int, l3 bool) (*Guard, error) {
	g := &Guard{kept: map[netip.Addr]bool{}}
	if err := g.attach(index, l3); err != nil {
		g.Close()
		if errors.Is(err, ebpf.ErrNotSupported) {
			err = fmt.Errorf("the kernel has no TCX (Linux 6.6 and later): %w", err)
		}
		return nil, err
	}
	return g, nil
}

func (g *Guard) attach(index int, l3 bool) (err error) {
	g.set, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "vra_kernel_addr", Type: ebpf.Hash,
		KeySize: 16, ValueSize: 1, MaxEntries: maxKernelAddresses + 1,
	})
	if err != nil {
		return fmt.Errorf("make address set: %w", err)
	}
	g.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "vra_guard", Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress,
		Instructions: guardProgram(g.set.FD(), l3), License: "Apache-2.0",
	})
	if err != nil {
		return fmt.Errorf("load guard: %w", err)
	}
	g.hook, err = link.AttachTCX(link.TCXOptions{
		Interface: index, Program: g.prog, Attach: ebpf.AttachTCXIngress,
	})
	return err
}

// SetKernelAddresses replaces the set, at most 1024 addresses; addresses in both
// the old and the new set are served throughout. Safe for concurrent use.
func (g *Guard) SetKernelAddresses(addrs []netip.Addr) error {
	if len(addrs) > maxKernelAddresses {
		return fmt.Errorf("got %d kernel addresses; want at most %d", len(addrs), maxKernelAddresses)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	next := make(map[netip.Addr]bool, len(addrs)+1)
	for _, a := range addrs {
		next[a.Unmap()] = true
		next[netip.IPv6Unspecified()] = true // says that the set is not empty
	}
	for a := range g.kept {
		if next[a] {
			continue
		}
		key := a.As16()
		if err := g.set.Delete(key[:]); err != nil {
			return fmt.Errorf("remove kernel address %s: %w", a, err)
		}
		delete(g.kept, a)
	}
	for a := range next {
		key := a.As16()
		if err := g.set.Put(key[:], []byte{1}); err != nil {
			return fmt.Errorf("add kernel address %s: %w", a, err)
		}
		g.kept[a] = true
	}
	return nil
}

// Close takes the guard off. It is idempotent.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	if g.hook != nil {
		errs = append(errs, g.hook.Close())
		g.hook = nil
	}
	errs = append(errs, g.prog.Close(), g.set.Close()) // nil receivers and closed ones do nothing
	return errors.Join(errs...)
}

// Offsets in struct __sk_buff, the context of the program.
const (
	skbProtocol    = 16
	skbVLANPresent = 20
)

// guardProgram returns the program described at Guard. The key of an IPv4
// address is its IPv4-mapped IPv6 address, as netip.Addr.As16 has it.
func guardProgram(set int, l3 bool) asm.Instructions {
	const (
		tcxNext, tcxDrop = -1, 2
		key              = -16 // on the stack
		linkLocal        = 0x80fe
		linkLocalMask    = 0xc0ff
	)
	l2 := int32(header.EthernetLen)
	if l3 {
		l2 = 0
	}
	var p asm.Instructions
	p = append(p,
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R0, asm.R6, skbVLANPresent, asm.Word),
		asm.JNE.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R8, 0),
		asm.StoreMem(asm.R10, key, asm.R8, asm.DWord),
		asm.StoreMem(asm.R10, key+8, asm.R8, asm.DWord),
		asm.Mov.Imm(asm.R1, 0xffff),
		asm.StoreMem(asm.R10, key+10, asm.R1, asm.Half),
		asm.LoadMem(asm.R7, asm.R6, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R7, int32(networkOrder(header.TypeIPv4)), "ipv4"),
		asm.JEq.Imm(asm.R7, int32(networkOrder(header.TypeARP)), "arp"),
		asm.JNE.Imm(asm.R7, int32(networkOrder(header.TypeIPv6)), "drop"))
	p = append(p, copyToStack(l2+24, key, 16)...)
	p = append(p,
		asm.LoadMem(asm.R1, asm.R10, key, asm.Byte),
		asm.JEq.Imm(asm.R1, 0xff, "neighbor discovery"),
		asm.LoadMem(asm.R1, asm.R10, key, asm.Half),
		asm.HostTo(asm.LE, asm.R1, asm.Half),
		asm.And.Imm(asm.R1, linkLocalMask),
		asm.JNE.Imm(asm.R1, linkLocal, "lookup"),
		asm.StoreMem(asm.R10, key, asm.R8, asm.DWord).WithSymbol("neighbor discovery"),
		asm.StoreMem(asm.R10, key+8, asm.R8, asm.DWord),
		asm.Ja.Label("lookup"))
	p = append(p, asm.Mov.Imm(asm.R0, 0).WithSymbol("arp"))
	p = append(p, copyToStack(l2+24, key+12, 4)...)
	p = append(p, asm.Ja.Label("lookup"), asm.Mov.Imm(asm.R0, 0).WithSymbol("ipv4"))
	p = append(p, copyToStack(l2+16, key+12, 4)...)
	return append(p,
		asm.LoadMapPtr(asm.R1, set).WithSymbol("lookup"),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R0, tcxNext),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxDrop).WithSymbol("drop"),
		asm.Return())
}

// copyToStack copies n bytes of the frame in R6 to the stack at at, or drops a
// frame that is shorter.
func copyToStack(offset, at, n int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, offset),
		asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, at),
		asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	}
}

// networkOrder returns v as the kernel keeps it in fields of network byte order.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
