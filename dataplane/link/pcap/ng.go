package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Block types of pcapng (draft-ietf-opsawg-pcapng, section 4).
const (
	sectionBlock   = 0x0a0d0d0a
	interfaceBlock = 1
	oldPacketBlock = 2
	simpleBlock    = 3
	enhancedBlock  = 6
)

const (
	byteOrderMagic = 0x1a2b3c4d
	maxInterfaces  = 4096
	// maxHead bounds the blocks that are kept in memory while they are read:
	// sections and interfaces with their options.
	maxHead = 64 << 10
)

// ng reads pcapng. A block is
//
//	0 type | 4 total length | 8 body | length - 4 total length again
type ng struct {
	r          *bufio.Reader
	order      binary.ByteOrder
	interfaces []ngInterface
	last       int64 // time of the last record, for those that have none
	data       []byte
	head       [20]byte
}

type ngInterface struct {
	link    LinkType
	snaplen uint32
	binary  bool  // units of a second are 2^-exp, otherwise 10^-exp
	exp     uint  // of the resolution
	offset  int64 // seconds to add
}

func newNG(b *bufio.Reader) (format, error) {
	n := &ng{r: b, order: binary.LittleEndian}
	typ, length, err := n.blockHead()
	if err == nil {
		err = n.block(typ, length, nil)
	}
	return n, err
}

func (n *ng) next(r *Record) error {
	for {
		typ, length, err := n.blockHead()
		if err != nil {
			return err // io.EOF between blocks is the end
		}
		switch typ {
		case enhancedBlock, oldPacketBlock, simpleBlock:
			return whole(n.block(typ, length, r))
		}
		if err := n.block(typ, length, nil); err != nil {
			return whole(err)
		}
	}
}

// blockHead reads type and body length of a block. A section's byte order is
// looked at first, since it holds for its own length.
func (n *ng) blockHead() (typ, body uint32, err error) {
	h, err := n.take(8)
	if err != nil {
		return 0, 0, err
	}
	if binary.LittleEndian.Uint32(h) == sectionBlock {
		magic, err := n.r.Peek(4)
		switch {
		case err != nil:
			return 0, 0, io.ErrUnexpectedEOF
		case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
			n.order = binary.LittleEndian
		case binary.BigEndian.Uint32(magic) == byteOrderMagic:
			n.order = binary.BigEndian
		default:
			return 0, 0, fmt.Errorf("section header: got byte order %x", magic)
		}
	}
	typ, length := n.order.Uint32(h), n.order.Uint32(h[4:])
	if length < 12 || length%4 != 0 {
		return 0, 0, fmt.Errorf("block of type %#x: got length %d; want a multiple of 4 from 12", typ, length)
	}
	return typ, length - 12, nil
}

// block reads the rest of a block, a packet's into r.
func (n *ng) block(typ, body uint32, r *Record) error {
	var err error
	rest := body
	switch typ {
	case sectionBlock, interfaceBlock:
		if body > maxHead {
			return fmt.Errorf("block of type %#x: got %d bytes; want at most %d", typ, body, maxHead)
		}
		b := make([]byte, body)
		if _, err = io.ReadFull(n.r, b); err != nil {
			return err
		}
		rest = 0
		if typ == sectionBlock {
			err = n.section(b)
		} else {
			err = n.addInterface(b)
		}
	case enhancedBlock, oldPacketBlock:
		rest, err = n.packet(typ, body, r)
	case simpleBlock:
		rest, err = n.simple(body, r)
	}
	if err != nil {
		return err
	}
	if err := n.skip(rest); err != nil {
		return err
	}
	trailer, err := n.take(4)
	if err != nil {
		return err
	}
	if again := n.order.Uint32(trailer); again != body+12 {
		return fmt.Errorf("block of type %#x: got lengths %d and %d; want them equal", typ, body+12, again)
	}
	return nil
}

// take reads the next k bytes, 20 at most. Borrowed until the next take.
func (n *ng) take(k int) ([]byte, error) {
	_, err := io.ReadFull(n.r, n.head[:k])
	return n.head[:k], err
}

// skip passes over k bytes.
func (n *ng) skip(k uint32) error {
	const step = 1 << 30 // fits an int anywhere
	for ; k > step; k -= step {
		if _, err := n.r.Discard(step); err != nil {
			return err
		}
	}
	_, err := n.r.Discard(int(k))
	return err
}

// section starts a section: its interfaces are its own.
//
//	0 byte order | 4 major | 6 minor | 8 section length | 16 options
func (n *ng) section(b []byte) error {
	if len(b) < 16 {
		return errors.New("section header is too short")
	}
	major, minor := n.order.Uint16(b[4:]), n.order.Uint16(b[6:])
	if major != 1 || minor != 0 && minor != 2 {
		return fmt.Errorf("section header: got version %d.%d; want 1.0", major, minor)
	}
	n.interfaces = n.interfaces[:0]
	return nil
}

// addInterface: 0 link type | 2 reserved | 4 snaplen | 8 options
func (n *ng) addInterface(b []byte) error {
	if len(b) < 8 {
		return errors.New("interface description is too short")
	}
	if len(n.interfaces) == maxInterfaces {
		return fmt.Errorf("want at most %d interfaces", maxInterfaces)
	}
	i := ngInterface{link: LinkType(n.order.Uint16(b)), snaplen: n.order.Uint32(b[4:]), exp: 6}
	for b = b[8:]; len(b) >= 4; {
		code, length := n.order.Uint16(b), int(n.order.Uint16(b[2:]))
		if code == 0 {
			break
		}
		padded := 4 + (length+3)&^3
		if padded > len(b) {
			return errors.New("interface description: an option is cut off")
		}
		v := b[4 : 4+length]
		b = b[padded:]
		switch {
		case code == 9 && length == 1: // if_tsresol
			i.binary, i.exp = v[0]&0x80 != 0, uint(v[0]&0x7f)
		case code == 14 && length == 8: // if_tsoffset
			i.offset = int64(n.order.Uint64(v))
		}
	}
	if i.binary && i.exp > 63 || !i.binary && i.exp > 19 {
		return fmt.Errorf("interface description: got time resolution 2^-%d or 10^-%d; want at most 63 or 19", i.exp, i.exp)
	}
	n.interfaces = append(n.interfaces, i)
	return nil
}

// packet reads an enhanced packet, or the packet that came before those. It
// returns how much of the body is left.
//
//	0 interface | 4 time, upper half | 8 time, lower half | 12 captured length
//	16 length | 20 data
func (n *ng) packet(typ, body uint32, r *Record) (rest uint32, err error) {
	if body < 20 {
		return 0, errors.New("packet block is too short")
	}
	h, err := n.take(20)
	if err != nil {
		return 0, err
	}
	number := n.order.Uint32(h)
	if typ == oldPacketBlock {
		number = uint32(n.order.Uint16(h)) // a count of drops follows
	}
	if int64(number) >= int64(len(n.interfaces)) {
		return 0, fmt.Errorf("interface %d is not described; the section has %d", number, len(n.interfaces))
	}
	i := &n.interfaces[number]
	ticks := uint64(n.order.Uint32(h[4:]))<<32 | uint64(n.order.Uint32(h[8:]))
	if r.Time, err = i.time(ticks); err != nil {
		return 0, err
	}
	n.last = r.Time
	r.Interface, r.Link = int(number), i.link
	r.Len = int(n.order.Uint32(h[16:]))
	return n.read(r, n.order.Uint32(h[12:]), body-20)
}

// simple reads a simple packet: 0 length | 4 data
func (n *ng) simple(body uint32, r *Record) (rest uint32, err error) {
	if body < 4 || len(n.interfaces) == 0 {
		return 0, errors.New("simple packet block without length or interface")
	}
	h, err := n.take(4)
	if err != nil {
		return 0, err
	}
	length := n.order.Uint32(h)
	captured := length
	if s := n.interfaces[0].snaplen; s != 0 {
		captured = min(length, s)
	}
	r.Interface, r.Link, r.Time, r.Len = 0, n.interfaces[0].link, n.last, int(length)
	return n.read(r, captured, body-4)
}

// read reads the captured bytes, which the file says are so many, of a body that
// has room bytes left.
func (n *ng) read(r *Record, captured, room uint32) (rest uint32, err error) {
	switch {
	case !r.Link.known():
		return 0, fmt.Errorf("link type %d: want Ethernet, Linux cooked or raw IP", r.Link)
	case captured > room:
		return 0, fmt.Errorf("got %d captured bytes in a block with room for %d", captured, room)
	case captured > MaxCapture:
		return 0, fmt.Errorf("got %d captured bytes; want at most %d", captured, MaxCapture)
	case int64(captured) > int64(r.Len):
		return 0, fmt.Errorf("got %d captured bytes of a frame of %d", captured, r.Len)
	}
	if uint32(cap(n.data)) < captured {
		n.data = make([]byte, captured, max(captured, 2048))
	}
	r.Data = n.data[:captured]
	_, err = io.ReadFull(n.r, r.Data)
	return room - captured, err
}

// time returns ticks as nanoseconds since 1970.
func (i *ngInterface) time(ticks uint64) (int64, error) {
	var hi, lo uint64 // ticks * 10^9, then divided by the ticks in a second
	hi, lo = bits.Mul64(ticks, 1e9)
	second := uint64(1) << i.exp
	if !i.binary {
		second = 1
		for range i.exp {
			second *= 10
		}
	}
	if hi >= second {
		return 0, fmt.Errorf("time %d is out of range", ticks)
	}
	ns, _ := bits.Div64(hi, lo, second)
	if ns > math.MaxInt64 || i.offset > math.MaxInt64/int64(1e9) || i.offset < math.MinInt64/int64(1e9) {
		return 0, fmt.Errorf("time %d is out of range", ticks)
	}
	at := int64(ns) + i.offset*1e9
	if i.offset > 0 && at < 0 || at < 0 && i.offset == 0 {
		return 0, fmt.Errorf("time %d with offset %d s is out of range", ticks, i.offset)
	}
	return at, nil
}
