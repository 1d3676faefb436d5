package gso

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/header"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// decoded is a frame as an independent decoder sees it.
type decoded struct {
	ips     []*layers.IPv4
	tcp     *layers.TCP
	udp     *layers.UDP
	payload []byte
}

// decode decodes a bare IPv4 packet and checks its lengths and every checksum
// against the decoder's own.
func decode(t testing.TB, b []byte) (d decoded) {
	t.Helper()
	pk := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
	if e := pk.ErrorLayer(); e != nil {
		t.Fatalf("segment does not decode: %v", e.Error())
	}
	for _, l := range pk.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			if int(l.Length) != len(l.Contents)+len(l.Payload) || pk.Metadata().Truncated {
				t.Errorf("IPv4 length: got %d; want %d", l.Length, len(l.Contents)+len(l.Payload))
			}
			d.ips = append(d.ips, l)
			checkSum(t, l, &l.Checksum, nil)
		case *layers.TCP:
			d.tcp, d.payload = l, l.Payload
		case *layers.UDP:
			d.udp, d.payload = l, l.Payload
			if int(l.Length) != 8+len(l.Payload) {
				t.Errorf("UDP length: got %d; want %d", l.Length, 8+len(l.Payload))
			}
		}
	}
	inner := d.ips[len(d.ips)-1]
	switch {
	case d.tcp != nil:
		d.tcp.SetNetworkLayerForChecksum(inner)
		checkSum(t, d.tcp, &d.tcp.Checksum, d.payload)
	case d.udp != nil:
		d.udp.SetNetworkLayerForChecksum(inner)
		checkSum(t, d.udp, &d.udp.Checksum, d.payload)
	}
	return d
}

// checkSum has the decoder compute the layer's checksum, which it keeps in *sum,
// and compares it with the one that was there.
func checkSum(t testing.TB, l gopacket.SerializableLayer, sum *uint16, payload []byte) {
	t.Helper()
	got := *sum
	err := gopacket.SerializeLayers(gopacket.NewSerializeBuffer(),
		gopacket.SerializeOptions{ComputeChecksums: true}, l, gopacket.Payload(payload))
	if err != nil {
		t.Fatalf("%v: %v", l.LayerType(), err)
	}
	want := *sum
	*sum = got
	if want == 0 && l.LayerType() == layers.LayerTypeUDP {
		want = 0xffff
	}
	if got != want {
		t.Errorf("%v checksum: got %04x; want %04x", l.LayerType(), got, want)
	}
}

// cut cuts the super-packet and returns the segments.
func cut(t testing.TB, p *packet.Packet, l3 uint32) [][]byte {
	t.Helper()
	var c Cutter
	if !c.Reset(p, l3) {
		t.Fatal("Reset refuses the super-packet")
	}
	n := c.Segments()
	out := packet.Packet{Buf: make([]byte, packet.Headroom+c.Longest()), DriverPrivate: 42}
	var segments [][]byte
	for c.Next(&out) {
		if out.DriverPrivate != 42 || out.Offload != (packet.Offload{}) || out.L3End != out.End {
			t.Errorf("segment %d: got %+v; want the caller's mark and no offload", len(segments), out)
		}
		segments = append(segments, bytes.Clone(out.Bytes()))
	}
	if len(segments) != n {
		t.Errorf("got %d segments; Segments says %d", len(segments), n)
	}
	return segments
}

// superUDP returns an UDP_L4 super-packet of n bytes of payload.
func superUDP(n, size int, l3 bool) linktest.Frame {
	f := linktest.HalfUDP(1, n, l3)
	f.Offload.GSOType, f.Offload.GSOSize = packet.GSOUDPL4, uint16(size)
	return f
}

func tunneled(f linktest.Frame, l3 bool, layers int) linktest.Frame {
	for range layers {
		f.Bytes = linktest.IPIP(f.Bytes, l3)
		f.Offload.CsumStart += header.IPv4Len
	}
	return f
}

func TestTCPSegments(t *testing.T) {
	for _, row := range []struct {
		name            string
		n, size, layers int
		ethernet        bool
		tags            int
	}{
		{name: "one full and one short", n: 1500, size: 1400},
		{name: "exact multiple", n: 2800, size: 1400, ethernet: true},
		{name: "single", n: 100, size: 1400},
		{name: "64 kB, odd size, in a VLAN", n: 60001, size: 1333, ethernet: true, tags: 1},
		{name: "in IP-in-IP", n: 30000, size: 1400, layers: 1, ethernet: true},
		{name: "in two tunnels and two VLANs", n: 30000, size: 1400, layers: 2, ethernet: true, tags: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := tunneled(linktest.SuperTCP(row.n, row.size, !row.ethernet), !row.ethernet, row.layers)
			l2 := 0
			if row.ethernet {
				l2 = 14
			}
			for range row.tags {
				f = f.Tagged(0x8100_0005)
				l2 += 4
			}
			checkTCP(t, f, l2, row.n, row.size, row.layers)
		})
	}
}

// checkTCP cuts f, whose headers are l2 bytes of link header and layers+1 of IPv4,
// and compares each segment and their sum with what f's fields ask for.
func checkTCP(t *testing.T, f linktest.Frame, l2, n, size, layers int) {
	p := f.Packet()
	p.Buf[p.Offload.CsumStart+13] |= header.FIN | header.CWR | header.ECE
	p.Offload.GSOType |= packet.GSOECN
	var payload []byte
	segments := cut(t, p, p.Start+uint32(l2))
	for i, b := range segments {
		if !bytes.Equal(b[:l2], f.Bytes[:l2]) {
			t.Errorf("segment %d: link header %x; want %x", i, b[:l2], f.Bytes[:l2])
		}
		d := decode(t, b[l2:])
		if got, want := d.tcp.Seq, uint32(0xfffff000)+uint32(len(payload)); got != want {
			t.Errorf("segment %d: sequence %#x; want %#x", i, got, want)
		}
		last := i == len(segments)-1
		if d.tcp.FIN != last || d.tcp.PSH != last || d.tcp.CWR != (i == 0) || !d.tcp.ECE || !d.tcp.ACK {
			t.Errorf("segment %d of %d: flags %+v", i, len(segments), d.tcp)
		}
		if len(d.tcp.Options) != 3 || len(d.ips) != layers+1 {
			t.Errorf("segment %d: %d options, %d IPv4 headers; want 3, %d", i, len(d.tcp.Options), len(d.ips), layers+1)
		}
		if got := d.ips[layers].Id; got != 0x1234+uint16(i) {
			t.Errorf("segment %d: identification %#x; want %#x", i, got, 0x1234+i)
		}
		if len(d.payload) > size || !last && len(d.payload) != size {
			t.Errorf("segment %d: %d bytes of payload; want %d", i, len(d.payload), size)
		}
		payload = append(payload, d.payload...)
	}
	if !bytes.Equal(payload, f.Bytes[len(f.Bytes)-n:]) {
		t.Error("the segments do not add up to the super-packet")
	}
}

func TestUDPSegments(t *testing.T) {
	f := tunneled(superUDP(5001, 1000, true), true, 1)
	var payload []byte
	for _, b := range cut(t, f.Packet(), packet.Headroom) {
		payload = append(payload, decode(t, b).payload...)
	}
	if !bytes.Equal(payload, f.Bytes[len(f.Bytes)-5001:]) {
		t.Error("the segments do not add up to the super-packet")
	}
}

func TestNoChecksumStaysNone(t *testing.T) {
	f := superUDP(3000, 1000, true)
	f.Offload.Flags = 0
	binary.BigEndian.PutUint16(f.Bytes[26:], 0)
	for i, b := range cut(t, f.Packet(), packet.Headroom) {
		if sum := header.UDP(b[20:]).Checksum(); sum != 0 {
			t.Errorf("segment %d: checksum %04x; want none", i, sum)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(p *packet.Packet)
	}{
		{"no super-packet", func(p *packet.Packet) { p.Offload.GSOType = 0 }},
		{"IPv6 kind", func(p *packet.Packet) { p.Offload.GSOType = packet.GSOTCPv6 }},
		{"UDP kind on TCP", func(p *packet.Packet) { p.Offload.GSOType = packet.GSOUDPL4 }},
		{"no size", func(p *packet.Packet) { p.Offload.GSOSize = 0 }},
		{"checksum elsewhere", func(p *packet.Packet) { p.Offload.CsumStart++ }},
		{"fragment", func(p *packet.Packet) { header.IPv4(p.Bytes()).SetFragment(header.MoreFragments) }},
		{"IPv4 header too short", func(p *packet.Packet) { p.Bytes()[0] = 0x44 }},
		{"TCP header too short", func(p *packet.Packet) { p.Bytes()[32] = 0x40 }},
		{"TCP header too long", func(p *packet.Packet) { p.End = p.Start + 45; p.Bytes()[32] = 0xf0 }},
		{"no payload", func(p *packet.Packet) { p.End = p.Start + 52 }},
		{"cut in the IPv4 header", func(p *packet.Packet) { p.End = p.Start + 19 }},
		{"IPv4 header outside", func(p *packet.Packet) { p.Start += 30 }},
	} {
		p := linktest.SuperTCP(3000, 1400, true).Packet()
		row.change(p)
		var c Cutter
		if c.Reset(p, packet.Headroom) {
			t.Errorf("%s: got accepted", row.name)
		}
	}
	deep := tunneled(linktest.SuperTCP(3000, 1400, true), true, maxHeaders)
	if new(Cutter).Reset(deep.Packet(), packet.Headroom) {
		t.Error("too many headers: got accepted")
	}
	var c Cutter
	if short := (packet.Packet{Buf: make([]byte, 200)}); c.Reset(linktest.SuperTCP(3000, 1400, true).Packet(), packet.Headroom) && c.Next(&short) {
		t.Error("buffer too short: got a segment")
	}
}

func TestComplete(t *testing.T) {
	for i := range 300 {
		p := linktest.HalfUDP(i, i, true).Packet()
		if !Complete(p) || p.Offload.Flags != 0 {
			t.Fatalf("%d bytes: got refused, or flags %x", i, p.Offload.Flags)
		}
		if want := linktest.UDP(i, i, true).Bytes; !bytes.Equal(p.Bytes(), want) && header.UDP(want[20:]).Checksum() != 0 {
			t.Fatalf("%d bytes: got\n%x\nwant\n%x", i, p.Bytes(), want)
		}
		decode(t, p.Bytes())
	}
}

func TestCompleteUDPIsNeverZero(t *testing.T) {
	f := linktest.HalfUDP(1, 2, true)
	finished := linktest.UDP(1, 2, true)
	sum := header.UDP(finished.Bytes[20:]).Checksum()
	// Add what is missing to 0xffff to the payload: the sum is then all ones.
	word := binary.BigEndian.Uint16(f.Bytes[28:])
	total := uint32(word) + uint32(sum)
	binary.BigEndian.PutUint16(f.Bytes[28:], uint16(total)+uint16(total>>16))
	p := f.Packet()
	if Complete(p); header.UDP(p.Bytes()[20:]).Checksum() != 0xffff {
		t.Errorf("got %04x; want ffff", header.UDP(p.Bytes()[20:]).Checksum())
	}
}

func TestCompleteLeavesPaddingOut(t *testing.T) {
	p := linktest.HalfUDP(1, 6, true).Packet()
	p.L3End = p.End
	copy(p.Buf[p.End:], "\xde\xad\xbe\xef")
	p.End += 4
	if !Complete(p) {
		t.Fatal("got refused")
	}
	decode(t, p.Buf[p.Start:p.L3End])
}

func TestCompleteSCTP(t *testing.T) {
	p := linktest.HalfUDP(1, 40, true).Packet()
	p.Offload.CsumOffset = SCTPSum
	l4 := p.Bytes()[20:]
	copy(l4[8:], "junk")
	if !Complete(p) {
		t.Fatal("got refused")
	}
	got := binary.LittleEndian.Uint32(l4[8:])
	zeroed := bytes.Clone(l4)
	clear(zeroed[8:12])
	if want := crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli)); got != want {
		t.Errorf("got %08x; want %08x", got, want)
	}
}

func TestCompleteRefuses(t *testing.T) {
	for _, change := range []func(p *packet.Packet){
		func(p *packet.Packet) { p.Offload.CsumStart = p.Start - 1 },
		func(p *packet.Packet) { p.Offload.CsumStart = p.End - 7 },
		func(p *packet.Packet) { p.Offload.CsumStart = 0xffffffff },
		func(p *packet.Packet) { p.Offload.CsumOffset, p.Offload.CsumStart = SCTPSum, p.End-11 },
	} {
		p := linktest.HalfUDP(1, 6, true).Packet()
		if change(p); Complete(p) {
			t.Errorf("%+v: got accepted", p.Offload)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	p := linktest.SuperTCP(60000, 1400, true).Packet()
	half := linktest.HalfUDP(1, 60, true).Packet()
	out := packet.Packet{Buf: make([]byte, 2048)}
	var c Cutter
	if n := testing.AllocsPerRun(5, func() {
		for ok := c.Reset(p, packet.Headroom); ok && c.Next(&out); {
		}
		half.Offload.Flags |= packet.NeedsChecksum
		Complete(half)
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func FuzzCut(f *testing.F) {
	add := func(fr linktest.Frame) { f.Add(fr.Bytes, fr.Offload.GSOType, fr.Offload.GSOSize) }
	add(linktest.SuperTCP(30, 14, true)) // short ones are tried and minimized fast
	add(superUDP(30, 10, true))
	add(tunneled(linktest.SuperTCP(30, 5, true), true, 1))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, size uint16) {
		var p packet.Packet
		p.Set(make([]byte, packet.Headroom+len(b)), b)
		p.Offload = packet.Offload{GSOType: kind, GSOSize: size}
		var c Cutter
		if !c.Reset(&p, p.Start) {
			return
		}
		out := packet.Packet{Buf: make([]byte, packet.Headroom+c.Longest())}
		var payload []byte
		n := 0
		for ; c.Next(&out); n++ {
			payload = append(payload, out.Bytes()[c.payload:]...)
			if got := c.l4Sum(out.Bytes(), []byte{17, 6}[b2i(c.tcp)]); c.sum && got != 0xffff {
				t.Errorf("segment %d: the sum is %04x; want ffff", n, got)
			}
		}
		if n != c.Segments() || !bytes.Equal(payload, b[c.payload:]) {
			t.Errorf("%d segments do not add up to the super-packet", n)
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func BenchmarkCut(b *testing.B) {
	p := linktest.SuperTCP(60000, 1400, true).Packet()
	out := packet.Packet{Buf: make([]byte, 2048)}
	var c Cutter
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		for ok := c.Reset(p, packet.Headroom); ok && c.Next(&out); {
		}
	}
}
