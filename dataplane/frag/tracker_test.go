package frag

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/packet"
)

// step is a fragment and the verdict on it.
type step struct {
	part
	want string
}

func TestTrack(t *testing.T) {
	rows := []struct {
		name  string
		steps []step
		left  int // datagrams known afterwards
	}{
		{"in order (REQ-14)", []step{
			{part{n: 800, more: true}, "pass 1000>53"},
			{part{from: 800, n: 800, more: true}, "pass 1000>53"},
			{part{from: 1600, n: 5}, "pass 1000>53"},
		}, 0},
		{"the first one last", []step{
			{part{from: 1600, n: 5}, "held"},
			{part{from: 800, n: 800, more: true}, "held"},
			{part{n: 800, more: true}, "pass 1000>53 +800 +1600"},
		}, 0},
		{"the first one in between", []step{
			{part{from: 1600, n: 5}, "held"},
			{part{n: 800, more: true}, "pass 1000>53 +1600"},
			{part{from: 800, n: 800, more: true}, "pass 1000>53"},
		}, 0},
		{"two datagrams, two sources", []step{
			{part{from: 8, n: 8}, "held"},
			{part{id: 1, n: 8, more: true}, "pass 1001>53"},
			{part{src: server, from: 8, n: 8}, "held"},
			{part{n: 8, more: true}, "pass 1000>53 +8"},
			{part{id: 1, from: 8, n: 8}, "pass 1001>53"},
		}, 1},
		{"an echo has its identifier as ports", []step{{part{proto: flow.ICMP, n: 800, more: true}, "pass 77>77"}}, 1},
		{"GRE has none", []step{{part{proto: flow.GRE, n: 800, more: true}, "pass 0>0"}}, 1},

		{"overlap from behind kills the datagram (RFC 5722)", []step{
			{part{n: 800, more: true}, "pass 1000>53"},
			{part{from: 792, n: 16, more: true}, "fragment_overlap"},
			{part{from: 800, n: 800}, "fragment_overlap"},
		}, 1},
		{"overlap from the front", []step{
			{part{from: 800, n: 800, more: true}, "held"},
			{part{n: 808, more: true}, "fragment_overlap lost 1 fragment_overlap"},
			{part{n: 800, more: true}, "fragment_overlap"},
		}, 1},
		{"one within another (Teardrop)", []step{
			{part{n: 800, more: true}, "pass 1000>53"},
			{part{from: 24, n: 4}, "fragment_overlap"},
			{part{from: 800, n: 8}, "fragment_overlap"},
		}, 1},
		{"one around another", []step{
			{part{from: 16, n: 16, more: true}, "held"},
			{part{from: 8, n: 32, more: true}, "fragment_overlap lost 1 fragment_overlap"},
		}, 1},
		{"same start, another length", []step{
			{part{n: 16, more: true}, "pass 1000>53"},
			{part{n: 24, more: true}, "fragment_overlap"},
			{part{from: 24, n: 8}, "fragment_overlap"},
		}, 1},
		{"a first one again, with other ports inside, is dropped alone", []step{
			{part{n: 800, more: true}, "pass 1000>53"},
			{part{n: 800, more: true, fill: 9}, "fragment_overlap"},
			{part{from: 800, n: 800}, "pass 1000>53"},
		}, 0},
		{"one that waits, again", []step{
			{part{from: 800, n: 800}, "held"},
			{part{from: 800, n: 800}, "fragment_overlap"},
			{part{n: 800, more: true}, "pass 1000>53 +800"},
		}, 0},

		{"two ends, the second shorter", []step{
			{part{from: 1600, n: 8}, "held"},
			{part{from: 800, n: 8}, "fragment_malformed lost 1 fragment_malformed"},
			{part{n: 800, more: true}, "fragment_malformed"},
		}, 1},
		{"two ends, the second longer", []step{
			{part{from: 800, n: 8}, "held"},
			{part{from: 1600, n: 8}, "fragment_malformed lost 1 fragment_malformed"},
		}, 1},
		{"more behind the end", []step{
			{part{from: 800, n: 8}, "held"},
			{part{from: 1600, n: 8, more: true}, "fragment_malformed lost 1 fragment_malformed"},
		}, 1},
		{"an end before what came", []step{
			{part{from: 1600, n: 8, more: true}, "held"},
			{part{from: 800, n: 8}, "fragment_malformed lost 1 fragment_malformed"},
		}, 1},

		{"nothing in it", []step{{part{n: 0, more: true}, "fragment_malformed"}, {part{from: 8}, "fragment_malformed"}}, 0},
		{"not a multiple of eight", []step{{part{n: 801, more: true}, "fragment_malformed"}}, 0},
		{"past the end of any datagram (ping of death)", []step{{part{from: 65528, n: 8}, "fragment_malformed"}}, 0},
		{"to the very end", []step{{part{from: 65504, n: 11}, "held"}}, 1},
		{"a TCP header cut (RFC 1858)", []step{{part{proto: flow.TCP, n: 16, more: true}, "fragment_malformed"}}, 0},
		{"TCP options cut", []step{{part{proto: flow.TCP, n: 24, more: true, cut: true}, "fragment_malformed"}}, 0},
		{"a TCP header whole", []step{{part{proto: flow.TCP, n: 24, more: true}, "pass 1000>53"}}, 1},
		{"TCP flags written over (RFC 3128)", []step{{part{proto: flow.TCP, from: 8, n: 24, more: true}, "fragment_malformed"}}, 0},
		{"UDP at the same place is in order", []step{{part{from: 8, n: 24, more: true}, "held"}}, 1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			tr := tracker(t, func(*Config) {})
			for i, s := range r.steps {
				p := s.packet()
				was := bytes.Clone(p.Buf)
				if got := tr.Track(p, 0, sec).String(); got != s.want {
					t.Fatalf("fragment %d: got %q; want %q", i, got, s.want)
				}
				if !bytes.Equal(p.Buf, was) {
					t.Fatalf("fragment %d changed", i)
				}
				check(t, tr)
			}
			if tr.Len() != r.left {
				t.Errorf("got %d datagrams left; want %d", tr.Len(), r.left)
			}
		})
	}
}

func TestRealmsAreApart(t *testing.T) {
	tr := tracker(t, func(*Config) {})
	tr.Track(part{n: 8, more: true}.packet(), 1, 0)
	if got := tr.Track(part{from: 8, n: 8}.packet(), 2, 0).String(); got != "held" {
		t.Errorf("got %q; want held", got)
	}
}

func TestHeldFragmentsAreCopies(t *testing.T) {
	tr := tracker(t, func(*Config) {})
	p := part{from: 8, n: 8}.packet()
	want := bytes.Clone(p.Bytes())
	tr.Track(p, 0, 0)
	clear(p.Buf)
	if v := tr.Track(part{n: 8, more: true}.packet(), 0, 0); len(v.Ready) != 1 || !bytes.Equal(v.Ready[0].Bytes(), want) {
		t.Error("the fragment that waited changed with the buffer it came in")
	}
}

func TestTimeout(t *testing.T) {
	tr := tracker(t, func(*Config) {})
	tr.Track(part{from: 8, n: 8, more: true}.packet(), 0, 0)
	tr.Track(part{from: 16, n: 8}.packet(), 0, 20*sec)
	tr.Track(part{id: 1, from: 8, n: 8}.packet(), 0, 20*sec)
	if n := tr.Tick(30*sec - 1); n != 0 {
		t.Errorf("got %d lost before the time is over", n)
	}
	if n := tr.Tick(30 * sec); n != 2 || tr.Held() != 1 || tr.Len() != 1 {
		t.Errorf("got %d lost, %d held; want 2 and 1", n, tr.Held())
	}
	// Without a Tick, the old datagram does not lend its ports to a new one.
	tr.Track(part{id: 2, n: 8, more: true}.packet(), 0, 40*sec)
	if got := tr.Track(part{id: 2, from: 8, n: 8}.packet(), 0, 70*sec).String(); got != "held" {
		t.Errorf("got %q; want held", got)
	}
	if got := tr.Track(part{id: 1, n: 8, more: true}.packet(), 0, 70*sec).String(); got != "pass 1001>53 lost 1 fragment_timeout" {
		t.Errorf("got %q", got)
	}
}

func TestFloodOfDatagramsIsBounded(t *testing.T) {
	tr := tracker(t, func(c *Config) { c.Datagrams = 100 })
	lost := 0
	for i := range 10_000 {
		lost += tr.Track(part{id: uint16(i), from: 8, n: 8}.packet(), 0, 0).Lost
	}
	if tr.Len() != 100 || tr.Held() != 100 || lost != 9900 {
		t.Errorf("got %d datagrams, %d held, %d lost; want 100, 100, 9900", tr.Len(), tr.Held(), lost)
	}
	if got := tr.Track(part{id: 9999, n: 8, more: true}.packet(), 0, 0).String(); got != "pass 10999>53 +8" {
		t.Errorf("the youngest: got %q", got)
	}
}

// TestFragmentSmack sends the fragments of CVE-2018-5391: one datagram in as many
// small parts as there can be, the first one never.
func TestFragmentSmack(t *testing.T) {
	tr := tracker(t, func(*Config) {})
	limited, lost := 0, 0
	for at := 65528 - 16; at > 0; at -= 8 {
		v := tr.Track(part{from: at, n: 8, more: true}.packet(), 0, 0)
		if v.Reason == drop.FragmentLimit {
			limited++
		}
		lost += v.Lost
	}
	if tr.Held() != 0 || lost != 64 || limited == 0 {
		t.Errorf("got %d held, %d lost, %d refused; want 0, 64 and the rest", tr.Held(), lost, limited)
	}
}

func TestBytesAreBounded(t *testing.T) {
	tr := tracker(t, func(c *Config) { c.Bytes = 10_000 })
	for i := range 100 {
		tr.Track(part{id: uint16(i), from: 8, n: 1400}.packet(), 0, 0)
		check(t, tr)
	}
	if tr.Held() != 6 {
		t.Errorf("got %d held; want 6", tr.Held())
	}
	if got := tr.Track(part{id: 99, n: 8, more: true}.packet(), 0, 0).String(); got != "fragment_limit" {
		t.Errorf("a datagram of which a part is missing: got %q", got)
	}
	if got := tr.Track(part{id: 200, n: 8, more: true}.packet(), 0, 0).String(); got != "pass 1200>53" {
		t.Errorf("one that comes in order needs no bytes: got %q", got)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no datagrams": func(c *Config) { c.Datagrams = 0 },
		"too many":     func(c *Config) { c.Datagrams = 1<<16 + 1 },
		"one fragment": func(c *Config) { c.Fragments = 1 },
		"5000":         func(c *Config) { c.Fragments = 5000 },
		"bytes":        func(c *Config) { c.Bytes = -1 },
		"timeout 0":    func(c *Config) { c.Timeout = 0 },
		"timeout 61 s": func(c *Config) { c.Timeout = 61 * sec },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// split returns a datagram of n bytes in parts of size.
func split(id uint16, n, size int) (parts []part) {
	for at := 0; at < n; at += size {
		parts = append(parts, part{id: id, from: at, n: min(size, n-at), more: at+size < n})
	}
	return parts
}

// TestAnyOrder tracks many datagrams at once, mixed up, and expects each fragment
// to leave once, with the right ports, and the first before the others.
func TestAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		tr := tracker(t, func(c *Config) { c.Fragments = 400 })
		var parts []part
		for id := range uint16(20) {
			parts = append(parts, split(id, 100+rnd.IntN(3000), 8*(1+rnd.IntN(60)))...)
		}
		rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		left := map[uint16][]*packet.Packet{}
		for _, f := range parts {
			p := f.packet()
			v := tr.Track(p, 0, 0)
			if v.Held {
				if again := tr.Track(p, 0, 0); again.Reason != drop.FragmentOverlap || again.Lost != 0 {
					t.Fatalf("a repetition of one that waits: got %v", again)
				}
				continue
			}
			left[f.id] = leave(t, left[f.id], p, v, f.id)
		}
		if tr.Len() != 0 || tr.Held() != 0 {
			t.Fatalf("got %d datagrams, %d held at the end", tr.Len(), tr.Held())
		}
		for id, ps := range left {
			if join(ps) == nil {
				t.Fatalf("datagram %d did not leave whole", id)
			}
		}
	}
}

// leave appends what may go on after a verdict, the fragment itself first.
func leave(t *testing.T, ps []*packet.Packet, p *packet.Packet, v Verdict, id uint16) []*packet.Packet {
	t.Helper()
	if v.Reason != drop.None || v.SrcPort != 1000+id || v.DstPort != 53 {
		t.Fatalf("got %v; want ports %d and 53", v, 1000+id)
	}
	if len(ps) == 0 && offset(p) != 0 {
		t.Fatal("the first fragment did not leave first")
	}
	return append(append(ps, p), v.Ready...)
}

func TestTrackInOrderDoesNotAllocate(t *testing.T) {
	tr := tracker(t, func(*Config) {})
	a, b := part{n: 800, more: true}.packet(), part{from: 800, n: 800}.packet()
	n := testing.AllocsPerRun(100, func() {
		tr.Track(a, 0, 0)
		tr.Track(b, 0, 0)
	})
	if n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

// FuzzTrack reads fragments of one datagram from the input and holds the tracker
// against a map of bytes: nothing that leaves overlaps, nothing is counted twice.
func FuzzTrack(f *testing.F) {
	f.Add([]byte{0, 1, 1, 1, 1, 0})
	f.Add([]byte{1, 1, 0, 0, 1, 1})
	f.Add([]byte{0, 2, 1, 1, 2, 0, 3, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		tr := tracker(t, func(c *Config) { c.Fragments = 8; c.Bytes = 3000; c.Datagrams = 2 })
		taken := map[int]bool{}
		held, complete := 0, false
		for now := int64(0); len(in) >= 3 && !complete; now++ {
			fr := part{id: uint16(in[2] >> 4 & 1), from: int(in[0]) * 8, n: int(in[1]) * 4, more: in[2]&1 != 0}
			in = in[3:]
			if fr.from == 0 && !fr.more {
				continue // no fragment
			}
			if fr.id == 1 { // noise that competes for room
				v := tr.Track(fr.packet(), 0, now)
				held += boolInt(v.Held) - v.Lost - len(v.Ready)
				continue
			}
			p := fr.packet()
			before := tr.Len()
			v := tr.Track(p, 0, now)
			held += boolInt(v.Held) - v.Lost - len(v.Ready)
			if v.Reason != drop.None || v.Held {
				continue
			}
			if before > tr.Len() {
				complete = true // and may start anew
			}
			for _, q := range append([]*packet.Packet{p}, v.Ready...) {
				for i := range payload(q) {
					if at := offset(q)*8 + i; taken[at] {
						t.Fatalf("byte %d left twice", at)
					} else {
						taken[at] = true
					}
				}
			}
		}
		if held != tr.Held() {
			t.Fatalf("got %d held; counted %d", tr.Held(), held)
		}
		if lost := tr.Tick(1 << 40); lost != held || tr.Len() != 0 {
			t.Fatalf("got %d lost in the end, %d datagrams left; want %d", lost, tr.Len(), held)
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
