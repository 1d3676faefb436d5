package virtio

import (
	"testing"

	"openvra/dataplane/gso"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

func TestRoundTrip(t *testing.T) {
	super := linktest.SuperTCP(3000, 1400, false)
	super.Offload.GSOType |= packet.GSOECN
	for name, f := range map[string]linktest.Frame{
		"finished": linktest.UDP(1, 20, false), "half-made": linktest.HalfUDP(1, 20, false),
		"super": super, "super in a VLAN": super.Tagged(0x8100_0001),
	} {
		p := f.Packet()
		want := p.Offload
		if want.GSOType != 0 {
			want.HdrLen = uint16(p.Len() - 3000)
			p.Offload.HdrLen = 9 // stale
		}
		var h [HeaderLen]byte
		if !Encode(h[:], p) {
			t.Fatalf("%s: Encode refuses", name)
		}
		p.Offload = packet.Offload{}
		if !Decode(p, h[:]) || p.Offload != want {
			t.Errorf("%s: got %+v; want %+v", name, p.Offload, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(p *packet.Packet){
		"checksum before the frame":        func(p *packet.Packet) { p.Offload.CsumStart = p.Start - 1 },
		"checksum behind the frame":        func(p *packet.Packet) { p.Offload.CsumStart = p.End - 17 },
		"super-packet without checksum":    func(p *packet.Packet) { p.Offload.Flags = 0 },
		"super-packet without size":        func(p *packet.Packet) { p.Offload.GSOSize = 0 },
		"super-packet shorter than TCP":    func(p *packet.Packet) { p.End = p.Offload.CsumStart + 19 },
		"super-packet shorter than header": func(p *packet.Packet) { p.End = p.Offload.CsumStart + 25 },
	} {
		p := linktest.SuperTCP(3000, 1400, false).Packet()
		change(p)
		if Encode(make([]byte, HeaderLen), p) {
			t.Errorf("%s: got accepted", name)
		}
	}
}

func TestDecodeFinishesSCTP(t *testing.T) {
	p := linktest.HalfUDP(1, 40, false).Packet()
	p.Offload.CsumOffset = gso.SCTPSum
	var h [HeaderLen]byte
	if !Encode(h[:], p) || !Decode(p, h[:]) || p.Offload.Flags != 0 {
		t.Errorf("got %+v; want a finished checksum", p.Offload)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 1, 66, 0, 100, 0, 34, 0, 16, 0}, 100)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 34, 0, 8, 0}, 100)
	f.Fuzz(func(t *testing.T, h []byte, n int) {
		if len(h) < HeaderLen || n < 0 || n > packet.MaxFrame {
			return
		}
		var p packet.Packet
		p.Set(make([]byte, packet.Headroom+n), make([]byte, n))
		if !Decode(&p, h) {
			return
		}
		if o := p.Offload; o.Flags&packet.NeedsChecksum != 0 &&
			(o.CsumStart < p.Start || o.CsumStart+uint32(o.CsumOffset)+2 > p.End) {
			t.Errorf("accepted a checksum outside of %d bytes: %+v", n, o)
		}
	})
}
