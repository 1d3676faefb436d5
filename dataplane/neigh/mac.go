package neigh

import (
	"encoding/binary"
	"fmt"
)

// A MAC is an Ethernet address, 48 bits, the first byte uppermost. Zero is none.
type MAC uint64

// Broadcast is the MAC of everybody.
const Broadcast MAC = 0xffffffffffff

// MACOf returns the address in the first six bytes of b.
func MACOf(b []byte) MAC {
	return MAC(binary.BigEndian.Uint32(b))<<16 | MAC(binary.BigEndian.Uint16(b[4:6]))
}

// Put writes the address to the first six bytes of b.
func (m MAC) Put(b []byte) {
	binary.BigEndian.PutUint32(b, uint32(m>>16))
	binary.BigEndian.PutUint16(b[4:6], uint16(m))
}

// IsHost reports whether the address can be that of one host: neither zero nor a
// group's.
func (m MAC) IsHost() bool { return m != 0 && m>>40&1 == 0 }

// String returns the address as 02:00:5e:10:00:01.
func (m MAC) String() string {
	var b [6]byte
	m.Put(b[:])
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}
