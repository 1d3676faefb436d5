package neigh

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

const (
	sec          = int64(1e9)
	port         = 3
	us       MAC = 0x02005e100001
	peer     MAC = 0x02005e100002
	impostor MAC = 0x02005e1000ff
	ourIP        = 0xc0000201 // 192.0.2.1
	peerIP       = 0xc000020a // 192.0.2.10
)

func table(t testing.TB, c Config) *Table {
	t.Helper()
	tab, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, tab) })
	return tab
}

// check holds the table's structures against each other.
func check(t testing.TB, tab *Table) {
	t.Helper()
	total, ports := 0, map[uint16]int{}
	for s := range tab.lists {
		l, n, prev := &tab.lists[s], 0, int32(-1)
		for i := l.head; i >= 0; i = tab.entries[i].next {
			e := &tab.entries[i]
			if e.state != State(s) || e.prev != prev {
				t.Fatalf("list %v: entry %d is %v, behind %d; want behind %d", State(s), i, e.state, e.prev, prev)
			}
			if j, ok := tab.index[key{e.ip, e.port}]; e.state != Free && (!ok || i != j) {
				t.Fatalf("entry %d is not in the index", i)
			}
			if e.state != Free && e.state != Static {
				ports[e.port]++
			}
			if m := e.mac(); (m != 0 && m != unreachable) != (e.state == Reachable || e.state == Stale || e.state == Probe || e.state == Static) {
				t.Fatalf("entry %d is %v with MAC %v", i, e.state, m)
			}
			prev = i
			n++
		}
		if n != l.n || prev != l.tail {
			t.Fatalf("list %v: got %d entries and tail %d; want %d and %d", State(s), l.n, l.tail, n, prev)
		}
		total += n
	}
	if total != len(tab.entries) || len(tab.index) != total-tab.lists[Free].n {
		t.Fatalf("got %d entries on lists, %d in the index; want %d in all", total, len(tab.index), len(tab.entries))
	}
	for p, n := range ports {
		if tab.ports[p] != n || n > tab.perPort {
			t.Fatalf("port %d: got a count of %d; want %d, at most %d", p, tab.ports[p], n, tab.perPort)
		}
	}
	if len(ports) != len(tab.ports) {
		t.Fatalf("got counts for %d ports; want %d", len(tab.ports), len(ports))
	}
}

// expect checks the state of the peer and whether workers get its MAC.
func expect(t *testing.T, tab *Table, ref Ref, want State, mac MAC) {
	t.Helper()
	got := Free
	for _, e := range tab.Entries(0) {
		if e.IP == peerIP {
			got = e.State
		}
	}
	m, ok := tab.Lookup(ref)
	if got != want || m != mac || ok != (mac != 0) {
		t.Fatalf("got %v, MAC %v %v; want %v, %v", got, m, ok, want, mac)
	}
}

func TestLifeOfANeighbor(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	ref, s, ask := tab.Resolve(port, peerIP, 0)
	if s != Incomplete || !ask || ref == 0 {
		t.Fatalf("got %v %v %v", ref, s, ask)
	}
	if again, _, ask := tab.Resolve(port, peerIP, 1); again != ref || ask {
		t.Fatal("asked twice at once")
	}
	expect(t, tab, ref, Incomplete, 0)
	if v := answer(tab, peer, sec/2); v.Resolved != ref || v.Drop != 0 {
		t.Fatalf("got %+v", v)
	}
	expect(t, tab, ref, Reachable, peer)
	if reqs := tab.Tick(30*sec, nil); reqs != nil {
		t.Fatalf("got %v before it was due", reqs)
	}
	expect(t, tab, ref, Reachable, peer)

	tab.Tick(31*sec, nil)
	reqs := tab.Tick(32*sec, nil) // not used since
	if reqs != nil {
		t.Fatalf("got %v for a neighbor not in use", reqs)
	}
	expect(t, tab, ref, Stale, peer) // and this uses it
	want := []Request{{port, peerIP, peer}}
	if reqs := tab.Tick(33*sec, nil); !slices.Equal(reqs, want) {
		t.Fatalf("got %v; want %v", reqs, want)
	}
	expect(t, tab, ref, Probe, peer)
	answer(tab, peer, 33*sec+1)
	expect(t, tab, ref, Reachable, peer)
}

func TestNeighborThatNeverAnswers(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	n := 1
	for now := int64(0); now < 3*sec; now += sec / 10 {
		n += len(tab.Tick(now, nil))
	}
	if n != 3 {
		t.Errorf("got %d requests; want 3", n)
	}
	if tab.Gone(ref) {
		t.Error("given up too early")
	}
	tab.Tick(3*sec, nil)
	expect(t, tab, ref, Failed, 0)
	if !tab.Gone(ref) {
		t.Error("not given up")
	}
	if _, s, ask := tab.Resolve(port, peerIP, 5*sec); s != Failed || ask {
		t.Errorf("within three seconds: got %v %v; want failed", s, ask)
	}
	again, s, ask := tab.Resolve(port, peerIP, 6*sec)
	if s != Incomplete || !ask || again == ref {
		t.Errorf("after three seconds: got %v %v", s, ask)
	}
	for now := 7 * sec; now < 20*sec; now += sec {
		tab.Tick(now, nil)
	}
	if len(tab.Entries(0)) != 0 {
		t.Error("it is never forgotten")
	}
}

func TestNeighborThatGoesSilent(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	var to []MAC
	for now := int64(0); now <= 40*sec; now += sec / 4 {
		tab.Lookup(ref)
		for _, r := range tab.Tick(now, nil) {
			to = append(to, r.To)
		}
	}
	if want := []MAC{peer, peer, peer, Broadcast, Broadcast, Broadcast}; !slices.Equal(to, want) {
		t.Errorf("got requests to %v; want %v", to, want)
	}
	if !tab.Gone(ref) {
		t.Error("still there")
	}
}

func TestUnusedNeighborIsForgotten(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	tab.Tick(31*sec, nil)
	tab.Tick(630*sec, nil)
	if tab.Len(Stale) != 1 {
		t.Error("forgotten too early")
	}
	tab.Tick(632*sec, nil)
	if tab.Len(Stale) != 0 {
		t.Error("not forgotten")
	}
}

func TestRefOfAForgottenNeighborIsVoid(t *testing.T) {
	tab := table(t, Config{Capacity: 1})
	old, _, _ := tab.Resolve(port, peerIP, 0)
	for i := range uint32(70_000) { // more than there are generations
		ref, _, _ := tab.Resolve(port, 0xc0000300+i%2, 0)
		if ref == 0 || ref == old && i < 60_000 {
			t.Fatalf("%d: got ref %#x", i, ref)
		}
	}
	if _, ok := tab.Lookup(0); ok || !tab.Gone(0) {
		t.Error("the zero Ref names a neighbor")
	}
	if _, ok := tab.Lookup(Ref(9) << 16); ok || !tab.Gone(Ref(9)<<16) {
		t.Error("a Ref past the table names a neighbor")
	}
}

func TestFullTableForgetsWhoNeverAnswered(t *testing.T) {
	tab := table(t, Config{Capacity: 16})
	live, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	for i := range uint32(10_000) {
		if ref, _, _ := tab.Resolve(port, 0xc6336400+i, sec); ref == 0 {
			t.Fatalf("%d: no room", i)
		}
	}
	expect(t, tab, live, Reachable, peer)
	if n := tab.Len(Incomplete); n != 15 {
		t.Errorf("got %d incomplete; want 15", n)
	}
}

func TestFullTableKeepsNeighborsInUse(t *testing.T) {
	tab := table(t, Config{Capacity: 2})
	a, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	b, _, _ := tab.Resolve(port, peerIP+1, 0)
	arp{op: 2, from: peer + 1, ip: peerIP + 1, target: ourIP}.handle(tab, 0)
	if ref, s, ask := tab.Resolve(port, peerIP+2, 0); ref != 0 || s != Free || ask {
		t.Fatal("took the place of a reachable neighbor")
	}
	tab.Tick(31*sec, nil) // both stale
	tab.Lookup(a)
	if ref, _, _ := tab.Resolve(port, peerIP+2, 31*sec); ref == 0 {
		t.Fatal("did not take the place of a stale neighbor not in use")
	}
	expect(t, tab, a, Stale, peer)
	if _, ok := tab.Lookup(b); ok {
		t.Error("the neighbor not in use is still there")
	}
}

func TestPortIsBounded(t *testing.T) {
	tab := table(t, Config{Capacity: 100, PerPort: 10})
	for i := range uint32(50) {
		tab.Resolve(1, peerIP+i, 0)
		tab.Resolve(2, peerIP+i, 0)
	}
	if n := tab.Len(Incomplete); n != 20 {
		t.Errorf("got %d; want 10 a port", n)
	}
	tab.Flush(1)
	if n := tab.Len(Incomplete); n != 10 || tab.Entries(0)[0].Port != 2 {
		t.Errorf("after a flush: got %d; want 10 of port 2", n)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	tab := table(t, Config{Capacity: 4096})
	asks := 0
	for i := range uint32(4000) {
		if _, _, ask := tab.Resolve(port, peerIP+i, 0); ask {
			asks++
		}
	}
	if asks != tickWork {
		t.Errorf("got %d requests at once; want %d", asks, tickWork)
	}
	if n := len(tab.Tick(2*sec, nil)); n != tickWork {
		t.Errorf("got %d requests of a Tick; want %d", n, tickWork)
	}
	seen := map[uint32]int{}
	for now := int64(0); now < 100*sec; now += sec / 10 {
		for _, r := range tab.Tick(now, nil) {
			seen[r.Target]++
		}
	}
	if len(seen) < 4000-2*tickWork {
		t.Errorf("only %d neighbors were asked for", len(seen))
	}
}

func TestCapacityIsChecked(t *testing.T) {
	for _, n := range []int{-1, 0, MaxCapacity + 1} {
		if _, err := New(Config{Capacity: n}); err == nil {
			t.Errorf("%d: got no error", n)
		}
	}
}

func TestEntries(t *testing.T) {
	tab := table(t, Config{Capacity: 4})
	tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 2*sec)
	want := []Entry{{Port: port, IP: peerIP, MAC: peer, State: Reachable, Age: 3 * sec}}
	if got := tab.Entries(5 * sec); !slices.Equal(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if s := peer.String() + " " + Reachable.String() + " " + State(99).String(); s != "02:00:5e:10:00:02 reachable invalid" {
		t.Errorf("got %s", s)
	}
}

// TestAnyOrder does what may happen in any order and checks the structures.
func TestAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	tab := table(t, Config{Capacity: 24, PerPort: 16})
	var refs []Ref
	for now := int64(0); now < 3000*sec; now += int64(rnd.IntN(int(sec))) {
		ip, p := peerIP+rnd.Uint32N(30), uint16(rnd.IntN(3))
		switch rnd.IntN(8) {
		case 0, 1:
			ref, _, _ := tab.Resolve(p, ip, now)
			refs = append(refs, ref)
		case 2:
			arp{op: 2, from: peer + MAC(rnd.IntN(4)), ip: ip, target: ourIP, port: p}.handle(tab, now)
		case 3:
			arp{op: 1, from: peer, ip: ip, target: ourIP, port: p}.handle(tab, now)
		case 4:
			arp{op: 1, from: impostor, ip: ip, target: ip, port: p}.handle(tab, now)
		case 5:
			if rnd.IntN(20) == 0 {
				if err := tab.SetStatic([]StaticEntry{{p, ip, peer}, {p, ip + 1, peer}}, now); err != nil {
					t.Fatal(err)
				}
			}
			if rnd.IntN(50) == 0 {
				tab.Flush(p)
			}
		default:
			tab.Tick(now, nil)
		}
		for range min(len(refs), 3) {
			tab.Lookup(refs[rnd.IntN(len(refs))])
		}
		check(t, tab)
	}
}

func TestWorkersLookUpWhileTheTableChanges(t *testing.T) {
	tab := table(t, Config{Capacity: 4})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if m, ok := tab.Lookup(ref); ok && m != peer && m != impostor {
					t.Errorf("got MAC %v", m)
					return
				}
			}
		})
	}
	for i := range int64(2000) {
		tab.Resolve(port, peerIP+uint32(i%9), i*sec)
		answer(tab, []MAC{peer, impostor}[i%2], i*sec)
		tab.Tick(i*sec, nil)
	}
	close(stop)
	wg.Wait()
}

func TestLookupDoesNotAllocate(t *testing.T) {
	tab := table(t, Config{Capacity: 4})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	if n := testing.AllocsPerRun(100, func() { tab.Lookup(ref) }); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := table(b, Config{Capacity: 4})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	for b.Loop() {
		tab.Lookup(ref)
	}
}

func BenchmarkResolveFull(b *testing.B) {
	tab := table(b, Config{Capacity: 4096})
	ip := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		ip++
		tab.Resolve(port, peerIP+ip, 0)
	}
}

func TestReachableTimeIsConfigured(t *testing.T) {
	tab := table(t, Config{Capacity: 8, Reachable: 5 * sec})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	answer(tab, peer, 0)
	tab.Tick(5*sec-1, nil)
	expect(t, tab, ref, Reachable, peer)
	tab.SetReachable(60 * sec)
	tab.Tick(59*sec, nil)
	expect(t, tab, ref, Reachable, peer)
	tab.SetReachable(10 * sec)
	tab.Tick(59*sec, nil)
	expect(t, tab, ref, Stale, peer)
}
