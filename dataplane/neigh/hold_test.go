package neigh

import (
	"slices"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/packet"
)

// numbered returns a packet of size bytes that says n.
func numbered(t *testing.T, n byte, size int) *packet.Packet {
	t.Helper()
	p := new(packet.Packet)
	frame := make([]byte, size)
	frame[0] = n
	if !p.Set(make([]byte, packet.Headroom+size), frame) {
		t.Fatal("buffer too short")
	}
	return p
}

// take returns the numbers of the packets sent and lost.
func take(h *Hold, tab *Table, now int64) (sent, lost []byte) {
	h.Take(tab, now, func(p *packet.Packet, m MAC) { sent = append(sent, p.Bytes()[0]) },
		func(p *packet.Packet) { lost = append(lost, p.Bytes()[0]) })
	return sent, lost
}

func TestHeldPacketsLeaveWhenTheNeighborAnswers(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	a, _, _ := tab.Resolve(port, peerIP, 0)
	b, _, _ := tab.Resolve(port, peerIP+1, 0)
	h := NewHold(HoldLimits{8, 3, 100, 1 << 20})
	for i, ref := range []Ref{a, b, a, a} {
		p := numbered(t, byte(i+1), 100)
		if got := h.Put(ref, p, 0); got != drop.None {
			t.Fatalf("packet %d: got %v", i+1, got)
		}
		clear(p.Buf) // it was borrowed
	}
	if got := h.Put(a, numbered(t, 5, 100), 0); got != drop.NeighborQueueFull || h.Len() != 4 {
		t.Errorf("a fourth packet for one: got %v, %d held", got, h.Len())
	}
	if sent, lost := take(h, tab, 1); sent != nil || lost != nil || h.Len() != 4 {
		t.Errorf("before the answer: got %v %v", sent, lost)
	}
	answer(tab, peer, 2)
	if sent, lost := take(h, tab, 2); !slices.Equal(sent, []byte{3, 4, 5}) || lost != nil || h.Len() != 1 {
		t.Errorf("after the answer: got %v %v, %d held; want 3 4 5, 1 held", sent, lost, h.Len())
	}
	for now := range int64(5) {
		tab.Tick(now*sec, nil)
	}
	if sent, lost := take(h, tab, 4*sec); sent != nil || !slices.Equal(lost, []byte{2}) || h.Len() != 0 || h.bytes != 0 {
		t.Errorf("after the failure: got %v %v, %d held in %d bytes", sent, lost, h.Len(), h.bytes)
	}
}

func TestHeldPacketsAreLostWhenTheEntryGoes(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	h := NewHold(HoldLimits{8, 3, 100, 1 << 20})
	h.Put(ref, numbered(t, 1, 100), 0)
	tab.Flush(port)
	if _, lost := take(h, tab, 1); !slices.Equal(lost, []byte{1}) {
		t.Errorf("got %v lost; want 1", lost)
	}
	ref, _, _ = tab.Resolve(port, peerIP, 0)
	h.Put(ref, numbered(t, 2, 100), 0)
	if _, lost := take(h, tab, 11*sec); !slices.Equal(lost, []byte{2}) {
		t.Errorf("after ten seconds: got %v lost; want 2", lost)
	}
}

func TestHoldIsBounded(t *testing.T) {
	h := NewHold(HoldLimits{4, 3, 100, 10_000})
	for i := range 100 {
		want := drop.None
		if i >= 4 {
			want = drop.NeighborQueueFull
		}
		if got := h.Put(Ref(i+1), numbered(t, 0, 100), 0); got != want {
			t.Fatalf("neighbor %d: got %v; want %v", i, got, want)
		}
	}
	h = NewHold(HoldLimits{100, 3, 100, 10_000})
	held := 0
	for i := range 300 {
		if h.Put(Ref(i%100+1), numbered(t, 0, 1000), 0) == drop.None {
			held++
		}
	}
	if held != 8 || h.Len() != 8 || h.bytes > 10_000 {
		t.Errorf("got %d held in %d bytes; want 8 within 10000", held, h.bytes)
	}
	if got := h.Put(1, numbered(t, 0, 5000), 0); got != drop.NeighborQueueFull || h.Len() != 8 {
		t.Errorf("a packet too large: got %v, %d held", got, h.Len())
	}
}

func TestALargePacketDoesNotPushOutASmallOne(t *testing.T) {
	tab := table(t, Config{Capacity: 2})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	h := NewHold(HoldLimits{4, 3, 100, 1000})
	for i := range byte(3) {
		h.Put(ref, numbered(t, i, 100), 0)
	}
	if got := h.Put(ref, numbered(t, 9, 900), 0); got != drop.NeighborQueueFull {
		t.Errorf("got %v", got)
	}
	answer(tab, peer, 0)
	if sent, _ := take(h, tab, 0); !slices.Equal(sent, []byte{0, 1, 2}) {
		t.Errorf("got %v sent; want 0 1 2", sent)
	}
}

func TestHoldCountsPackets(t *testing.T) {
	h := NewHold(HoldLimits{Neighbors: 4, PerNeighbor: 2, Packets: 5, Bytes: 1 << 20})
	put := func(ref Ref, want drop.Reason, held int) {
		t.Helper()
		if got := h.Put(ref, numbered(t, byte(ref), 100), 0); got != want || h.Len() != held {
			t.Errorf("for %d: got %v, %d held; want %v, %d", ref, got, h.Len(), want, held)
		}
	}
	put(1, drop.None, 1)
	put(1, drop.None, 2)
	put(1, drop.NeighborQueueFull, 2)
	put(2, drop.None, 3)
	put(2, drop.None, 4)
	put(3, drop.None, 5)
	put(3, drop.NeighborQueueFull, 5)
	put(4, drop.NeighborQueueFull, 5)
	h.SetLimits(HoldLimits{Neighbors: 4, PerNeighbor: 3, Packets: 6, Bytes: 1 << 20})
	put(3, drop.None, 6)
	put(3, drop.NeighborQueueFull, 6)
	h.SetLimits(HoldLimits{Neighbors: 4, PerNeighbor: 1, Packets: 1, Bytes: 1 << 20})
	put(1, drop.NeighborQueueFull, 6)
	if _, lost := take(h, table(t, Config{Capacity: 1}), 11*sec); len(lost) != 6 || h.Len() != 0 || h.bytes != 0 {
		t.Errorf("got %d lost, %d held in %d bytes; want 6 lost and none held", len(lost), h.Len(), h.bytes)
	}
}
