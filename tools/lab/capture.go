package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a capture: frames kept, and bytes kept of each.
const (
	captureFrames = 20000
	captureBytes  = 2048
)

const auxdataLen = 20 // struct tpacket_auxdata

// A Frame is one captured frame.
type Frame struct {
	// Bytes are the first 2048 of the frame, without the VLAN tag the kernel took.
	Bytes []byte
	// VLAN is the id of the tag that the kernel took off or will put on, 0 for none.
	VLAN uint16
	// Outgoing says that the host sent it.
	Outgoing bool
}

// A Capture collects the frames of one device until it is stopped.
type Capture struct {
	file   *os.File
	done   sync.WaitGroup
	mu     sync.Mutex
	frames []Frame
}

// Capture starts collecting what device dev of host h receives and sends, at most
// 20,000 frames. It ends with Stop.
func (l *Lab) Capture(h *Host, dev string) (*Capture, error) {
	c := &Capture{}
	err := h.Do(func() (err error) {
		c.file, err = openCapture(dev)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("capture %q in %s: %w", dev, h.Name, err)
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	c.done.Go(func() {
		for c.next(raw) {
		}
	})
	return c, nil
}

func openCapture(dev string) (*os.File, error) {
	ifi, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, err
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}))
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), dev), nil
}

// next takes one frame; it reports false at the end.
func (c *Capture) next(raw syscall.RawConn) bool {
	buf, oob := make([]byte, captureBytes), make([]byte, 256)
	var n, oobn int
	var from unix.Sockaddr
	var err error
	rerr := raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, err = unix.Recvmsg(int(fd), buf, oob, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if rerr != nil {
		return false
	}
	if err != nil {
		return errors.Is(err, unix.ENETDOWN) // the device is down, and may come back
	}
	f := Frame{Bytes: buf[:n], VLAN: tag(oob[:oobn])}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	const typeAt, vlan = 12, 0x8100
	if f.VLAN == 0 && n >= typeAt+4 && binary.BigEndian.Uint16(buf[typeAt:]) == vlan {
		f.VLAN = binary.BigEndian.Uint16(buf[typeAt+2:]) & 0xfff
		f.Bytes = append(buf[:typeAt], buf[typeAt+4:n]...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) < captureFrames {
		c.frames = append(c.frames, f)
	}
	return true
}

// tag returns the VLAN id of a control message PACKET_AUXDATA, 0 for none.
func tag(oob []byte) uint16 {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= auxdataLen &&
			binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			return binary.NativeEndian.Uint16(m.Data[16:]) & 0xfff
		}
	}
	return 0
}

// Stop waits a moment for frames on their way, ends the capture and returns what
// it collected. A second call returns the same.
func (c *Capture) Stop() []Frame {
	time.Sleep(20 * time.Millisecond)
	c.file.Close()
	c.done.Wait()
	return c.frames
}
