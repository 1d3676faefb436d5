package mss

import (
	"bytes"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

const (
	client = 0xc6336407 // 198.51.100.7
	server = 0xcb007109 // 203.0.113.9
)

// segment returns a parsed TCP segment with the options, which are a multiple of
// four bytes, and a correct checksum.
func segment(t testing.TB, flags uint8, options []byte, payload string) *packet.Packet {
	t.Helper()
	tcp := header.TCP(make([]byte, header.TCPLen, 200))
	tcp.SetSrcPort(4000)
	tcp.SetDstPort(443)
	tcp[12] = byte((header.TCPLen+len(options))/4) << 4
	tcp.SetFlags(flags)
	tcp = append(append(tcp, options...), payload...)
	sum := checksum.Pseudo(client, server, flow.TCP, len(tcp))
	tcp.SetChecksum(^checksum.Fold(checksum.Sum(tcp, sum)))
	ip := header.IPv4(make([]byte, header.IPv4Len))
	ip[0] = 0x45
	ip.SetTotalLen(len(ip) + len(tcp))
	ip.SetProtocol(flow.TCP)
	ip.SetSrc(client)
	ip.SetDst(server)
	ip.SetChecksum(checksum.Of(ip))
	p := new(packet.Packet)
	if !p.Set(make([]byte, 512), append(ip, tcp...)) {
		t.Fatal("buffer too short")
	}
	p.L3, p.L4, p.L3End = p.Start, p.Start+header.IPv4Len, p.End
	return p
}

func valid(p *packet.Packet) bool {
	tcp := p.Buf[p.L4:p.L3End]
	return ^checksum.Fold(checksum.Sum(tcp, checksum.Pseudo(client, server, flow.TCP, len(tcp)))) == 0
}

func TestClamp(t *testing.T) {
	const syn, ack = header.SYN, header.ACK
	usual := func(high, low byte) []byte { // as Linux sends them
		return []byte{2, 4, high, low, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}
	}
	rows := []struct {
		name      string
		flags     uint8
		in, want  []byte
		unchanged bool
	}{
		{"SYN", syn, usual(5, 0xb4), usual(5, 0x8c), false},
		{"SYN and ACK", syn | ack, usual(5, 0xb4), usual(5, 0x8c), false},
		{"the largest there is", syn, usual(0xff, 0xff), usual(5, 0x8c), false},
		{"one more", syn, usual(5, 0x8d), usual(5, 0x8c), false},
		{"equal", syn, usual(5, 0x8c), nil, true},
		{"less is never raised", syn, usual(2, 0), nil, true},
		{"no SYN", ack, usual(5, 0xb4), nil, true},
		{"no option", syn, nil, nil, true},
		{"behind one no-operation, at an odd index", syn, []byte{1, 2, 4, 5, 0xb4, 0, 0, 0}, []byte{1, 2, 4, 5, 0x8c, 0, 0, 0}, false},
		{"behind two", syn, []byte{1, 1, 2, 4, 5, 0xb4, 0, 0}, []byte{1, 1, 2, 4, 5, 0x8c, 0, 0}, false},
		{"at the very end", syn, []byte{1, 1, 1, 1, 2, 4, 5, 0xb4}, []byte{1, 1, 1, 1, 2, 4, 5, 0x8c}, false},
		{"behind the end of options", syn, []byte{0, 2, 4, 5, 0xb4, 0, 0, 0}, nil, true},
		{"behind an option of no length", syn, []byte{9, 0, 1, 1, 2, 4, 5, 0xb4}, nil, true},
		{"behind an option of length one", syn, []byte{9, 1, 1, 1, 2, 4, 5, 0xb4}, nil, true},
		{"behind an option past the end", syn, []byte{9, 9, 1, 1, 2, 4, 5, 0xb4}, nil, true},
		{"of the wrong length", syn, []byte{2, 3, 0xff, 1}, nil, true},
		{"a kind without a length", syn, []byte{1, 1, 1, 2}, nil, true},
		{"the last byte is a kind", syn, []byte{8, 3, 1, 9}, nil, true},
		{"behind other options only", syn, []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1}, nil, true},
		{"cut by the end", syn, []byte{1, 1, 2, 4}, nil, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for _, payload := range []string{"", "odd"} {
				p := segment(t, r.flags, r.in, payload)
				want := r.want
				if r.unchanged {
					want = r.in
				}
				if got := Clamp(p, 1420); got == r.unchanged {
					t.Errorf("got %v", got)
				}
				if got := p.Buf[p.L4+header.TCPLen:][:len(want)]; !bytes.Equal(got, want) {
					t.Errorf("options\n got % x\nwant % x", got, want)
				}
				if !valid(p) {
					t.Error("checksum is wrong")
				}
			}
		})
	}
}

func TestClampLeavesAnUnfinishedChecksum(t *testing.T) {
	p := segment(t, header.SYN, []byte{2, 4, 5, 0xb4}, "")
	tcp := header.TCP(p.Buf[p.L4:p.L3End])
	half := checksum.Fold(checksum.Pseudo(client, server, flow.TCP, len(tcp)))
	tcp.SetChecksum(half)
	p.Offload = packet.Offload{Flags: packet.NeedsChecksum, CsumStart: p.L4, CsumOffset: 16}
	if !Clamp(p, 1420) || tcp.Checksum() != half {
		t.Fatalf("got checksum %#x; want %#x", tcp.Checksum(), half)
	}
	tcp.SetChecksum(checksum.Of(tcp)) // as the device does
	if !valid(p) {
		t.Error("checksum is wrong once finished")
	}
}

func TestClampLeavesOthersAlone(t *testing.T) {
	rows := map[string]func(p *packet.Packet){
		"UDP":              func(p *packet.Packet) { header.IPv4(p.Buf[p.L3:]).SetProtocol(flow.UDP) },
		"a later fragment": func(p *packet.Packet) { header.IPv4(p.Buf[p.L3:]).SetFragment(1) },
		"a cut header":     func(p *packet.Packet) { p.L3End = p.L4 + 19 },
		"cut options":      func(p *packet.Packet) { p.L3End = p.L4 + 23 },
		"data offset of 4": func(p *packet.Packet) { p.Buf[p.L4+12] = 4 << 4 },
	}
	for name, change := range rows {
		p := segment(t, header.SYN, []byte{2, 4, 5, 0xb4}, "")
		change(p)
		was := bytes.Clone(p.Bytes())
		if Clamp(p, 1420) || !bytes.Equal(p.Bytes(), was) {
			t.Errorf("%s: changed", name)
		}
	}
}

func TestFor(t *testing.T) {
	for mtu, want := range map[int]uint16{1500: 1460, 1480: 1440, 40: 0, 0: 0, 1 << 20: 0xffff} {
		if got := For(mtu); got != want {
			t.Errorf("MTU %d: got %d; want %d", mtu, got, want)
		}
	}
}

func FuzzClamp(f *testing.F) {
	f.Add([]byte{1, 2, 4, 5, 0xb4, 0, 0, 0}, uint16(1420))
	f.Add([]byte{2, 4, 5, 0xb4}, uint16(0))
	f.Fuzz(func(t *testing.T, options []byte, max uint16) {
		if len(options) > 40 || len(options)%4 != 0 {
			return
		}
		p := segment(t, header.SYN, options, "payload")
		Clamp(p, max)
		if !valid(p) {
			t.Fatal("checksum is wrong")
		}
	})
}
