package ipip

import (
	"encoding/binary"
	"errors"
)

const (
	headerLen    = 20
	protocol     = 4
	dontFragment = 0x40 // in the byte that starts flags and offset
)

// ECN codepoints (RFC 3168 section 5).
const (
	notECT = 0
	ect1   = 1
	ect0   = 2
	ce     = 3
)

var (
	errNotIPv4   = errors.New("not a whole IPv4 packet")
	errProtocol  = errors.New("not IP in IP")
	errCongested = errors.New("congestion mark on an inner packet that cannot carry it")
)

// Encap returns, in buf's storage, an outer header from src to dst and inner
// behind it. The identification is 0 and the header checksum is right; a raw
// socket replaces both. Buf must hold len(inner)+20 bytes.
func Encap(buf, inner []byte, src, dst [4]byte) ([]byte, error) {
	inner, err := whole(inner)
	if err != nil {
		return nil, err
	}
	out := buf[:headerLen+len(inner)]
	copy(out[headerLen:], inner)
	h := out[:headerLen]
	clear(h)
	h[0] = 0x45
	h[1] = inner[1] & 3 // RFC 6040 section 4.1, normal mode
	binary.BigEndian.PutUint16(h[2:], uint16(len(out)))
	h[6] = inner[6] & dontFragment
	h[8] = inner[8]
	h[9] = protocol
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	binary.BigEndian.PutUint16(h[10:], sum(h))
	return out, nil
}

// Decap returns the inner packet of outer, in place, with its ECN field set as
// RFC 6040 section 4.2 wants, and the outer source.
func Decap(outer []byte) (inner []byte, src [4]byte, err error) {
	outer, err = whole(outer)
	if err != nil {
		return nil, src, err
	}
	if outer[9] != protocol {
		return nil, src, errProtocol
	}
	copy(src[:], outer[12:])
	inner, err = whole(outer[int(outer[0]&15)*4:])
	if err != nil {
		return nil, src, err
	}
	ecn, ok := decapECN(inner[1]&3, outer[1]&3)
	if !ok {
		return nil, src, errCongested
	}
	if ecn != inner[1]&3 {
		inner[1] = inner[1]&^3 | ecn
		inner[10], inner[11] = 0, 0
		binary.BigEndian.PutUint16(inner[10:], sum(inner[:int(inner[0]&15)*4]))
	}
	return inner, src, nil
}

// decapECN is the table of RFC 6040 section 4.2, figure 4. False means drop.
func decapECN(inner, outer byte) (ecn byte, ok bool) {
	switch {
	case inner == notECT:
		return notECT, outer != ce
	case outer == ce:
		return ce, true
	case inner == ect0 && outer == ect1:
		return ect1, true
	}
	return inner, true
}

// whole returns the IPv4 packet at the start of b, cut to its total length.
func whole(b []byte) ([]byte, error) {
	if len(b) < headerLen || b[0]>>4 != 4 {
		return nil, errNotIPv4
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < headerLen || total < header || total > len(b) {
		return nil, errNotIPv4
	}
	return b[:total], nil
}

// sum is the Internet checksum of a header whose checksum field is 0 (RFC 1071).
func sum(h []byte) uint16 {
	var s uint32
	for i := 0; i < len(h); i += 2 {
		s += uint32(h[i])<<8 | uint32(h[i+1])
	}
	s = s>>16 + s&0xffff
	return ^uint16(s>>16 + s)
}
