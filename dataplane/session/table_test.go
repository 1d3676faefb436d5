package session

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"openvra/dataplane/flow"
)

var secret = flow.NewHasher([3]uint64{0x1234567, 0x89abcdef, 0x13579bdf})

// example are timeouts of which no two are alike.
var example = Timeouts{
	TCPSyn: 240 * time.Second, TCPEstablished: 7440 * time.Second, TCPTransitory: 250 * time.Second, TCPReset: 260 * time.Second,
	UDP: 300 * time.Second, UDPNew: 30 * time.Second, ICMP: 60 * time.Second, Other: 600 * time.Second,
}

func newTable[K comparable](limit int, hash func(K) uint64) *Table[K] {
	t := New(limit, hash)
	t.SetTimeouts(example.Ticks())
	return t
}

// key4 returns the keys of a flow by its number; every fourth one is translated.
func key4(n int) (orig, reply flow.Key) {
	orig = flow.Make(0x0a000000|uint32(n>>4), 0xc6336400|uint32(n&15), uint16(n), 443, flow.TCP, uint16(n%3))
	reply = orig.Reverse(1)
	if n%4 == 0 {
		reply = flow.Make(orig.Dst(), 0xcb007101, orig.DstPort(), uint16(n), flow.TCP, 9)
	}
	return orig, reply
}

func key6(n int) (orig, reply flow.Key6) {
	orig = flow.Key6{Src: [2]uint64{0x20010db8 << 32, uint64(n)}, Dst: [2]uint64{0x20010db8<<32 | 1, 7}, SrcPort: uint16(n), DstPort: 443, Proto: flow.TCP}
	return orig, flow.Key6{Src: orig.Dst, Dst: orig.Src, SrcPort: 443, DstPort: orig.SrcPort, Proto: flow.TCP}
}

// TestTableKeys runs the table beside a map of Go, with the keys of both families.
func TestTableKeys(t *testing.T) {
	t.Run("v4", func(t *testing.T) { twin(t, secret.Hash, key4) })
	t.Run("v6", func(t *testing.T) { twin(t, secret.Hash6, key6) })
	t.Run("v4, one hash for all", func(t *testing.T) { twin(t, func(flow.Key) uint64 { return 7 << 32 }, key4) })
}

// model is the slow twin: what a table does, with Go's maps.
type model[K comparable] struct {
	flow map[K]int
	of   map[int]*modelSession
	id   map[int]ID
}

type modelSession struct {
	state State
	seen  uint32
}

func twin[K comparable](t *testing.T, hash func(K) uint64, keys func(int) (K, K)) {
	const limit, flows = 200, 400
	rnd := rand.New(rand.NewPCG(3, 14))
	tab := newTable(limit, hash)
	m := model[K]{map[K]int{}, map[int]*modelSession{}, map[int]ID{}}
	now := Ticks(1e9)
	number := map[ID]int{}
	gone := func(id ID) {
		n, ok := number[id]
		if !ok || m.of[n] == nil {
			t.Fatalf("session %d ends, which is not there", id)
		}
		s := m.of[n]
		if got := tab.At(id); got.State != s.state || got.LastSeen != s.seen {
			t.Fatalf("session %d ends as %v, last seen %d; want %v, %d", id, got.State, got.LastSeen, s.state, s.seen)
		}
		o, r := keys(n)
		delete(m.flow, o)
		delete(m.flow, r)
		delete(m.of, n)
		delete(m.id, n)
		delete(number, id)
	}
	shed := func(id ID) {
		if !tab.At(id).State.HalfOpen() {
			t.Fatalf("a live session was evicted in state %v", tab.At(id).State)
		}
		gone(id)
	}
	states := []State{SynSent, SynReceived, Established, FinWait, Closing, UDPNew, UDPStream, ICMPQuery, Other}
	for step := range 60000 {
		n := rnd.IntN(flows)
		o, r := keys(n)
		id, dir := tab.Find(hash(o), o)
		back, rdir := tab.Find(hash(r), r)
		if id != m.id[n] || back != m.id[n] || id != 0 && (dir != Original || rdir != Reply) {
			t.Fatalf("step %d: flow %d found as %d %d and %d %d; want %d", step, n, id, dir, back, rdir, m.id[n])
		}
		switch op := rnd.IntN(100); {
		case op < 40 && id == 0:
			st := states[rnd.IntN(len(states))]
			full := tab.Used() == limit
			half := tab.HalfOpen()
			id := tab.Insert(o, r, st, now, shed)
			if id == 0 {
				// A hash that is the same for all fills one stretch of the index.
				if full && half == 0 || hash(o) == 7<<32 {
					break
				}
				t.Fatalf("step %d: no room at %d sessions, %d half open", step, tab.Used(), half)
			}
			m.flow[o], m.flow[r] = n, n
			m.of[n], m.id[n], number[id] = &modelSession{state: st, seen: now}, id, n
		case op < 55 && id != 0:
			gone(id)
			tab.Remove(id)
			tab.Remove(id) // once more does nothing
		case op < 75 && id != 0:
			m.of[n].state = states[rnd.IntN(len(states))]
			tab.SetState(id, m.of[n].state, now)
		case op < 95 && id != 0:
			m.of[n].seen = now
			tab.At(id).LastSeen = now
		case op >= 97:
			now += uint32(rnd.IntN(64))
			tab.Expire(now, 1+rnd.IntN(50), func(id ID) {
				if s := tab.At(id); s.Idle(now) < example.Ticks()[s.State] {
					t.Fatalf("step %d: %v ends after %d ticks", step, s.State, s.Idle(now))
				}
				gone(id)
			})
		}
		if tab.Used() != len(m.of) {
			t.Fatalf("step %d: got %d sessions; want %d", step, tab.Used(), len(m.of))
		}
		if step%1000 == 0 {
			compare(t, tab, &m)
		}
	}
	compare(t, tab, &m)
	now += Ticks(int64(example.TCPEstablished)) + 64
	for range 10000 {
		tab.Expire(now, 256, gone)
		now += 8
	}
	if tab.Used() != 0 || tab.HalfOpen() != 0 {
		t.Errorf("after all timeouts: %d sessions, %d half open; want none", tab.Used(), tab.HalfOpen())
	}
	for i := range tab.buckets {
		if tab.buckets[i] != (bucket{}) {
			t.Fatalf("bucket %d of the empty table: got %v", i, tab.buckets[i])
		}
	}
}

// compare checks counts and what Scan shows against the model.
func compare[K comparable](t *testing.T, tab *Table[K], m *model[K]) {
	t.Helper()
	half, seen := 0, 0
	for from := ID(1); from != 0; {
		from = tab.Scan(from, 17, func(id ID, s *Session[K]) {
			seen++
			n, ok := m.flow[s.Key[Original]]
			if !ok || m.id[n] != id || m.of[n].state != s.State {
				t.Fatalf("Scan shows session %d of flow %d in %v, which the model does not have", id, n, s.State)
			}
		})
	}
	for _, s := range m.of {
		half += b2i(s.state.HalfOpen())
	}
	if seen != len(m.of) || tab.HalfOpen() != half {
		t.Fatalf("got %d sessions, %d half open; want %d, %d", seen, tab.HalfOpen(), len(m.of), half)
	}
}

// TestBucketsAligned asks that a bucket is one cache line, whatever the table's size.
func TestBucketsAligned(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 100, 1000, 1 << 16} {
		tab := New(limit, secret.Hash)
		if at := uintptr(unsafe.Pointer(&tab.buckets[0])) % 64; at != 0 {
			t.Errorf("limit %d: buckets start %d bytes into a cache line", limit, at)
		}
	}
	if got := unsafe.Sizeof(bucket{}); got != 64 {
		t.Errorf("bucket: got %d bytes; want 64", got)
	}
	var s Session[flow.Key]
	if got := unsafe.Sizeof(s); got != 128 {
		t.Errorf("session: got %d bytes; want 128", got)
	}
	if got := unsafe.Offsetof(s.Bytes); got != 64 {
		t.Errorf("what is counted starts at byte %d; want 64, the second cache line", got)
	}
}

func TestBytesPerSession(t *testing.T) {
	for _, limit := range []int{1000, 10_000, 1 << 20, 1_000_000, 1_300_000} {
		tab := Table[flow.Key]{buckets: make([]bucket, buckets(limit)), slab: make([]Session[flow.Key], limit+1)}
		if got := tab.Bytes(); got > 160 {
			t.Errorf("limit %d: got %.1f bytes a session; want at most 160", limit, got)
		}
	}
}

// TestFullTableFindsRoom fills tables to the last session: the index must not be what
// runs out.
func TestFullTableFindsRoom(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 5, 8, 100, 4096, 100_000} {
		tab := newTable(limit, secret.Hash)
		for n := range limit {
			o, r := key4(n)
			if tab.Insert(o, r, Established, 1, nil) == 0 {
				t.Fatalf("limit %d: no room for session %d", limit, n)
			}
		}
		o, r := key4(limit)
		if tab.Insert(o, r, Established, 1, nil) != 0 {
			t.Errorf("limit %d: one more was taken", limit)
		}
	}
}

// TestExpiryIsExact: a session ends never before its time, and within two slots of
// the wheel after it, whatever its state and however often it was refreshed.
func TestExpiryIsExact(t *testing.T) {
	for st := SynSent; st < States; st++ {
		for _, refreshed := range []int64{0, 1, 100, 5000} {
			tab := newTable(10, secret.Hash)
			at := int64(1e9)
			o, r := key4(1)
			id := tab.Insert(o, r, st, Ticks(at), nil)
			last := at + refreshed*1e9
			timeout := int64(example.Ticks()[st]) << tickShift
			ended := int64(0)
			for now := at; ended == 0 && now < last+timeout+10e9; now += 50e6 {
				if now <= last {
					tab.At(id).LastSeen = Ticks(now)
				}
				tab.Expire(Ticks(now), 16, func(ID) { ended = now })
			}
			last -= last % 50e6
			if d := ended - last; ended == 0 || d < timeout-2<<tickShift || d > timeout+3<<(tickShift+wheelTick) {
				t.Errorf("%v refreshed until %d s: ended %.2f s after; want %.2f s and two slots at most", st, refreshed, float64(d)/1e9, float64(timeout)/1e9)
			}
		}
	}
}

// TestTimeoutsAreAtLeast what was asked for, in nanoseconds, however the ticks fall.
func TestTimeoutsAreAtLeast(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		d := rnd.Int64N(1e12)
		ticks := Timeouts{UDP: time.Duration(d)}.Ticks()[UDPStream]
		from := rnd.Int64N(1e15)
		s := Session[flow.Key]{LastSeen: Ticks(from)}
		if to := from + d - 1; s.Idle(Ticks(to)) >= ticks {
			t.Fatalf("from %d: over after %d ns; want %d", from, to-from, d)
		}
	}
}

// TestExpireAfterSleep: nobody called for longer than the wheel turns.
func TestExpireAfterSleep(t *testing.T) {
	tab := newTable(100, secret.Hash)
	for n := range 100 {
		o, r := key4(n)
		tab.Insert(o, r, []State{UDPStream, Established}[n%2], Ticks(1e9), nil)
	}
	tab.Expire(Ticks(2e9), 256, nil)
	ended := 0
	tab.Expire(Ticks(7000e9), 256, func(ID) { ended++ })
	if ended != 50 || tab.Used() != 50 {
		t.Errorf("got %d ended, %d left; want 50 and 50", ended, tab.Used())
	}
}

// TestSheddingTakesTheOldest fills a table with half-open sessions: each new one takes
// the place of the oldest.
func TestSheddingTakesTheOldest(t *testing.T) {
	tab := newTable(64, secret.Hash)
	var made, shed []ID
	for n := range 200 {
		now := Ticks(int64(1+n) * 1.1e9)
		tab.Expire(now, 256, nil)
		o, r := key4(n)
		id := tab.Insert(o, r, SynSent, now, func(id ID) { shed = append(shed, id) })
		made = append(made, id)
	}
	if len(shed) != 200-64 {
		t.Fatalf("got %d shed; want %d", len(shed), 200-64)
	}
	for i := range shed {
		if shed[i] != made[i] {
			t.Fatalf("shed %d: got session %d; want %d, the oldest", i, shed[i], made[i])
		}
	}
}

// TestHairpinToItself: both keys are one; there is one entry, and it goes with the
// session.
func TestHairpinToItself(t *testing.T) {
	tab := newTable(4, secret.Hash)
	k := flow.Make(0x0a000001, 0x0a000001, 80, 80, flow.TCP, 0)
	id := tab.Insert(k, k, SynSent, 1, nil)
	if got, dir := tab.Find(tab.Hash(k), k); got != id || dir != Original {
		t.Errorf("got %d %d; want %d 0", got, dir, id)
	}
	tab.Remove(id)
	if got, _ := tab.Find(tab.Hash(k), k); got != 0 {
		t.Errorf("got %d after Remove", got)
	}
	for i := range tab.buckets {
		if tab.buckets[i] != (bucket{}) {
			t.Errorf("bucket %d is not empty", i)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	tab := newTable(64, secret.Hash)
	now := uint32(100)
	none := func(ID) {}
	n := 0
	if got := testing.AllocsPerRun(1000, func() {
		o, r := key4(n % 100)
		n++
		id, _ := tab.Find(tab.Hash(o), o)
		if id == 0 {
			id = tab.Insert(o, r, SynSent, now, none)
		}
		tab.Track(id, Original, Segment{Seq: 1, Flags: 2}, now)
		tab.Track(id, Reply, Segment{Seq: 1, Ack: 2, Flags: 0x12}, now)
		now += 16
		tab.Expire(now, 10, none)
	}); got != 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}
