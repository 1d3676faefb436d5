package linktest

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"openvra/dataplane/link/netdev"
	"openvra/dataplane/packet"
)

// Namespace puts the calling test's goroutine, on a thread that ends with it, into
// a new network namespace without IPv6. It skips the test without root, or fails
// it where VRA_REQUIRE_ROOT=1 says that root must be there.
func Namespace(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("VRA_REQUIRE_ROOT") == "1" {
			t.Fatal("not root, and VRA_REQUIRE_ROOT=1")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	ns.Close()
	for _, dev := range []string{"all", "default"} {
		// The file is missing where the kernel has no IPv6.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+dev+"/disable_ipv6", []byte("1"), 0o644)
	}
}

// IP runs the ip command in the thread's namespace.
func IP(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// Veth makes a pair of devices in the thread's namespace, takes them up and waits
// until both carry frames.
func Veth(t testing.TB, a, b string) {
	t.Helper()
	IP(t, "link add "+a+" type veth peer name "+b)
	IP(t, "link set "+b+" up")
	IP(t, "link set "+a+" up")
	AwaitUp(t, a, b)
}

// AwaitUp waits until the devices, in the thread's namespace, carry frames: the
// kernel lets a device send only some time after its carrier is there.
func AwaitUp(t testing.TB, devices ...string) {
	t.Helper()
	fd, err := netdev.Control()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, d := range devices {
		for deadline := time.Now().Add(5 * time.Second); !netdev.Up(fd, d); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("device %s does not come up", d)
			}
		}
		// The flag is set a moment before the device may send, under a lock that
		// this waits for.
		if err := netdev.SetUp(fd, d); err != nil {
			t.Fatal(err)
		}
	}
}

// Wire is a plain packet socket on a device: one system call a frame, nothing
// shared with the drivers.
type Wire struct {
	t     testing.TB
	fd    int
	index int
	buf   []byte
}

// NewWire opens a wire on the device, in the thread's namespace.
func NewWire(t testing.TB, device string) *Wire {
	t.Helper()
	all := int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open wire: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	ifreq, err := unix.NewIfreq(device)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifreq)
	}
	if err != nil {
		t.Fatalf("find %s: %v", device, err)
	}
	w := &Wire{t: t, fd: fd, index: int(ifreq.Uint32()), buf: make([]byte, 128<<10)}
	for _, opt := range []int{unix.PACKET_VNET_HDR, unix.PACKET_AUXDATA, unix.PACKET_IGNORE_OUTGOING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, opt, 1); err != nil {
			t.Fatalf("set option %d: %v", opt, err)
		}
	}
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 16<<20); err != nil {
			t.Fatalf("set buffer: %v", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: w.index}); err != nil {
		t.Fatalf("bind wire: %v", err)
	}
	tv := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatalf("set timeout: %v", err)
	}
	return w
}

// Send puts frames on the wire.
func (w *Wire) Send(frames ...Frame) {
	w.t.Helper()
	for _, f := range frames {
		b := make([]byte, 10, 10+len(f.Bytes))
		b[0], b[1] = f.Offload.Flags, f.Offload.GSOType
		binary.NativeEndian.PutUint16(b[2:], f.Offload.HdrLen)
		binary.NativeEndian.PutUint16(b[4:], f.Offload.GSOSize)
		binary.NativeEndian.PutUint16(b[6:], uint16(f.Offload.CsumStart))
		binary.NativeEndian.PutUint16(b[8:], f.Offload.CsumOffset)
		to := &unix.SockaddrLinklayer{Ifindex: w.index}
		to.Protocol = binary.NativeEndian.Uint16([]byte{8, 0})
		if f.Bytes[0]>>4 != 4 { // an Ethernet frame: the first byte of its address
			to.Protocol = binary.NativeEndian.Uint16(f.Bytes[12:])
		}
		if err := unix.Sendto(w.fd, append(b, f.Bytes...), 0, to); err != nil {
			w.t.Fatalf("send %d bytes: %v", len(f.Bytes), err)
		}
	}
}

// Receive waits for n frames and returns those there are after a second of
// silence at most.
func (w *Wire) Receive(n int) []Frame {
	w.t.Helper()
	var fs []Frame
	deadline := time.Now().Add(5 * time.Second)
	for len(fs) < n && time.Now().Before(deadline) {
		control := make([]byte, 64)
		m, cn, flags, _, err := unix.Recvmsg(w.fd, w.buf, control, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			break
		}
		if m < 10 || flags&unix.MSG_TRUNC != 0 {
			w.t.Fatalf("received %d bytes, flags %x", m, flags)
		}
		fs = append(fs, w.frame(w.buf[:m], control[:cn]))
	}
	return fs
}

func (w *Wire) frame(b, control []byte) Frame {
	ne := binary.NativeEndian
	f := Frame{Bytes: append([]byte(nil), b[10:]...)}
	f.Offload = packet.Offload{Flags: b[0], GSOType: b[1], HdrLen: ne.Uint16(b[2:]), GSOSize: ne.Uint16(b[4:])}
	if b[0]&packet.NeedsChecksum != 0 {
		f.Offload.CsumStart, f.Offload.CsumOffset = uint32(ne.Uint16(b[6:])), ne.Uint16(b[8:])
	}
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		w.t.Fatalf("parse control message: %v", err)
	}
	for _, m := range msgs {
		if m.Header.Type == unix.PACKET_AUXDATA && ne.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0 {
			f = f.Tagged(uint32(ne.Uint16(m.Data[18:]))<<16 | uint32(ne.Uint16(m.Data[16:])))
		}
	}
	return f
}
