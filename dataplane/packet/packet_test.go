package packet

import (
	"bytes"
	"testing"
)

func TestSet(t *testing.T) {
	frame := []byte("a frame")
	p := Packet{Port: 7, DriverPrivate: 9, VLANs: [2]uint32{1, 2}, Offload: Offload{Flags: NeedsChecksum}}
	before := p
	if p.Set(make([]byte, Headroom+len(frame)-1), frame) {
		t.Error("a buffer that is a byte too short was taken")
	}
	if p.Port != before.Port || p.Buf != nil {
		t.Error("the packet was changed all the same")
	}
	buf := make([]byte, Headroom+len(frame))
	if !p.Set(buf, frame) || !bytes.Equal(p.Bytes(), frame) || p.Len() != len(frame) || p.Start != Headroom {
		t.Errorf("got %q at %d", p.Bytes(), p.Start)
	}
	if p.Port != 0 || p.DriverPrivate != 0 || p.VLANs != [2]uint32{} || p.Offload != (Offload{}) {
		t.Errorf("left of the packet before: %+v", p)
	}
	frame[0] = 'X'
	if p.Bytes()[0] == 'X' {
		t.Error("the frame was not copied")
	}
}

func TestClone(t *testing.T) {
	var p Packet
	p.Set(make([]byte, Headroom+200), []byte("some frame"))
	p.L3, p.L4, p.L3End, p.Port, p.Out, p.VLANs, p.DriverPrivate = Headroom+2, Headroom+4, p.End, 3, 4, [2]uint32{5, 6}, 77
	p.Offload = Offload{Flags: NeedsChecksum, CsumStart: Headroom + 4, CsumOffset: 6}
	c := p.Clone()
	if !bytes.Equal(c.Bytes(), p.Bytes()) || c.Start != p.Start || len(c.Buf) < int(c.End)+64 {
		t.Errorf("got %q at %d in %d bytes", c.Bytes(), c.Start, len(c.Buf))
	}
	if c.DriverPrivate != 0 {
		t.Error("the driver's mark of the memory went with the copy")
	}
	p.Bytes()[0] = 'X'
	if c.Bytes()[0] == 'X' {
		t.Error("the copy shares its memory")
	}
	c.Buf, c.DriverPrivate, p.Buf, p.DriverPrivate = nil, 0, nil, 0
	if a, b := *c, p; a.L3 != b.L3 || a.L4 != b.L4 || a.L3End != b.L3End || a.Offload != b.Offload || a.VLANs != b.VLANs || a.Port != b.Port || a.Out != b.Out {
		t.Errorf("got %+v; want %+v", a, b)
	}
}

// TestHeadroom holds what may be put before a received frame against the constant.
func TestHeadroom(t *testing.T) {
	const outerIPv4, tags, ethernet, virtioNet = 20, 8, 14, 12
	if need := outerIPv4 + tags + ethernet + virtioNet; Headroom < need || Headroom%64 != 0 {
		t.Errorf("got %d; want at least %d, in cache lines", Headroom, need)
	}
}
