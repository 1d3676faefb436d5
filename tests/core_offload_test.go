package tests

import (
	"strings"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// half leaves the transport checksum of a frame to the device, as a local socket does.
func half(f []byte) packet.Packet {
	var p packet.Packet
	p.Set(make([]byte, packet.Headroom+len(f)+64), f)
	ip := header.IPv4(p.Bytes()[14:])
	l4 := ip[ip.HeaderLen():ip.TotalLen()]
	at := uint16(6)
	if ip.Protocol() == flow.TCP {
		at = 16
	}
	sum := checksum.Fold(checksum.Pseudo(ip.Src(), ip.Dst(), ip.Protocol(), len(l4)))
	l4[at], l4[at+1] = byte(sum>>8), byte(sum)
	p.Offload = packet.Offload{Flags: packet.NeedsChecksum, CsumStart: p.Start + 14 + uint32(ip.HeaderLen()), CsumOffset: at}
	return p
}

// super is a TCP super-packet of segments of size bytes.
func super(f []byte, size uint16) packet.Packet {
	p := half(f)
	p.Offload.GSOType, p.Offload.GSOSize, p.Offload.HdrLen = packet.GSOTCPv4, size, 54
	return p
}

// received returns the packets that left by a port, offload and all.
func (g *gate) received(port string) (ps []packet.Packet) {
	var b packet.Batch
	for _, q := range g.far[port].Queues() {
		for q.Rx(&b) == nil && b.N > 0 {
			for i := range b.P[:b.N] {
				ps = append(ps, *b.P[i].Clone())
			}
		}
	}
	return ps
}

// TestHalfMadeChecksums are finished where the device cannot, before a tunnel, and never
// sent as they are.
func TestHalfMadeChecksums(t *testing.T) {
	for _, segments := range []bool{false, true} {
		for name, r := range map[string]struct {
			in, out string
			l3      []byte
			whole   bool // whether it must be finished in any case
		}{
			"udp, translated":  {"inside", "outside", toNet.udp(5000, 53, "question"), false},
			"tcp, translated":  {"inside", "outside", toNet.tcp(5000, 53, header.SYN, 1, 0, "data"), false},
			"udp, as it is":    {"inside", "narrow", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(5000, 53, "question"), false},
			"into the tunnel":  {"outside", "inside", toGate.tcp(4000, 8081, header.SYN, 1, 0, "data"), true},
			"cut on its way":   {"inside", "narrow", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(5000, 53, strings.Repeat("x", 1200)), true},
			"to the host":      {"inside", "host", v4{src: "10.0.0.5", dst: "10.0.0.1"}.tcp(4000, 22, header.SYN, 1, 0, "data"), false},
			"through a tunnel": {"inside", "outside", fromW2.ipip(pod2.udp(5000, 53, "question")), true},
		} {
			g := newGate(t, coreYAML, gateOptions{segments: segments})
			f := g.frame(r.in, r.l3)
			if name == "through a tunnel" {
				g.in(r.in, f)
			} else {
				g.packet(0, r.in, half(f))
			}
			ps := g.received(r.out)
			if len(ps) == 0 {
				t.Errorf("%s: nothing left: %v", name, g.drops())
			}
			for i := range ps {
				p := &ps[i]
				unfinished := p.Offload.Flags&packet.NeedsChecksum != 0
				if unfinished != (segments && !r.whole) {
					t.Errorf("%s, device finishes %v: left unfinished %v", name, segments, unfinished)
				}
				finish(p)
				if err := verify(p.Bytes(), r.out == "host"); err != nil {
					t.Errorf("%s, device finishes %v: %v", name, segments, err)
				}
			}
		}
	}
}

// finish does what the device would.
func finish(p *packet.Packet) {
	if p.Offload.Flags&packet.NeedsChecksum == 0 {
		return
	}
	l4 := p.Buf[p.Offload.CsumStart:p.End]
	sum := checksum.Of(l4)
	if p.Offload.CsumOffset == 6 && sum == 0 {
		sum = 0xffff
	}
	l4[p.Offload.CsumOffset], l4[p.Offload.CsumOffset+1] = byte(sum>>8), byte(sum)
}

// TestSuperPackets travel whole where the device cuts them, and are cut here where it
// does not: before a tunnel and for a smaller MTU. What arrives is the same stream.
func TestSuperPackets(t *testing.T) {
	payload := strings.Repeat("0123456789", 1000)
	for _, r := range []struct {
		name, in, out string
		h             v4
		sport, dport  uint16
		segments      bool
		size          uint16
		left          int
	}{
		{"whole", "inside", "outside", v4{src: "10.0.0.5", dst: "198.51.100.7", df: true}, 5000, 80, true, 1400, 1},
		{"cut for the device", "inside", "outside", v4{src: "10.0.0.5", dst: "198.51.100.7", df: true}, 5000, 80, false, 1400, 8},
		{"cut for the tunnel", "outside", "inside", v4{src: "198.51.100.7", dst: "203.0.113.2", df: true}, 5000, 8081, true, 1400, 8},
		{"segments and pieces", "inside", "narrow", v4{src: "10.0.0.5", dst: "192.0.2.5"}, 5000, 80, true, 1400, 15},
	} {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{segments: r.segments})
			g.send(r.in, r.h.tcp(r.sport, r.dport, header.SYN, 999, 0, ""))
			g.raw(r.out)
			g.packet(0, r.in, super(g.frame(r.in, r.h.tcp(r.sport, r.dport, header.ACK|header.PSH|header.FIN, 1000, 1, payload)), r.size))
			ps := g.received(r.out)
			if len(ps) != r.left {
				t.Fatalf("%d packets left; want %d. Drops: %v", len(ps), r.left, g.drops())
			}
			var stream strings.Builder
			for i := range ps {
				p := &ps[i]
				if r.left == 1 {
					if p.Offload.GSOType != packet.GSOTCPv4 || p.Offload.GSOSize != r.size {
						t.Errorf("left with %+v", p.Offload)
					}
				} else if err := verify(p.Bytes(), false); err != nil {
					t.Error(err)
				}
				finish(p)
				s := read(t, p.Bytes(), false)
				if s.ip.IsLaterFragment() {
					stream.WriteString(string(s.l4))
					continue
				}
				c := header.TCP(s.l4)
				if got, want := c.Seq(), uint32(1000+stream.Len()); got != want {
					t.Errorf("segment %d has sequence number %d; want %d", i, got, want)
				}
				if fin := c.Flags()&header.FIN != 0; fin && stream.Len()+len(s.l4)-20 != len(payload) && !s.ip.IsFragment() {
					t.Errorf("segment %d has the FIN", i)
				}
				stream.WriteString(string(s.l4[20:]))
			}
			if stream.String() != payload {
				t.Errorf("%d bytes arrived; want the %d sent", stream.Len(), len(payload))
			}
			g.settle()
		})
	}
}
