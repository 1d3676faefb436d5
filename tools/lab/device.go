package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MAC returns the Ethernet address of a device.
func (h *Host) MAC(device string) (mac net.HardwareAddr, err error) {
	err = h.Do(func() error {
		ifi, err := net.InterfaceByName(device)
		if err == nil {
			mac = ifi.HardwareAddr
		}
		return err
	})
	return mac, err
}

// DeviceStats are a device's counts of packets as the kernel has them.
type DeviceStats struct {
	RxPackets, RxDropped, TxPackets uint64
}

// Stats reads the counts of a device.
func (h *Host) Stats(device string) (s DeviceStats, err error) {
	err = h.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			name, counts, _ := strings.Cut(lines.Text(), ":")
			if strings.TrimSpace(name) == device {
				return s.parse(strings.Fields(counts))
			}
		}
		return fmt.Errorf("device %q of %s has no counts", device, h.Name)
	})
	return s, err
}

// parse reads the columns of /proc/net/dev.
func (s *DeviceStats) parse(columns []string) error {
	for i, at := range map[int]*uint64{1: &s.RxPackets, 3: &s.RxDropped, 9: &s.TxPackets} {
		if i >= len(columns) {
			return fmt.Errorf("got %d columns in /proc/net/dev; want 10", len(columns))
		}
		n, err := strconv.ParseUint(columns[i], 10, 64)
		if err != nil {
			return err
		}
		*at = n
	}
	return nil
}

// ThreadedNAPI makes a veth's receiving side a kernel thread of its own, as a NIC's
// interrupt is, by GRO and threaded NAPI. Needs ethtool(8).
func (h *Host) ThreadedNAPI(ctx context.Context, device string) error {
	if _, err := h.Exec(ctx, "ethtool", "-K", device, "gro", "on"); err != nil {
		return err
	}
	_, err := h.Exec(ctx, "sh", "-c", "echo 1 > /sys/class/net/"+device+"/threaded")
	return err
}

// Retransmitted is how many TCP segments the host has sent again since it was made.
func (h *Host) Retransmitted() (n uint64, err error) {
	err = h.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		n, err = snmp(string(text), "Tcp:", "RetransSegs")
		return err
	})
	return n, err
}

// snmp finds a count in /proc/net/snmp: a line of names, then one of numbers.
func snmp(text, group, name string) (uint64, error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != group {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, name); i >= 0 && i < len(fields) {
			return strconv.ParseUint(fields[i], 10, 64)
		}
	}
	return 0, fmt.Errorf("no count %s %s", group, name)
}

// SendFrame sends a frame as it is by a device.
func (h *Host) SendFrame(device string, frame []byte) error {
	return h.Do(func() error {
		dev, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: dev.Index})
	})
}
