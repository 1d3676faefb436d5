package session

import (
	"testing"
	"time"

	"openvra/dataplane/flow"
)

// TestHalfOpenLimitShedsTheOldest fills a quarter of a table with half-open sessions: the
// next one takes the place of the oldest, and others are not touched.
func TestHalfOpenLimitShedsTheOldest(t *testing.T) {
	h := flow.NewHasher([3]uint64{1, 2, 3})
	tab := New(64, h.Hash)
	tab.SetTimeouts(Timeouts{TCPSyn: 240 * time.Second, TCPEstablished: 2 * time.Hour, UDP: time.Minute, UDPNew: time.Minute}.Ticks())
	tab.SetHalfOpenLimit(16)
	var shed []ID
	insert := func(n int, state State) ID {
		t.Helper()
		k := flow.Make(0x0a000000|uint32(n), 0xc0000201, uint16(n), 80, flow.TCP, 0)
		id := tab.Insert(k, k.Reverse(0), state, Ticks(int64(n)*3e9), func(id ID) { shed = append(shed, id) })
		if id == 0 {
			t.Fatalf("session %d found no room", n)
		}
		return id
	}
	live := insert(1, Established)
	udp := insert(2, UDPNew)
	var half []ID
	for n := range 16 {
		half = append(half, insert(3+n, SynSent))
	}
	if len(shed) != 0 || tab.HalfOpen() != 16 {
		t.Fatalf("below the limit: %v shed, %d half open", shed, tab.HalfOpen())
	}
	for n := range 10 {
		insert(30+n, SynSent)
		if len(shed) != n+1 || shed[n] != half[n] || tab.HalfOpen() != 16 {
			t.Fatalf("at the limit: %v shed, %d half open; want %v and 16", shed, tab.HalfOpen(), half[:n+1])
		}
	}
	insert(50, Established)
	if len(shed) != 10 || tab.At(live).State != Established || tab.At(udp).State != UDPNew {
		t.Errorf("others were touched: %v shed", shed)
	}
}
