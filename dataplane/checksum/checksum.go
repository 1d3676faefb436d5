// Package checksum computes and updates the Internet checksum (RFC 1071, RFC 1624).
//
// A sum is a ones' complement sum folded to 16 bits; a checksum is its complement.
package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Fold reduces a sum of 16-bit words to 16 bits, end-around carries included.
func Fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// fold32 is Fold for sums of a few words.
func fold32(s uint32) uint16 {
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s)
}

// Sum adds the bytes of b, an odd last byte padded with zero, to sum, which is
// folded or a small sum of 16-bit words.
func Sum(b []byte, sum uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var tail [8]byte
	copy(tail[:], b)
	sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(tail[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	return uint64(Fold(sum)) + carry
}

// Of returns the checksum of b, as it stands in a header.
func Of(b []byte) uint16 { return ^Fold(Sum(b, 0)) }

// Pseudo returns the sum of the IPv4 pseudo-header (RFC 9293 section 3.1).
func Pseudo(src, dst uint32, proto uint8, length int) uint64 {
	return uint64(src>>16) + uint64(src&0xffff) + uint64(dst>>16) + uint64(dst&0xffff) +
		uint64(proto) + uint64(length)
}

// Delta16 returns what Apply needs when a 16-bit word changes from old to new.
func Delta16(old, new uint16) uint16 { return fold32(uint32(^old) + uint32(new)) }

// Delta32 is Delta16 for two words, an address say.
func Delta32(old, new uint32) uint16 {
	return Fold(uint64(uint16(^old)) + uint64(uint16(^old>>16)) +
		uint64(uint16(new)) + uint64(uint16(new>>16)))
}

// Add joins two deltas.
func Add(a, b uint16) uint16 { return fold32(uint32(a) + uint32(b)) }

// Apply returns checksum c after a change of delta: RFC 1624, equation 3. A
// checksum that was wrong stays wrong by the same amount.
func Apply(c, delta uint16) uint16 { return ^fold32(uint32(^c) + uint32(delta)) }

// Header reports whether the checksum of an IPv4 header without options is right. The
// sum does not care for the order of bytes, so the words are added as they lie.
func Header(h []byte) bool {
	h = h[:20]
	s, carry := bits.Add64(binary.LittleEndian.Uint64(h), binary.LittleEndian.Uint64(h[8:]), 0)
	s, carry = bits.Add64(s, uint64(binary.LittleEndian.Uint32(h[16:])), carry)
	s = s>>32 + s&0xffffffff + carry
	return fold32(uint32(s>>32+s&0xffffffff)) == 0xffff
}
