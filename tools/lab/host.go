package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// A Host is one network namespace. Safe for concurrent use.
type Host struct {
	// Name is the host's in the drawing.
	Name string
	// Namespace is what ip(8) calls it.
	Namespace string
}

// Do runs f on a thread of its own inside the host's namespace. What f opens
// stays there, whichever thread uses it later.
func (h *Host) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := enter(h.Namespace)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func enter(namespace string) error {
	fd, err := unix.Open(filepath.Join(netnsDir, namespace), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %q: %w", namespace, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %q: %w", namespace, err)
	}
	return nil
}

// Command returns a command that will run inside the host.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.Namespace, name}, args...)...)
}

// Exec runs a command inside the host and returns what it printed. A failure
// quotes it.
func (h *Host) Exec(ctx context.Context, name string, args ...string) (string, error) {
	return output(h.Command(ctx, name, args...), name+" "+strings.Join(args, " ")+" in "+h.Name)
}

// IP runs the lines of script, without their leading "ip", inside the host.
func (h *Host) IP(ctx context.Context, script string) error {
	cmd := exec.CommandContext(ctx, "ip", "-n", h.Namespace, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(script, "\t", "") + "\n")
	_, err := output(cmd, "ip in "+h.Name)
	return err
}

func output(cmd *exec.Cmd, what string) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %s: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Sysctl sets a kernel parameter under net/ of the host, "ipv4/ip_forward" say.
func (h *Host) Sysctl(name, value string) error {
	return h.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
	})
}

// DialTCP connects from the host, and from address source if that is valid.
func (h *Host) DialTCP(ctx context.Context, source netip.Addr, to netip.AddrPort) (*net.TCPConn, error) {
	var conn *net.TCPConn
	err := h.Do(func() (err error) {
		d := net.Dialer{}
		if source.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
			d.Control = bindWithoutPort
		}
		c, err := d.DialContext(ctx, "tcp4", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	return conn, err
}

// bindWithoutPort leaves the choice of the port to connect, which knows the
// destination and so can use a port once for each.
func bindWithoutPort(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(cerr, err)
}

// ListenTCP listens inside the host.
func (h *Host) ListenTCP(at netip.AddrPort) (*net.TCPListener, error) {
	var l *net.TCPListener
	err := h.Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		return err
	})
	return l, err
}

// ListenUDP opens a UDP socket inside the host.
func (h *Host) ListenUDP(at netip.AddrPort) (*net.UDPConn, error) {
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	return c, err
}
