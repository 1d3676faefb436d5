// Package vlan is a VLAN sub-interface in user space, for kernels that have no
// such device: a TAP whose frames leave through a device with an 802.1Q tag, and
// which gets the frames of that device that carry the tag.
package vlan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	virtioLen   = 10 // struct virtio_net_hdr
	ethernetLen = 14
	maxFrame    = virtioLen + ethernetLen + 65536
	auxdataLen  = 20 // struct tpacket_auxdata
	typeVLAN    = 0x8100
)

// A Device is an open sub-interface.
type Device struct {
	id   uint16
	tap  *os.File
	link *os.File
}

// Open makes TAP device name, down and without address, as VLAN id (1 to 4094) of
// device parent, both in the network namespace of the calling thread.
func Open(parent, name string, id uint16) (*Device, error) {
	tap, err := openTAP(name)
	if err != nil {
		return nil, fmt.Errorf("open device %q: %w", name, err)
	}
	link, err := openLink(parent)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open device %q: %w", parent, err), tap.Close())
	}
	return &Device{id: id, tap: tap, link: link}, nil
}

func openTAP(name string) (*os.File, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openLink(name string) (*os.File, error) {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index}))
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Run moves frames until ctx ends or a device fails, then closes the sub-interface,
// which removes it. It returns nil when ctx ended it.
func (d *Device) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, d.close)()
	var wg sync.WaitGroup
	var out error
	wg.Go(func() { out = d.tagLoop(); d.close() })
	in := d.untagLoop()
	d.close()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(in, out)
}

func (d *Device) close() {
	d.tap.Close()
	d.link.Close()
}

// tagLoop sends the TAP's frames with the tag. No offload is offered to the
// kernel on the TAP, so that its virtio headers say nothing.
func (d *Device) tagLoop() error {
	in, out := make([]byte, maxFrame), make([]byte, maxFrame+4)
	for {
		n, err := d.tap.Read(in)
		if err != nil {
			return err
		}
		if n < virtioLen+ethernetLen {
			continue
		}
		const macs = virtioLen + 12
		copy(out, in[:macs])
		binary.BigEndian.PutUint16(out[macs:], typeVLAN)
		binary.BigEndian.PutUint16(out[macs+2:], d.id)
		copy(out[macs+4:], in[macs:n])
		if _, err := d.link.Write(out[:n+4]); errors.Is(err, os.ErrClosed) {
			return err
		}
	}
}

// untagLoop gives the TAP what carries the tag, which the kernel has taken off.
func (d *Device) untagLoop() error {
	conn, err := d.link.SyscallConn()
	if err != nil {
		return err
	}
	buf, oob := make([]byte, maxFrame), make([]byte, 256)
	for {
		n, id, err := receive(conn, buf, oob)
		if err != nil && !errors.Is(err, unix.ENETDOWN) {
			return err
		}
		if err != nil || id != d.id || n < virtioLen+ethernetLen {
			continue
		}
		if _, err := d.tap.Write(buf[:n]); errors.Is(err, os.ErrClosed) {
			return err
		}
	}
}

// receive reads one frame and the VLAN id from its metadata, 0 for none.
func receive(conn syscall.RawConn, buf, oob []byte) (n int, id uint16, err error) {
	var oobn int
	rerr := conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), buf, oob, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err = errors.Join(rerr, err); err != nil {
		return 0, 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA ||
			len(m.Data) < auxdataLen {
			continue
		}
		// struct tpacket_auxdata: status at byte 0, the tag's TCI at byte 16.
		if binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			id = binary.NativeEndian.Uint16(m.Data[16:]) & 0xfff
		}
	}
	return n, id, err
}
