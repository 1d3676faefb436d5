package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
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
