// Package virtio reads and writes virtio_net_hdr, the 10 bytes in which Linux
// tells about checksums and segmentation in front of a frame. The numbers are in
// the machine's byte order:
//
//	0 flags | 1 GSO type | 2 header length | 4 GSO size
//	6 checksum start | 8 checksum offset
package virtio

import (
	"encoding/binary"

	"openvra/dataplane/gso"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// HeaderLen in bytes.
const HeaderLen = 10

// Decode sets p.Offload from h, at least HeaderLen bytes, where p is the frame
// that came with it. It reports false if h does not fit the frame; forwarding
// that would write outside of it.
//
// A half-made checksum of SCTP is finished at once: it is not an Internet
// checksum, which virtio_net_hdr has no word for, so a device could not.
func Decode(p *packet.Packet, h []byte) bool {
	ne := binary.NativeEndian
	p.Offload = packet.Offload{
		Flags:   h[0] & (packet.NeedsChecksum | packet.ChecksumValid),
		GSOType: h[1],
	}
	o := &p.Offload
	if o.GSOType != packet.GSONone {
		o.HdrLen, o.GSOSize = ne.Uint16(h[2:]), ne.Uint16(h[4:])
		if o.GSOSize == 0 {
			return false
		}
	}
	if o.Flags&packet.NeedsChecksum == 0 {
		return true
	}
	at := ne.Uint16(h[6:])
	o.CsumStart, o.CsumOffset = p.Start+uint32(at), ne.Uint16(h[8:])
	if int(at)+int(o.CsumOffset)+2 > p.Len() {
		return false
	}
	if o.CsumOffset == gso.SCTPSum && o.GSOType == packet.GSONone {
		return gso.Complete(p)
	}
	return true
}

// Encode writes into h, at least HeaderLen bytes, what is to be done to p. It
// reports false if p.Offload does not fit the frame.
func Encode(h []byte, p *packet.Packet) bool {
	o := &p.Offload
	clear(h[:HeaderLen])
	if o.Flags&packet.NeedsChecksum == 0 {
		return o.GSOType == packet.GSONone
	}
	at := int(o.CsumStart) - int(p.Start)
	if at < 0 || at > 0xffff || at+int(o.CsumOffset)+2 > p.Len() {
		return false
	}
	ne := binary.NativeEndian
	h[0] = packet.NeedsChecksum
	ne.PutUint16(h[6:], uint16(at))
	ne.PutUint16(h[8:], o.CsumOffset)
	if o.GSOType == packet.GSONone {
		return true
	}
	hdr := at + header.UDPLen
	if o.GSOType != packet.GSOUDPL4 && o.GSOType != packet.GSOUDP {
		if at+header.TCPLen > p.Len() {
			return false
		}
		hdr = at + header.TCP(p.Bytes()[at:]).HeaderLen()
	}
	if hdr > p.Len() || o.GSOSize == 0 {
		return false
	}
	h[1] = o.GSOType
	ne.PutUint16(h[2:], uint16(hdr)) // HdrLen may be stale: headers came and went
	ne.PutUint16(h[4:], o.GSOSize)
	return true
}
