// Package packet holds one frame and what the path has learnt about it, and the
// batch in which frames travel. It is a leaf: drivers fill it, steps read and
// write it, nobody else keeps it.
//
// Ownership. The bytes of a packet that a driver received are borrowed: they are
// valid, and may be written, from Rx until the next Rx on the same queue. Who
// needs a packet longer (neighbor wait, fragments, hand-over) takes a Clone.
package packet

// Sizes, in bytes.
const (
	// Headroom is the free space a driver keeps before a received frame. It is
	// the largest growth on the path: an outer IPv4 header (20), two VLAN tags
	// (8), an Ethernet header where the frame came without one (14), and a
	// virtio-net header that a TUN write puts in front (12), rounded up to 64.
	Headroom = 64
	// MaxFrame is the longest frame, a super-packet of 64 KiB with its headers.
	MaxFrame = 65536 + 64
	// BatchSize is the number of packets the path takes at a time.
	BatchSize = 64
)

// Offload flags; the values are those of Linux's virtio_net_hdr.
const (
	// NeedsChecksum says that the checksum at CsumStart+CsumOffset holds only
	// the pseudo-header sum: the sender left the rest to the device.
	NeedsChecksum = 1
	// ChecksumValid says that the device has verified the transport checksum.
	ChecksumValid = 2
)

// Kinds of super-packet; the values are those of Linux's virtio_net_hdr.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80 // may be or-ed to a TCP kind
)

// Offload is what a device told about a frame, or is told when it leaves. The
// zero value is an ordinary frame with finished checksums.
type Offload struct {
	Flags   uint8
	GSOType uint8
	// HdrLen is the length in bytes of all headers of a super-packet, a hint.
	HdrLen uint16
	// GSOSize is the payload in bytes of each segment. Zero unless GSOType is set.
	GSOSize uint16
	// CsumStart is where the transport header starts, as an index into Buf (not
	// into the frame), so that pushing or popping headers leaves it right.
	// Valid iff Flags has NeedsChecksum.
	CsumStart uint32
	// CsumOffset is where the checksum is, in bytes from CsumStart.
	CsumOffset uint16
}

// Packet is one frame. The frame is Buf[Start:End].
type Packet struct {
	// Buf is the whole storage, with headroom before Start and tailroom after
	// End. Borrowed; see the package comment.
	Buf        []byte
	Start, End uint32

	// L3 and L4 are indexes into Buf of the IPv4 and of the transport header.
	// Set by parse. L3End is the end of the IP packet by its total length:
	// what follows up to End is link padding.
	L3, L4, L3End uint32

	Offload Offload

	// VLANs are the tags of the frame, outermost first, as TPID<<16|TCI. Zero
	// is no tag. A driver fills in tags that the kernel took off the frame;
	// parse moves tags of the frame itself here; transmit writes them back.
	VLANs [2]uint32

	// Time is when the frame was received, in nanoseconds of the worker's
	// clock. Set by replay; live drivers leave it 0 and the batch's time counts.
	Time int64

	// Port is the logical port the packet came in by, Out the one it leaves by.
	// A driver sets Port to the physical port; parse maps it to a VLAN sub-port.
	Port, Out uint16

	// DriverPrivate is the driver's own mark of the frame's memory (a UMEM
	// address, say), kept by everybody. A driver that finds its own mark on a
	// frame to send may send it without a copy.
	DriverPrivate uint64
}

// Bytes returns the frame. Borrowed as Buf is.
func (p *Packet) Bytes() []byte { return p.Buf[p.Start:p.End] }

// Len returns the frame's length in bytes.
func (p *Packet) Len() int { return int(p.End - p.Start) }

// Set makes frame, copied into buf after the headroom, the packet's content and
// resets everything else. It reports false, and changes nothing, if buf is too
// short.
func (p *Packet) Set(buf, frame []byte) bool {
	if len(buf) < Headroom+len(frame) {
		return false
	}
	n := copy(buf[Headroom:], frame)
	*p = Packet{Buf: buf, Start: Headroom, End: Headroom + uint32(n)}
	return true
}

// Clone returns a copy of the packet in storage of its own, with the same
// headroom and at least 64 bytes of tailroom. It allocates: slow path only.
func (p *Packet) Clone() *Packet {
	c := *p
	c.Buf = make([]byte, int(p.End)+64)
	copy(c.Buf[p.Start:], p.Bytes())
	c.DriverPrivate = 0
	return &c
}

// Batch is what one Rx returned.
type Batch struct {
	P [BatchSize]Packet
	// N is the number of packets, P[:N]. 0 to BatchSize.
	N int
}
