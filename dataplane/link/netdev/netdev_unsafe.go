package netdev

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hardwareAddress returns the address that SIOCGIFHWADDR left in r: behind the
// name and the type.
func hardwareAddress(r *unix.Ifreq) (mac [6]byte) {
	raw := (*[unsafe.Sizeof(*r)]byte)(unsafe.Pointer(r))
	copy(mac[:], raw[unix.IFNAMSIZ+2:])
	return mac
}
