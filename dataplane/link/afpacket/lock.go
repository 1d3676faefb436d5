package afpacket

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// lock takes the name of the device in this network namespace for this process,
// as an abstract unix socket: it goes when the process does and leaves no file.
// The caller closes the descriptor.
func lock(device string) (int, error) {
	var ns unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &ns); err != nil {
		return -1, fmt.Errorf("look at network namespace: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open lock: %w", err)
	}
	name := fmt.Sprintf("@vra-port-%d-%s", ns.Ino, device)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return -1, errors.New("in use by another vra")
		}
		return -1, fmt.Errorf("lock: %w", err)
	}
	return fd, nil
}
