package frag

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// long returns a packet with n bytes of payload and options.
func long(n int, options []byte, field uint16) *packet.Packet {
	ihl := header.IPv4Len + len(options)
	h := header.IPv4(make([]byte, ihl+n))
	copy(h, part{id: 7, tos: 0xb8}.packet().Buf[packet.Headroom+header.EthernetLen:][:header.IPv4Len])
	h[0] = 0x40 | byte(ihl/4)
	copy(h[header.IPv4Len:], options)
	for i := range h[ihl:] {
		h[ihl+i] = byte(i * 7)
	}
	h.SetTotalLen(len(h))
	h.SetFragment(field)
	seal(h)
	return parsed(h)
}

// room returns n packets with room for mtu bytes.
func room(n, mtu int) []packet.Packet {
	out := make([]packet.Packet, n)
	for i := range out {
		out[i].Buf = make([]byte, packet.Headroom+mtu)
	}
	return out
}

func TestFragment(t *testing.T) {
	copied, notCopied := []byte{0x94, 4, 0, 0}, []byte{7, 3, 4} // router alert, record route
	both := append(append(append([]byte{1}, notCopied...), copied...), 0, 0, 0, 0)
	rows := []struct {
		name    string
		n, mtu  int
		options []byte
		field   uint16
		want    string // offset+payload/header of each, "." after the last of the datagram
	}{
		{"two", 2000, 1500, nil, 0, "0+1480/20 1480+520/20."},
		{"one byte over", 1481, 1500, nil, 0, "0+1480/20 1480+1/20."},
		{"an odd MTU", 100, 67, nil, 0, "0+40/20 40+40/20 80+20/20."},
		{"options", 100, 68, both, 0, "0+32/32 32+40/24 72+28/24."},
		{"options that are not copied", 100, 68, append(notCopied, 0), 0, "0+40/24 40+48/20 88+12/20."},
		{"a fragment", 1600, 1500, nil, header.MoreFragments | 100, "800+1480/20 2280+120/20"},
		{"the last fragment", 1600, 1500, nil, 100, "800+1480/20 2280+120/20."},
		{"what fits", 100, 1500, nil, 0, "0+100/20."},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p := long(r.n, r.options, r.field)
			p.Out, p.Port = 4, 3
			was := bytes.Clone(p.Buf)
			out := room(8, r.mtu)
			n, reason := Fragment(p, r.mtu, out)
			if reason != drop.None || n != Pieces(p, r.mtu) {
				t.Fatalf("got %d, %v; want %d", n, reason, Pieces(p, r.mtu))
			}
			got := ""
			for i := range n {
				f := &out[i]
				h := header.IPv4(f.Bytes())
				if !valid(h) || len(h) > r.mtu || f.L3 != f.Start || f.L3End != f.End || f.Out != 4 || f.Port != 3 ||
					h.TOS() != 0xb8 || h.ID() != 7 || h.TTL() != 64 {
					t.Errorf("fragment %d is wrong: %+v % x", i, f, h[:20])
				}
				if i > 0 {
					got += " "
				}
				got += fmt.Sprintf("%d+%d/%d", offset(f)*8, len(payload(f)), f.L4-f.L3)
				if h.Fragment()&header.MoreFragments == 0 {
					got += "."
				}
			}
			if got != r.want {
				t.Errorf("got %s; want %s", got, r.want)
			}
			if !bytes.Equal(p.Buf, was) {
				t.Error("the packet changed")
			}
		})
	}
}

func TestFragmentRefusals(t *testing.T) {
	unfinished := long(2000, nil, 0)
	unfinished.Offload.Flags = packet.NeedsChecksum
	super := long(2000, nil, 0)
	super.Offload.GSOType = packet.GSOTCPv4
	rows := []struct {
		name string
		p    *packet.Packet
		mtu  int
		out  []packet.Packet
		want drop.Reason
	}{
		{"may not be fragmented", long(2000, nil, header.DontFragment), 1500, room(4, 1500), drop.FragmentNeeded},
		{"no room for eight bytes", long(2000, nil, 0), 27, room(4, 1500), drop.MTUExceeded},
		{"too few packets", long(2000, nil, 0), 1500, room(1, 1500), drop.MTUExceeded},
		{"too short a buffer", long(2000, nil, 0), 1500, room(4, 1499), drop.MTUExceeded},
		{"an unfinished checksum", unfinished, 1500, room(4, 1500), drop.MTUExceeded},
		{"a super-packet", super, 1500, room(4, 1500), drop.MTUExceeded},
		{"past the end of any datagram", long(2000, nil, 8000), 1500, room(4, 1500), drop.FragmentMalformed},
	}
	for _, r := range rows {
		if n, got := Fragment(r.p, r.mtu, r.out); n != 0 || got != r.want {
			t.Errorf("%s: got %d, %v; want %v", r.name, n, got, r.want)
		}
	}
}

// TestFragmentsJoin has three ways put fragments together: the slow one, an
// independent one, and Assemble.
func TestFragmentsJoin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		size, mtu := 600+rnd.IntN(8000), 400+rnd.IntN(1200)
		p := long(size, make([]byte, 4*rnd.IntN(3)), 0)
		options := p.L4-p.L3 > header.IPv4Len // which the independent one takes for payload
		out := room(Pieces(p, mtu), mtu)
		n, reason := Fragment(p, mtu, out)
		if reason != drop.None {
			t.Fatal(reason)
		}
		var ps []*packet.Packet
		defrag := ip4defrag.NewIPv4Defragmenter()
		tr := tracker(t, func(*Config) {})
		var other *layers.IPv4
		var v Verdict
		for i := range n {
			ps = append(ps, &out[i])
			v = tr.Assemble(&out[i], 0, 0)
			ip := gopacket.NewPacket(out[i].Bytes(), layers.LayerTypeIPv4, gopacket.Default).NetworkLayer().(*layers.IPv4)
			var err error
			if other, err = defrag.DefragIPv4(ip); err != nil && !options {
				t.Fatalf("an independent reassembler: %v", err)
			}
		}
		want := payload(p)
		if got := join(ps); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, MTU %d: the slow way gets %d other bytes", size, mtu, len(got))
		}
		if n > 1 && !options && (other == nil || !bytes.Equal(other.Payload, want)) {
			t.Fatalf("%d bytes, MTU %d: an independent reassembler gets others", size, mtu)
		}
		if n > 1 && (v.Whole == nil || !bytes.Equal(v.Whole.Bytes(), p.Buf[p.L3:p.L3End])) {
			t.Fatalf("%d bytes, MTU %d: Assemble gets another packet", size, mtu)
		}
	}
}

func TestFragmentDoesNotAllocate(t *testing.T) {
	p, out := long(2000, nil, 0), room(2, 1500)
	if n := testing.AllocsPerRun(100, func() { Fragment(p, 1500, out) }); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func FuzzFragment(f *testing.F) {
	f.Add([]byte{0x94, 4, 0, 0}, uint16(0), 1000, 100)
	f.Add([]byte{7, 3, 4, 0x94, 40, 1, 1, 1}, uint16(header.MoreFragments|9), 100, 68)
	f.Fuzz(func(t *testing.T, options []byte, field uint16, size, mtu int) {
		if len(options) > 40 || len(options)%4 != 0 || size < 1 || size > 3000 || mtu < 0 || mtu > 3000 {
			return
		}
		p := long(size, options, field)
		out := room(Pieces(p, mtu), mtu)
		n, reason := Fragment(p, mtu, out)
		if reason != drop.None {
			return
		}
		var got []byte
		for i := range n {
			h := header.IPv4(out[i].Bytes())
			if !valid(h) || len(h) > mtu {
				t.Fatalf("fragment %d is wrong: % x", i, h)
			}
			if at := (offset(&out[i]) - offset(p)) * 8; at != len(got) {
				t.Fatalf("fragment %d is at %d; want %d", i, at, len(got))
			}
			got = append(got, payload(&out[i])...)
		}
		if !bytes.Equal(got, payload(p)) {
			t.Fatal("the payload changed")
		}
	})
}

func BenchmarkTrack(b *testing.B) {
	tr := tracker(b, func(*Config) {})
	x, y := part{n: 1480, more: true}.packet(), part{from: 1480, n: 500}.packet()
	b.ReportAllocs()
	for b.Loop() {
		tr.Track(x, 0, 0)
		tr.Track(y, 0, 0)
	}
}
