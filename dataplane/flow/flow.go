// Package flow identifies flows: the key, its hash and the choice of a worker.
//
// Addresses of IPv4 are uint32 in host byte order, 192.0.2.1 being 0xc0000201.
package flow

import "math/bits"

// IP protocol numbers that the path knows.
const (
	ICMP = 1
	IPIP = 4
	TCP  = 6
	UDP  = 17
	IPv6 = 41
	GRE  = 47
	ESP  = 50
	AH   = 51
	SCTP = 132
	// ICMPOther stands in keys, and nowhere else, for ICMP that is neither a query nor
	// an error, and has no identifier to translate. IANA has reserved the number.
	ICMPOther = 255
)

// A Key is what packets of one direction of an IPv4 flow have in common. It has
// no pointers and no padding, and compares with ==. The zero Key is no flow.
//
//	addrs  63     source     32 31   destination   0
//	rest   63 sport 48 47 dport 32 31 realm 16 15 0 8 7 protocol 0
//
// Of ICMP queries both ports are the identifier; of protocols without ports both
// are 0. The realm keeps flows of separate networks apart: see Realm in dataplane.
type Key struct {
	addrs, rest uint64
}

// Make returns the key of a packet from src:sport to dst:dport.
func Make(src, dst uint32, sport, dport uint16, proto uint8, realm uint16) Key {
	return Key{
		addrs: uint64(src)<<32 | uint64(dst),
		rest:  uint64(sport)<<48 | uint64(dport)<<32 | uint64(realm)<<16 | uint64(proto),
	}
}

// Wire is Make of addresses and ports as they stand in headers, read as big-endian words.
func Wire(addrs uint64, ports uint32, proto uint8, realm uint16) Key {
	return Key{addrs: addrs, rest: uint64(ports)<<32 | uint64(realm)<<16 | uint64(proto)}
}

func (k Key) Src() uint32     { return uint32(k.addrs >> 32) }
func (k Key) Dst() uint32     { return uint32(k.addrs) }
func (k Key) SrcPort() uint16 { return uint16(k.rest >> 48) }
func (k Key) DstPort() uint16 { return uint16(k.rest >> 32) }
func (k Key) Realm() uint16   { return uint16(k.rest >> 16) }
func (k Key) Proto() uint8    { return uint8(k.rest) }
func (k Key) IsZero() bool    { return k == Key{} }

// Reverse returns the key of the opposite direction, seen in realm.
func (k Key) Reverse(realm uint16) Key {
	return Key{
		addrs: bits.RotateLeft64(k.addrs, 32),
		rest: k.rest<<16>>48<<48 | k.rest>>48<<32 | uint64(realm)<<16 |
			k.rest&0xff,
	}
}

// A Hasher hashes keys with a secret, so that nobody outside can choose keys that
// collide. Safe for concurrent use.
type Hasher struct {
	a, b, c uint64
}

// NewHasher returns a hasher for the secret.
func NewHasher(secret [3]uint64) Hasher {
	return Hasher{secret[0] | 1, secret[1] | 1, secret[2] | 1}
}

// Hash returns 64 well-mixed bits of k: two folded 64x64-bit multiplications
// (the construction of wyhash).
func (h Hasher) Hash(k Key) uint64 {
	hi, lo := bits.Mul64(k.addrs^h.a, k.rest^h.b)
	hi, lo = bits.Mul64(hi^lo, h.c)
	return hi ^ lo
}

// Steer returns 16 bits that are equal for both directions of a flow that is not
// translated. A worker's number is Steer modulo the number of workers; kernel and
// driver can compute the same from a frame, which is why it is so plain:
//
//	x = (src ^ dst) ^ (sport ^ dport) * 0x9e3779b1   (32 bits)
//	steer = x * 0x85ebca6b >> 16
//
// The ports count for TCP and UDP that are not in fragments; fragments and other
// protocols are steered by the addresses alone. Of an IP-in-IP packet the inner
// packet counts, one layer deep; of ICMP errors the quoted packet does not.
func Steer(src, dst uint32, sport, dport uint16) uint16 {
	x := (src ^ dst) ^ uint32(sport^dport)*0x9e3779b1
	return uint16(x * 0x85ebca6b >> 16)
}

// Steer returns the key's own Steer.
func (k Key) Steer() uint16 {
	if p := k.Proto(); p == TCP || p == UDP {
		return Steer(k.Src(), k.Dst(), k.SrcPort(), k.DstPort())
	}
	return Steer(k.Src(), k.Dst(), 0, 0)
}

// A Key6 is the Key of IPv6 flows: what dual stack will use. It has no padding.
type Key6 struct {
	Src, Dst         [2]uint64
	SrcPort, DstPort uint16
	Realm            uint16
	Proto            uint8
	_                uint8
}

// Hash6 is Hash for Key6.
func (h Hasher) Hash6(k Key6) uint64 {
	ports := uint64(k.SrcPort)<<48 | uint64(k.DstPort)<<32 | uint64(k.Realm)<<16 | uint64(k.Proto)
	hi, lo := bits.Mul64(k.Src[0]^h.a, k.Src[1]^h.b)
	hi, lo = bits.Mul64(hi^k.Dst[0]^h.b, lo^k.Dst[1]^h.a)
	hi, lo = bits.Mul64(hi^lo^ports, h.c)
	return hi ^ lo
}
