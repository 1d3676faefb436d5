package tests

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

// stormPorts is how many outside ports the storm has.
const stormPorts = 64

// storm configurations: as ever; from another pool; without translation; another way.
func stormConfigs() []string {
	pool := strings.Replace(coreYAML, "translate: masquerade", fmt.Sprintf("translate: {addresses: [203.0.113.40], ports: 4000-%d}", 4000+stormPorts-1), 1)
	static := strings.Replace(pool, "oneToOne:\n", "oneToOne:\n    - {name: five, outside: 203.0.113.40, inside: 10.0.0.5, out: [outside]}\n", 1)
	static = strings.Replace(static, "translate: {addresses: [203.0.113.40]", "translate: {addresses: [203.0.113.41]", 1)
	return []string{
		pool, pool,
		strings.Replace(pool, "203.0.113.40", "203.0.113.41", 1),
		strings.Replace(pool, "from: [10.0.0.0/8, 172.30.0.0/16]", "from: [192.0.2.0/24]", 1),
		strings.Replace(pool, "to: 0.0.0.0/0, via: [203.0.113.1]", "to: 0.0.0.0/0, via: [203.0.113.99]", 1),
		static,
	}
}

// TestStorm lets random flows, answers, errors, fragments, reloads, ports that go down and
// time happen in any order, at one worker and at three. After each: nothing has panicked,
// everything is accounted for, what left has right checksums, and a flow that may never
// pass has not. In the end no outside port is lost.
func TestStorm(t *testing.T) {
	for _, workers := range []int{1, 3} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%d workers, seed %d", workers, seed), func(t *testing.T) {
				configs := stormConfigs()
				s := &storm{gate: newGate(t, configs[0], gateOptions{workers: workers, seed: seed}), rnd: rand.New(rand.NewPCG(seed, 77)), configs: configs}
				for range 1500 {
					s.step()
				}
				s.end()
			})
		}
	}
}

type storm struct {
	*gate
	rnd     *rand.Rand
	configs []string
	left    [][]byte // that left by outside
	down    bool
}

func (s *storm) somewhere(port string, l3 []byte) {
	s.at(s.rnd.IntN(s.workers), port, s.frame(port, l3))
}

// packet returns a random one from inside.
func (s *storm) inside() []byte {
	h := v4{src: []string{"10.0.0.5", "10.0.0.6", "10.0.0.20", "172.30.1.7", "172.30.2.10"}[s.rnd.IntN(5)], dst: fmt.Sprintf("198.51.100.%d", 1+s.rnd.IntN(4)), id: uint16(s.rnd.Uint32())}
	if s.rnd.IntN(4) == 0 {
		h.dst = "203.0.113.2" // hairpin
	}
	sport := uint16(5000 + s.rnd.IntN(20))
	var b []byte
	switch flags := []uint8{header.SYN, header.SYN, header.ACK, header.FIN | header.ACK, header.RST}[s.rnd.IntN(5)]; s.rnd.IntN(4) {
	case 0:
		b = h.udp(sport, 53, "question")
	case 1:
		b = h.ping(sport, "question")
	default:
		b = h.tcp(sport, []uint16{80, 8081}[s.rnd.IntN(2)], flags, uint32(s.rnd.IntN(10000)), uint32(s.rnd.IntN(10000)), "")
	}
	if h.src == "172.30.2.10" {
		b = fromW2.ipip(b)
	}
	return b
}

func (s *storm) step() {
	s.t.Helper()
	switch n := s.rnd.IntN(100); {
	case n < 45:
		s.somewhere("inside", s.inside())
	case n < 65 && len(s.left) > 0: // an answer, or an error, or a RST
		sent := s.left[s.rnd.IntN(len(s.left))]
		h := header.IPv4(sent)
		switch {
		case s.rnd.IntN(4) == 0:
			s.somewhere("outside", v4{src: "198.51.100.1", dst: addrOf(h.Src()).String()}.quoting(3, uint8(s.rnd.IntN(5)), 1000, sent, 28+s.rnd.IntN(30)))
		case h.Protocol() == flow.TCP && s.rnd.IntN(3) == 0:
			u := header.UDP(sent[20:])
			s.somewhere("outside", v4{src: addrOf(h.Dst()).String(), dst: addrOf(h.Src()).String()}.tcp(u.DstPort(), u.SrcPort(), []uint8{header.RST, header.FIN | header.ACK}[s.rnd.IntN(2)], uint32(s.rnd.IntN(10000)), 1, ""))
		default:
			s.somewhere("outside", answer(append([]byte(nil), sent...)))
		}
	case n < 70:
		for _, f := range split(v4{src: "10.0.0.6", dst: "198.51.100.1", id: uint16(s.rnd.Uint32())}.udp(5000, 53, strings.Repeat("x", 100)), 40) {
			if s.rnd.IntN(4) > 0 {
				s.somewhere("inside", f)
			}
		}
	case n < 80:
		s.somewhere("outside", v4{src: "198.51.100.9", dst: "203.0.113.2"}.tcp(uint16(4000+s.rnd.IntN(9)), 8081, header.SYN, 1, 0, ""))
	case n < 85: // must never pass
		s.somewhere("outside", v4{src: "198.51.100.250", dst: "203.0.113.40"}.udp(6666, uint16(4000+s.rnd.IntN(stormPorts)), "probe"))
	case n < 88:
		s.apply(s.configs[s.rnd.IntN(len(s.configs))])
	case n < 90:
		s.down = !s.down
		s.near["outside"].SetUp(!s.down)
		if s.rnd.IntN(2) == 0 {
			s.apply(s.configs[s.rnd.IntN(len(s.configs))])
		}
	case n < 93:
		s.wait(s.rnd.Int64N(300e9))
	}
	s.settle()
	s.check()
}

// check looks at what left.
func (s *storm) check() {
	s.t.Helper()
	for _, w := range s.off.Workers() {
		if n := w.Counters.Panics.Load(); n != 0 {
			s.t.Fatalf("%d panics", n)
		}
	}
	for _, p := range []string{"inside", "outside", "narrow", "host"} {
		for _, f := range s.out(p) {
			if strings.Contains(string(f), "probe") && p != "outside" && !strings.Contains(string(f), "\x0a\x00\x00\x05") {
				s.t.Fatalf("a probe passed by %s: %x", p, f)
			}
			if p == "outside" && len(f) > 34 && f[12] == 8 && f[13] == 0 {
				if x := read(s.t, f, false); !x.ip.IsFragment() && len(x.ip) < 200 && header.IPv4(x.ip).HeaderLen() == 20 && x.ip.Protocol() != flow.ICMP {
					if s.left = append(s.left, x.ip); len(s.left) > 50 {
						s.left = s.left[1:]
					}
				}
			}
		}
	}
}

// end lets everything time out; then each outside port can be used again.
func (s *storm) end() {
	s.t.Helper()
	s.near["outside"].SetUp(true)
	s.apply(s.configs[0])
	s.wait(8000e9)
	s.wait(200e9)
	s.check()
	if n := s.sessions(); n != 0 {
		s.t.Fatalf("%d sessions are left", n)
	}
	refused := s.drops()[drop.NATPortsExhausted]
	for i := range uint16(stormPorts) {
		s.somewhere("inside", v4{src: "10.0.0.6", dst: "198.51.100.77"}.udp(20000+2*(i/2)+i%2, 53, "x"))
		s.settle()
	}
	if n := len(s.out("outside")); n != stormPorts || s.drops()[drop.NATPortsExhausted] != refused {
		s.t.Errorf("%d of %d outside ports are free at the end; drops %v", n, stormPorts, s.drops())
	}
	s.somewhere("inside", v4{src: "10.0.0.6", dst: "198.51.100.77"}.udp(30000, 53, "x"))
	s.settle()
	if s.drops()[drop.NATPortsExhausted] != refused+1 {
		s.t.Error("one more found a port: the test does not count what it should")
	}
}
