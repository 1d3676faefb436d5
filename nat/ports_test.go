package nat

import (
	"math/rand/v2"
	"testing"
)

// randomPortSet returns a few random ranges.
func randomPortSet(r *rand.Rand) portSet {
	var s []PortRange
	for range r.IntN(6) {
		first := uint16(r.Uint32())
		s = append(s, PortRange{first, first + uint16(min(r.IntN(3000), 65535-int(first)))})
	}
	return mergePorts(s)
}

func TestPortSetWordsAgreeWithHas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		s := randomPortSet(r)
		for p := range 65536 {
			if s.word(p>>6)>>(p&63)&1 == 1 != s.has(uint16(p)) {
				t.Fatalf("set %v: word and has differ for port %d", s, p)
			}
		}
	}
	if got := (portSet{allPorts}).word(1023); got != ^uint64(0) {
		t.Errorf("got %x as last word of all ports", got)
	}
}

// slowPorts is portMap without words: a bool a port.
type slowPorts [65536]bool

// free says whether claim may answer port.
func (m *slowPorts) free(q *request, port int) bool {
	return q.within.has(uint16(port)) && !q.held.has(uint16(port)) && !m[port]
}

// any says whether there is a free port, of the wanted parity if same.
func (m *slowPorts) any(q *request, same bool) bool {
	for p := int(q.within.First); p <= int(q.within.Last); p++ {
		if m.free(q, p) && (!same || uint16(p)&1 == q.port&1) {
			return true
		}
	}
	return false
}

func TestPortMapAgreesWithSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		fast, slow := &portMap{}, &slowPorts{}
		first := uint16(r.Uint32())
		within := PortRange{first, first + uint16(min(r.IntN(500), 65535-int(first)))}
		held := randomPortSet(r)
		var taken []uint16
		for range 1500 {
			if len(taken) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(taken))
				fast.release(taken[i])
				slow[taken[i]] = false
				taken[i] = taken[len(taken)-1]
				taken = taken[:len(taken)-1]
				continue
			}
			q := &request{port: within.First + uint16(r.IntN(600)), within: within, parity: r.IntN(2) == 0, held: held, random: r.Uint64()}
			port, _, ok := fast.claim(q)
			switch {
			case ok != slow.any(q, false):
				t.Fatalf("within %v held %v: claim says %v; the twin the opposite", within, held, ok)
			case !ok:
				continue
			case !slow.free(q, int(port)):
				t.Fatalf("within %v held %v: got port %d, which is not free", within, held, port)
			case slow.free(q, int(q.port)) && port != q.port:
				t.Fatalf("got port %d; want %d, which is free", port, q.port)
			case q.parity && port&1 != q.port&1 && slow.any(q, true):
				t.Fatalf("got port %d for %d though one of its parity is free", port, q.port)
			}
			slow[port] = true
			taken = append(taken, port)
		}
	}
}

func TestPortMapLookIsBounded(t *testing.T) {
	m := &portMap{}
	q := &request{port: 40000, within: PortRange{1024, 65535}, parity: true}
	r := rand.New(rand.NewPCG(5, 6))
	claim := func() (int, bool) {
		q.random = r.Uint64()
		_, looked, ok := m.claim(q)
		return looked, ok
	}
	for n := range 64512 {
		if looked, ok := claim(); !ok || looked > 2*1024 {
			t.Fatalf("claim %d: got %v after %d words; want a port within 2,048", n, ok, looked)
		}
	}
	for range 1000 {
		if looked, ok := claim(); ok || looked > 40 {
			t.Fatalf("full: got %v after %d words; want none within 40", ok, looked)
		}
	}
	m.release(50001)
	if _, ok := claim(); !ok {
		t.Error("the only free port is not found")
	}
}

func TestPortMapsAreBounded(t *testing.T) {
	m := newPortMaps(3)
	a := m.get(1, classTCP)
	if b := m.get(1, classUDP); a == nil || b == nil || a == b {
		t.Fatal("two protocols share ports")
	}
	m.get(2, classTCP)
	if m.get(3, classTCP) != nil {
		t.Error("got a fourth port map; want none past the limit of 3")
	}
	if m.get(1, classTCP) != a {
		t.Error("a port map is not found again")
	}
}
