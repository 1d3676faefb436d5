// Package netdev asks and tells the kernel about network devices by ioctl, as far
// as port drivers need it: no netlink socket, no state. Names are looked up in the
// network namespace that the descriptor's socket was made in.
package netdev

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Control opens a socket for the other functions, in the network namespace of
// the calling thread. The caller closes it.
func Control() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open control socket: %w", err)
	}
	return fd, nil
}

// Index returns the interface index of the device; unix.ENODEV if there is none.
func Index(fd int, name string) (int, error) {
	r, err := request(fd, name, unix.SIOCGIFINDEX)
	if err != nil {
		return 0, err
	}
	return int(r.Uint32()), nil
}

// MTU returns the device's MTU in bytes of layer 3.
func MTU(fd int, name string) (int, error) {
	r, err := request(fd, name, unix.SIOCGIFMTU)
	if err != nil {
		return 0, err
	}
	return int(r.Uint32()), nil
}

// SetMTU sets the device's MTU in bytes of layer 3.
func SetMTU(fd int, name string, mtu int) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, r); err != nil {
		return fmt.Errorf("set mtu %d: %w", mtu, err)
	}
	return nil
}

// Up says whether the device is up and has carrier.
func Up(fd int, name string) bool {
	r, err := request(fd, name, unix.SIOCGIFFLAGS)
	const both = unix.IFF_UP | unix.IFF_RUNNING
	return err == nil && r.Uint16()&both == both
}

// SetUp takes the device up.
func SetUp(fd int, name string) error {
	r, err := request(fd, name, unix.SIOCGIFFLAGS)
	if err != nil {
		return err
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return nil
}

// MAC returns the device's Ethernet address.
func MAC(fd int, name string) (mac [6]byte, err error) {
	r, err := request(fd, name, unix.SIOCGIFHWADDR)
	if err != nil {
		return mac, err
	}
	return hardwareAddress(r), nil
}

// HardwareType returns the device's ARPHRD number: 1 for Ethernet, 0xfffe for
// none.
func HardwareType(fd int, name string) (uint16, error) {
	r, err := request(fd, name, unix.SIOCGIFHWADDR)
	if err != nil {
		return 0, err
	}
	return r.Uint16(), nil
}

func request(fd int, name string, op uint) (*unix.Ifreq, error) {
	r, err := unix.NewIfreq(name)
	if errors.Is(err, unix.EINVAL) { // too long to exist
		return nil, unix.ENODEV
	}
	if err != nil {
		return nil, err
	}
	return r, unix.IoctlIfreq(fd, op, r)
}
