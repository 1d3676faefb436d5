package afpacket

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slotHeader is the kernel's header at the start of a ring slot.
func slotHeader(slot []byte) *unix.Tpacket2Hdr {
	_ = slot[unsafe.Sizeof(unix.Tpacket2Hdr{})-1]
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
}

// loadStatus says who owns a slot; what the kernel wrote before is visible after.
func loadStatus(h *unix.Tpacket2Hdr) uint32 { return atomic.LoadUint32(&h.Status) }

// giveBack returns a slot to the kernel.
func giveBack(h *unix.Tpacket2Hdr) { atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL) }

// mmsghdr is struct mmsghdr of the kernel.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// sendmmsg sends msgs and returns how many the kernel took; an error only if it
// was none.
func sendmmsg(fd int, msgs []mmsghdr) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// superRead is the memory that receiving a super-packet takes besides its buffer.
type superRead struct {
	msg     unix.Msghdr
	iov     unix.Iovec
	control struct {
		hdr unix.Cmsghdr
		aux auxdata
		_   [4]byte
	}
}

// auxdata is struct tpacket_auxdata.
type auxdata struct {
	status, len, snaplen           uint32
	mac, net, vlanTCI, vlanProtoID uint16
}

// read receives one frame into buf and returns its length and what the kernel
// knows of it. The length is 0 if there is none or it was longer than buf.
func (r *superRead) read(fd int, buf []byte) (int, *auxdata) {
	r.iov.Base = &buf[0]
	r.iov.SetLen(len(buf))
	r.msg = unix.Msghdr{Iov: &r.iov, Control: (*byte)(unsafe.Pointer(&r.control))}
	r.msg.SetIovlen(1)
	r.msg.SetControllen(int(unsafe.Sizeof(r.control)))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&r.msg)), unix.MSG_DONTWAIT)
	aux := &r.control.aux
	if r.control.hdr.Type != unix.PACKET_AUXDATA || r.msg.Controllen == 0 {
		aux.status = 0
	}
	if errno != 0 || r.msg.Flags&unix.MSG_TRUNC != 0 {
		return 0, aux
	}
	return int(n), aux
}
