package tests

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// fuzzPorts are where FuzzFrame lets frames in, chosen by the first byte.
var fuzzPorts = []string{"inside", "outside", "narrow", "host"}

// frameSeeds are frames of every kind that the gateway meets.
func frameSeeds(g *gate) [][]byte {
	tcp := toNet.tcp(5000, 80, header.SYN, 1, 0, "")
	out := v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5000, 53, "question")
	seeds := [][]byte{
		g.frame("inside", toNet.udp(5000, 53, "question")),
		g.frame("inside", tcp),
		g.frame("inside", toNet.ping(5, "payload")),
		g.frame("inside", toNet.raw(47, make([]byte, 12))),
		g.frame("inside", fromW2.ipip(pod2.udp(5000, 53, "question"))),
		g.frame("inside", v4{src: "10.0.0.254", dst: "10.0.0.1"}.quoting(3, 4, 1400, v4{src: "10.0.0.1", dst: "10.0.1.12"}.ipip(pod2.udp(53, 5000, strings.Repeat("x", 60))), 80)),
		g.frame("inside", v4{src: "10.0.0.5", dst: "203.0.113.2"}.tcp(4000, 8081, header.SYN, 1, 0, "")),
		g.frame("inside", v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(1, 2, strings.Repeat("x", 1200))),
		g.frame("inside", v4{src: "10.0.0.5", dst: "192.0.2.5", df: true}.udp(1, 2, strings.Repeat("x", 1200))),
		g.frame("inside", v4{src: "10.0.0.5", dst: "10.0.0.1"}.tcp(4000, 22, header.SYN, 1, 0, "")),
		g.frame("outside", toGate.udp(53, 5000, "answer")),
		g.frame("outside", toGate.tcp(4000, 8081, header.SYN, 1, 0, "")),
		g.frame("outside", v4{src: "198.51.100.1", dst: "203.0.113.2"}.quoting(11, 0, 0, out, 36)),
		g.frame("outside", v4{src: "198.51.100.7", dst: "203.0.113.20"}.ping(7, "x")),
		tagged(g.frame("inside", v4{src: "10.1.0.5", dst: "192.0.2.5"}.udp(1, 2, "x")), 0x8100_0064),
		tagged(g.frame("inside", v4{src: "10.2.0.5", dst: "192.0.2.5"}.udp(1, 2, "x")), 0x88a8_00c8, 0x8100_0007),
		ether(broadcast, 0x0806, arp(1, stranger, "10.0.0.9", "10.0.0.1")),
		v4{src: "203.0.113.2", dst: "198.51.100.7"}.tcp(5000, 443, header.SYN, 1, 0, ""),
	}
	for _, f := range split(v4{src: "10.0.0.5", dst: "192.0.2.5", id: 4}.udp(1, 2, strings.Repeat("y", 100)), 40) {
		seeds = append(seeds, g.frame("inside", f))
	}
	return seeds
}

// FuzzFrame sends a frame the whole way, after flows that it may belong to. Nothing may
// panic, every packet ends once, every packet that leaves has a right IPv4 checksum, and,
// if it came with right checksums, a right transport checksum.
//
// The first byte chooses the port (low 2 bits), and whether checksums are made right
// first, without which few inputs would get far.
func FuzzFrame(f *testing.F) {
	seeds := newGate(f, coreYAML, gateOptions{})
	for _, s := range frameSeeds(seeds) {
		for _, how := range []byte{0, 1, 3, 4, 5} {
			f.Add(append([]byte{how}, s...))
		}
	}
	g := newGate(f, coreYAML, gateOptions{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || len(in) > 2000 {
			return
		}
		g.t = t
		if g.sessions() > 500 {
			g = newGate(t, coreYAML, gateOptions{})
		}
		g.send("inside", toNet.udp(5000, 53, "q"))
		g.send("outside", toGate.tcp(4000, 8081, header.SYN, 1, 0, ""))
		drain(g)
		port := fuzzPorts[in[0]&3]
		frame := append([]byte(nil), in[1:]...)
		at := 14
		if port == "host" {
			at = 0
		}
		if in[0]&4 != 0 && len(frame) > at {
			makeRight(frame[at:], 0)
		}
		right := len(frame) > at && verifyIP(frame[at:]) == nil && !header.IPv4(frame[at:]).IsFragment()
		g.in(port, frame)
		if n := g.off.Workers()[0].Counters.Panics.Load(); n != 0 {
			t.Fatalf("%d panics", n)
		}
		for name := range g.far {
			for _, out := range g.raw(name) {
				if err := leaves(out, name == "host", right); err != nil {
					t.Fatalf("by %s: %v\nin  %x\nout %x", name, err, frame, out)
				}
			}
		}
		g.wait(1e6)
	})
}

func drain(g *gate) {
	for name := range g.far {
		g.raw(name)
	}
}

// leaves is verify, but looks at IPv4 headers alone if what came in was wrong.
func leaves(f []byte, l3, right bool) error {
	if right {
		return verify(f, l3)
	}
	b := append([]byte(nil), f...)
	if !l3 {
		if binary.BigEndian.Uint16(b[12:]) != header.TypeIPv4 {
			return nil
		}
		b = b[14:]
	}
	if checksum.Of(b[:header.IPv4(b).HeaderLen()]) != 0 {
		return errors.New("IPv4 checksum")
	}
	return nil
}

// makeRight writes the checksums, and lengths that lie within, of the IPv4 packet b and
// of what it carries.
func makeRight(b []byte, depth int) {
	h := header.IPv4(b)
	if len(b) < 20 || depth > 3 {
		return
	}
	hl := h.HeaderLen()
	if hl < 20 || hl > len(b) {
		return
	}
	n := h.TotalLen()
	if n < hl || n > len(b) {
		n = len(b)
		h.SetTotalLen(n)
	}
	l4 := b[hl:n]
	if !h.IsFragment() {
		switch h.Protocol() {
		case flow.IPIP:
			makeRight(l4, depth+1)
		case flow.ICMP:
			if len(l4) >= 8 {
				if header.ICMP(l4).IsError() {
					makeRight(l4[8:], depth+1)
				}
				header.ICMP(l4).SetChecksum(0)
				header.ICMP(l4).SetChecksum(checksum.Of(l4))
			}
		case flow.UDP:
			if len(l4) >= 8 {
				header.UDP(l4).SetLength(len(l4))
				header.UDP(l4).SetChecksum(0)
				header.UDP(l4).SetChecksum(transportSum(h, l4))
			}
		case flow.TCP:
			if len(l4) >= 20 {
				header.TCP(l4).SetChecksum(0)
				header.TCP(l4).SetChecksum(transportSum(h, l4))
			}
		}
	}
	reseal(b)
}

func transportSum(h header.IPv4, l4 []byte) uint16 {
	sum := ^checksum.Fold(checksum.Sum(l4, checksum.Pseudo(h.Src(), h.Dst(), h.Protocol(), len(l4))))
	if sum == 0 && h.Protocol() == flow.UDP {
		return 0xffff
	}
	return sum
}

// TestNoAllocs: a batch of packets that have their session costs no allocation.
func TestNoAllocs(t *testing.T) {
	rows := []struct {
		name, port string
		open       func(*gate)
		l3         []byte
	}{
		{"udp", "inside", nil, v4{src: "10.0.0.5", dst: "192.0.2.5"}.udp(1, 2, "x")},
		{"tcp", "inside", handshake, toNet.tcp(4000, 80, header.ACK, 1001, 5001, "x")},
		{"icmp", "inside", nil, v4{src: "10.0.0.5", dst: "192.0.2.5"}.ping(1, "x")},
		{"masquerade", "inside", nil, toNet.udp(5000, 53, "q")},
		{"masquerade, the answer", "outside", ask, toGate.udp(53, 5000, "a")},
		{"encap", "outside", nil, toGate.tcp(4000, 8081, header.SYN, 1, 0, "")},
		{"decap", "inside", nil, fromW2.ipip(pod2.udp(5000, 53, "q"))},
		{"to the host", "inside", nil, v4{src: "10.0.0.5", dst: "10.0.0.1"}.tcp(4000, 22, header.SYN, 1, 0, "")},
		{"ICMP error", "outside", ask, v4{src: "198.51.100.1", dst: "203.0.113.2"}.quoting(11, 0, 0, v4{src: "203.0.113.2", dst: "198.51.100.7"}.udp(5000, 53, "q"), 28)},
		{"dropped", "inside", nil, v4{src: "127.0.0.1", dst: "192.0.2.5"}.udp(1, 2, "x")},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			g := newGate(t, coreYAML, gateOptions{})
			if r.open != nil {
				r.open(g)
			}
			f := g.frame(r.port, r.l3)
			batch, bufs := make([]packet.Packet, packet.BatchSize), make([][]byte, packet.BatchSize)
			for i := range bufs {
				bufs[i] = make([]byte, packet.Headroom+len(f)+64)
			}
			w := g.off.Workers()[0]
			number, _ := g.off.PortNumber(r.port)
			var sink packet.Batch
			var far []link.Queue
			for _, p := range g.far {
				far = append(far, p.Queues()...)
			}
			step := func() {
				for i := range batch {
					batch[i].Set(bufs[i], f)
				}
				g.now += 1e6
				w.Inject(g.now, number, batch...)
				for _, q := range far {
					for q.Rx(&sink) == nil && sink.N > 0 {
					}
				}
			}
			step()
			if got := testing.AllocsPerRun(100, step); got != 0 {
				t.Errorf("got %v allocations for a batch; want 0", got)
			}
		})
	}
}
