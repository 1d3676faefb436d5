package afpacket

import (
	"fmt"
	"math/bits"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"openvra/dataplane/header"
	"openvra/dataplane/link/virtio"
	"openvra/dataplane/packet"
)

const (
	// slotHeaderLen is what the kernel keeps at the start of a slot, in bytes:
	// its header and an address.
	slotHeaderLen = unix.TPACKET_HDRLEN
	// slotOverhead is everything in a slot that is not frame: header, aligned
	// Ethernet header, headroom, virtio header, tailroom; at most.
	slotOverhead = slotHeaderLen + 32 + packet.Headroom + virtio.HeaderLen + packet.Headroom
	minSlot      = 2048
	maxSlot      = 16384
	// copyBytes bounds the frames that wait outside of the ring because they
	// are longer than a slot, and sendBytes those on their way out.
	copyBytes = 16 << 20
	sendBytes = 16 << 20
)

// socket is a packet socket bound to a device, with its receive ring.
type socket struct {
	fd       int
	ring     []byte
	slots    int // a power of 2
	slotSize int // a power of 2, in bytes
}

// openSocket opens a socket on the device of that index whose ring has about
// ringBytes. It does not receive before listen.
func openSocket(index, mtu, ringBytes int, promiscuous bool) (socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return socket{}, fmt.Errorf("open packet socket: %w", err)
	}
	s := socket{fd: fd}
	if err := s.setUp(index, mtu, ringBytes, promiscuous); err != nil {
		s.close()
		return socket{}, err
	}
	return s, nil
}

// setUp sets the options in the order the kernel wants: the virtio header and
// the reserve before the ring, the ring before the device.
func (s *socket) setUp(index, mtu, ringBytes int, promiscuous bool) error {
	for _, o := range []struct {
		name              string
		level, opt, value int
	}{
		{"ring version", unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2},
		{"virtio headers", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"headroom", unix.SOL_PACKET, unix.PACKET_RESERVE, packet.Headroom},
		{"copies of long frames", unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1},
		{"auxiliary data", unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{"qdisc bypass", unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1},
		{"ignore outgoing", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"receive buffer", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, copyBytes},
		{"send buffer", unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBytes},
	} {
		if err := unix.SetsockoptInt(s.fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	if err := s.mapRing(mtu, ringBytes); err != nil {
		return err
	}
	if err := s.deafen(); err != nil {
		return err
	}
	all := networkOrder(unix.ETH_P_ALL)
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if !promiscuous {
		return nil
	}
	m := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
		return fmt.Errorf("set promiscuous: %w", err)
	}
	return nil
}

func (s *socket) mapRing(mtu, ringBytes int) error {
	need := mtu + header.EthernetLen + 2*header.VLANLen + slotOverhead
	s.slotSize = min(max(minSlot, 1<<bits.Len(uint(need-1))), maxSlot)
	s.slots = max(2*packet.BatchSize, 1<<bits.Len(uint(max(ringBytes/s.slotSize, 1)-1)))
	block := min(256<<10, s.slots*s.slotSize)
	req := unix.TpacketReq{
		Block_size: uint32(block),
		Block_nr:   uint32(s.slots * s.slotSize / block),
		Frame_size: uint32(s.slotSize),
		Frame_nr:   uint32(s.slots),
	}
	if err := unix.SetsockoptTpacketReq(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make ring of %d slots of %d bytes: %w", s.slots, s.slotSize, err)
	}
	ring, err := unix.Mmap(s.fd, 0, s.slots*s.slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map ring: %w", err)
	}
	s.ring = ring
	return nil
}

// slot returns the memory of slot i.
func (s *socket) slot(i int) []byte {
	at := i * s.slotSize
	return s.ring[at : at+s.slotSize : at+s.slotSize]
}

// deafen makes the socket receive nothing. Between bind and joining its group a
// socket would get what belongs to the others.
func (s *socket) deafen() error {
	if err := s.filter(unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, []bpf.Instruction{bpf.RetConstant{}}); err != nil {
		return fmt.Errorf("set filter: %w", err)
	}
	return nil
}

// listen ends deafen.
func (s *socket) listen() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("remove filter: %w", err)
	}
	return nil
}

// filter gives the kernel a classic BPF program.
func (s *socket) filter(level, opt int, prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	f := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		f[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(s.fd, level, opt, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]})
}

// unbound says that the kernel took the device away.
func (s *socket) unbound() bool {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return true
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	return !ok || ll.Ifindex <= 0
}

// mac returns the device's own address.
func (s *socket) mac() (mac [6]byte, err error) {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return mac, os.NewSyscallError("getsockname", err)
	}
	if ll, ok := sa.(*unix.SockaddrLinklayer); ok && ll.Halen == 6 {
		copy(mac[:], ll.Addr[:6])
	}
	return mac, nil
}

// drops returns the frames the kernel had no slot for since the last call.
func (s *socket) drops() int {
	st, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return int(st.Drops)
}

func (s *socket) close() error {
	var err error
	if s.ring != nil {
		err = os.NewSyscallError("munmap", unix.Munmap(s.ring))
		s.ring = nil
	}
	if s.fd >= 0 {
		if e := unix.Close(s.fd); err == nil {
			err = os.NewSyscallError("close", e)
		}
		s.fd = -1
	}
	return err
}
