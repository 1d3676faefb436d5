package afpacket

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openvra/dataplane/link/linktest"
)

// holdDevice names the device that the test binary, run as a process of its own,
// opens and holds until it is killed.
const holdDevice = "VRA_TEST_HOLD_DEVICE"

func TestMain(m *testing.M) {
	device := os.Getenv(holdDevice)
	if device == "" {
		os.Exit(m.Run())
	}
	p, err := Open(Options{Device: device, Guarded: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // the parent's death ends it too
	runtime.KeepAlive(p)
}

// A gateway that dies, however it does, gives the device back to the kernel: its
// operator's SSH among it.
func TestKilledProcessLeavesNothing(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	linktest.IP(t, "addr add 192.0.2.1/24 dev vra-a")
	linktest.IP(t, "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev vra-a")
	info, err := inspect("vra-a")
	if err != nil {
		t.Fatal(err)
	}
	w := linktest.NewWire(t, "vra-b")
	answers := func() int {
		w.Send(arpFor(netip.MustParseAddr("192.0.2.1")))
		return len(w.Receive(1))
	}

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdDevice+"="+info.Device)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q", line)
	}
	if n := answers(); n != 0 {
		t.Errorf("guarded: the kernel answered %d times; want 0", n)
	}
	_, err = Open(Options{Device: "vra-a"})
	if want := `open port device "vra-a": in use by another vra`; err == nil || err.Error() != want {
		t.Errorf("second process: got %v; want %s", err, want)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	n := 0
	for deadline := time.Now().Add(5 * time.Second); n == 0 && time.Now().Before(deadline); {
		n = answers() // the kernel takes programs off a moment after the process
	}
	if n != 1 {
		t.Errorf("after the process was killed the kernel answered %d times; want 1", n)
	}
	p, err := Open(Options{Device: "vra-a", Guarded: true})
	if err != nil {
		t.Fatalf("open after the process was killed: %v", err)
	}
	p.Close()
}

func TestDescriptorsAreNotInherited(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	before := inherited(t)
	p, err := Open(Options{Device: "vra-a", Queues: 2, Guarded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for fd, what := range inherited(t) {
		if _, ok := before[fd]; !ok {
			t.Errorf("descriptor %d, %s, goes to children", fd, what)
		}
	}
}

// inherited returns the process's descriptors that children get, and what they are.
func inherited(t *testing.T) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fds := map[int]string{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 { // an error: ReadDir's own, closed
			fds[fd], _ = os.Readlink("/proc/self/fd/" + e.Name())
		}
	}
	return fds
}
