package ipip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	worker  = [4]byte{10, 0, 1, 12}
	gateway = [4]byte{10, 0, 0, 1}
)

// inner returns a UDP packet of a pod with the given TOS byte, TTL and flags.
func inner(t testing.TB, tos, ttl uint8, flags layers.IPv4Flag) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TOS: tos, TTL: ttl, Flags: flags, Id: 77, Protocol: layers.IPProtocolUDP,
		SrcIP: []byte{172, 30, 2, 10}, DstIP: []byte{198, 51, 100, 10},
	}
	udp := &layers.UDP{SrcPort: 4000, DstPort: 4001}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ip, udp, gopacket.Payload("hello")); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestEncapWritesCalicosOuterHeader(t *testing.T) {
	for _, row := range []struct {
		name     string
		tos, ttl uint8
		flags    layers.IPv4Flag
		wantTOS  uint8
	}{
		{"TTL copied, DF clear", 0, 63, 0, 0},
		{"DF copied", 0, 1, layers.IPv4DontFragment, 0},
		{"DSCP not copied, ECT(0) copied", 0xb8 | ect0, 64, 0, ect0},
		{"ECT(1) copied", ect1, 64, 0, ect1},
		{"CE copied", ce, 64, 0, ce},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := inner(t, row.tos, row.ttl, row.flags)
			out, err := Encap(make([]byte, 200), append(in, "padding"...), worker, gateway)
			if err != nil {
				t.Fatal(err)
			}
			p := gopacket.NewPacket(out, layers.LayerTypeIPv4, gopacket.Default)
			if p.ErrorLayer() != nil {
				t.Fatalf("gopacket cannot read it: %v", p.ErrorLayer().Error())
			}
			ip := p.Layers()[0].(*layers.IPv4)
			if ip.TTL != row.ttl || ip.Flags != row.flags || ip.TOS != row.wantTOS {
				t.Errorf("outer TTL %d flags %v TOS %#x; want %d %v %#x", ip.TTL, ip.Flags, ip.TOS, row.ttl, row.flags, row.wantTOS)
			}
			if ip.Protocol != layers.IPProtocolIPv4 || int(ip.Length) != len(in)+20 {
				t.Errorf("outer protocol %v length %d; want 4 and %d", ip.Protocol, ip.Length, len(in)+20)
			}
			if got := sum(zeroed(out[:20])); got != ip.Checksum {
				t.Errorf("outer checksum %#x; want %#x", ip.Checksum, got)
			}
			if !bytes.Equal(out[20:], in) {
				t.Error("inner packet changed")
			}
		})
	}
}

// TestDecapECN holds all sixteen cells of RFC 6040 section 4.2, figure 4.
func TestDecapECN(t *testing.T) {
	const drop = 0xff
	want := [4][4]byte{ // [inner][outer]
		notECT: {notECT: notECT, ect0: notECT, ect1: notECT, ce: drop},
		ect0:   {notECT: ect0, ect0: ect0, ect1: ect1, ce: ce},
		ect1:   {notECT: ect1, ect0: ect1, ect1: ect1, ce: ce},
		ce:     {notECT: ce, ect0: ce, ect1: ce, ce: ce},
	}
	for in := range byte(4) {
		for out := range byte(4) {
			p, err := Encap(make([]byte, 200), inner(t, 0xb8|in, 9, 0), worker, gateway)
			if err != nil {
				t.Fatal(err)
			}
			p[1] = out
			got, src, err := Decap(p)
			if want[in][out] == drop {
				if !errors.Is(err, errCongested) {
					t.Errorf("inner %d outer %d: got error %v; want a drop", in, out, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("inner %d outer %d: %v", in, out, err)
				continue
			}
			if got[1] != 0xb8|want[in][out] || src != worker {
				t.Errorf("inner %d outer %d: got TOS %#x from %v; want %#x from %v", in, out, got[1], src, 0xb8|want[in][out], worker)
			}
			if c := sum(zeroed(got[:20])); c != binary.BigEndian.Uint16(got[10:]) {
				t.Errorf("inner %d outer %d: inner checksum %#x; want %#x", in, out, got[10:12], c)
			}
		}
	}
}

func TestDecapRefusesWhatIsNotWhole(t *testing.T) {
	good, err := Encap(make([]byte, 200), inner(t, 0, 9, 0), worker, gateway)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		damage func([]byte) []byte
		want   error
	}{
		{"empty", func(b []byte) []byte { return nil }, errNotIPv4},
		{"outer cut", func(b []byte) []byte { return b[:19] }, errNotIPv4},
		{"inner cut", func(b []byte) []byte { return b[:len(b)-1] }, errNotIPv4},
		{"outer length ends in the inner header", func(b []byte) []byte { b[3] = 30; return b }, errNotIPv4},
		{"inner length past the outer", func(b []byte) []byte { b[23]++; return b }, errNotIPv4},
		{"inner IPv6", func(b []byte) []byte { b[20] = 0x65; return b }, errNotIPv4},
		{"inner header length 16", func(b []byte) []byte { b[20] = 0x44; return b }, errNotIPv4},
		{"another protocol", func(b []byte) []byte { b[9] = 41; return b }, errProtocol},
	} {
		if _, _, err := Decap(row.damage(bytes.Clone(good))); !errors.Is(err, row.want) {
			t.Errorf("%s: got error %v; want %v", row.name, err, row.want)
		}
	}
}

func FuzzDecap(f *testing.F) {
	good, err := Encap(make([]byte, 200), inner(f, ect0, 9, 0), worker, gateway)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		in, src, err := Decap(b)
		if err != nil {
			return
		}
		again, err := Encap(make([]byte, len(in)+20), in, src, gateway)
		if err != nil {
			t.Fatalf("cannot encapsulate what was decapsulated: %v", err)
		}
		if back, _, err := Decap(again); err != nil || !bytes.Equal(back, in) {
			t.Fatalf("a second turn gave %x, %v; want %x", back, err, in)
		}
	})
}

func zeroed(h []byte) []byte {
	c := bytes.Clone(h)
	c[10], c[11] = 0, 0
	return c
}
