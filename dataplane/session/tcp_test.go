package session

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
)

const (
	syn    = header.SYN
	ack    = header.ACK
	fin    = header.FIN | header.ACK
	rst    = header.RST
	synAck = header.SYN | header.ACK
	rstAck = header.RST | header.ACK
)

// seg is a segment and what it must come to: direction, segment, verdict, state after.
type seg struct {
	dir   Dir
	g     Segment
	want  Verdict
	state State
}

// Sequence numbers of the examples: the client begins at 1000, the server at 5000, and
// both offer windows of 8192.
func s(d Dir, flags uint8, seq, ackn, length uint32, want Verdict, state State) seg {
	return seg{d, Segment{Seq: seq, Ack: ackn, Length: length, Window: 8192, Flags: flags, HasScale: flags&syn != 0}, want, state}
}

func open() []seg {
	return []seg{
		s(Original, syn, 1000, 0, 0, Pass, SynSent),
		s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
		s(Original, ack, 1001, 5001, 0, Pass, Established),
	}
}

func then(first []seg, more ...seg) []seg { return append(first, more...) }

// closed is a connection that both sides have finished.
func closed() []seg {
	return then(open(),
		s(Original, fin, 1001, 5001, 0, Pass, FinWait),
		s(Reply, fin, 5001, 1002, 0, Pass, Closing),
		s(Original, ack, 1002, 5002, 0, Pass, Closing))
}

// TestTCP runs sequences of segments. The names say which requirement a row holds.
func TestTCP(t *testing.T) {
	rows := map[string][]seg{
		"RFC 5382 REQ-2: three-way handshake and data": then(open(),
			s(Reply, ack, 5001, 1001, 1000, Pass, Established),
			s(Original, ack, 1001, 6001, 10, Pass, Established)),
		"RFC 5382 REQ-2a: simultaneous open": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, syn, 5000, 0, 0, Pass, SynReceived),
			s(Original, synAck, 1000, 5001, 0, Pass, SynReceived),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, ack, 1001, 5001, 0, Pass, Established)},
		"a SYN sent again": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, syn, 1000, 0, 0, Pass, SynReceived),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, ack, 1001, 5001, 0, Pass, Established)},
		"lost ACK: data establishes": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, ack, 1001, 5001, 500, Pass, Established)},
		"lost ACK: a FIN establishes and finishes": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait),
			s(Reply, fin, 5001, 1002, 0, Pass, Closing),
			s(Original, ack, 1002, 5002, 0, Pass, Closing)},
		"data in the SYN (RFC 7413)": {
			s(Original, syn, 1000, 0, 100, Pass, SynSent),
			s(Reply, synAck, 5000, 1101, 0, Pass, SynReceived),
			s(Original, ack, 1101, 5001, 0, Pass, Established)},
		"data before any SYN is picked up, and established by an answer": {
			s(Original, ack, 70000, 90000, 100, Pass, PickedUp),
			s(Original, ack, 70100, 90000, 100, Pass, PickedUp),
			s(Reply, ack, 90000, 70200, 0, Pass, Established)},
		"one-way path: nothing is established": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Original, ack, 1001, 5001, 0, Pass, SynSent),
			s(Original, ack, 1001, 5001, 99, Pass, SynSent)},
		"FIN from the original side, data back, FIN back": then(open(),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait),
			s(Reply, ack, 5001, 1002, 900, Pass, FinWait),
			s(Original, ack, 1002, 5901, 0, Pass, FinWait),
			s(Reply, fin, 5901, 1002, 0, Pass, Closing),
			s(Reply, fin, 5901, 1002, 0, Pass, Closing),
			s(Original, ack, 1002, 5902, 0, Pass, Closing)),
		"FIN from the reply side first": then(open(),
			s(Reply, fin, 5001, 1001, 0, Pass, FinWait),
			s(Original, ack, 1001, 5002, 300, Pass, FinWait),
			s(Original, fin, 1301, 5002, 0, Pass, Closing)),
		"both FINs at once": then(open(),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait),
			s(Reply, fin, 5001, 1001, 0, Pass, Closing)),
		"RFC 5382 REQ-2, N24: a SYN on a closed tuple opens anew": then(closed(), s(Original, syn, 9000, 0, 0, Reopen, Closing)),
		"a SYN on a tuple that was reset opens anew": then(open(),
			s(Original, rst, 1001, 0, 0, Pass, Reset), s(Original, syn, 9000, 0, 0, Reopen, Reset)),
		"the outside cannot reopen":                 then(closed(), s(Reply, syn, 9000, 0, 0, Pass, Closing)),
		"a SYN-ACK that comes late changes nothing": then(closed(), s(Reply, synAck, 5000, 1001, 0, Pass, Closing)),
		"RFC 5961 4: a SYN in a connection changes nothing": then(open(),
			s(Original, syn, 77777, 0, 0, Pass, Established),
			s(Reply, syn, 77777, 0, 0, Pass, Established),
			s(Reply, ack, 5001, 1001, 100, Pass, Established)),
		"RFC 5961 4: a SYN in a half-closed connection changes nothing": then(open(),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait),
			s(Original, syn, 77777, 0, 0, Pass, FinWait),
			s(Reply, ack, 5001, 1002, 100, Pass, FinWait)),
		"N24: a challenge ACK and the RST it draws do not wedge the SYN": {
			s(Original, syn, 0x40000000, 0, 0, Pass, SynSent),
			s(Reply, ack, 0x80000000, 0x10000000, 0, Pass, SynSent), // of the older connection
			s(Original, rst, 0x10000000, 0, 0, Pass, SynSent),
			s(Original, syn, 0x40000000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 5000, 0x40000001, 0, Pass, SynReceived),
			s(Original, ack, 0x40000001, 5001, 10, Pass, Established)},
		"N24: a stale SYN-ACK and the RST it draws do not wedge the SYN": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 0x80000000, 0x10000000, 0, Pass, SynSent),
			s(Original, rst, 0x10000000, 0, 0, Pass, SynSent),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Reply, synAck, 0x80000000, 0x10000000, 0, Pass, SynReceived),
			s(Original, ack, 1001, 5001, 0, Pass, Established)},
		"data in the SYN that is not taken (RFC 7413)": {
			s(Original, syn, 1000, 0, 100, Pass, SynSent),
			s(Reply, synAck, 5000, 1001, 0, Pass, SynReceived),
			s(Original, ack, 1001, 5001, 100, Pass, Established)},
		"a challenge ACK in a connection, and its RST": then(open(),
			s(Original, syn, 0x70000000, 0, 0, Pass, Established), // the client has restarted
			s(Reply, ack, 5001, 1001, 0, Pass, Established),
			s(Original, rst, 1001, 0, 0, Pass, Reset),
			s(Original, syn, 0x70000000, 0, 0, Reopen, Reset)),
		"N23: RST in the window":          then(open(), s(Reply, rstAck, 5001, 1001, 0, Pass, Reset)),
		"N23: RST up to the window's end": then(open(), s(Reply, rst, 5001+8192, 0, 0, Pass, Reset)),
		"N23: RST after the window changes nothing": then(open(),
			s(Reply, rst, 5001+8193, 0, 0, Invalid, Established),
			s(Original, rst, 1001+8193, 0, 0, Invalid, Established)),
		"N23: RST long before the window changes nothing": then(open(),
			s(Reply, rst, 0xffff1388, 0, 0, Invalid, Established),
			s(Reply, rst, 0x85000000, 0, 0, Invalid, Established)),
		"N23: RST, then data revives": then(open(),
			s(Reply, rst, 5001, 0, 0, Pass, Reset),
			s(Reply, rst, 5001, 0, 0, Pass, Reset),
			s(Original, ack, 1001, 5001, 10, Pass, Established)),
		"RST, then a FIN": then(open(),
			s(Reply, rst, 5001, 0, 0, Pass, Reset),
			s(Original, fin, 1001, 5001, 0, Pass, FinWait)),
		"RST on a closed connection leaves it closed": then(closed(), s(Original, rst, 1002, 0, 0, Pass, Closing)),
		"RFC 9293 3.10.7.3: a SYN is refused": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, rstAck, 0, 1001, 0, Pass, Reset),
			s(Original, syn, 1000, 0, 0, Reopen, Reset)},
		"a blind RST refuses no SYN": {
			s(Original, syn, 1000, 0, 0, Pass, SynSent),
			s(Reply, rst, 0, 0, 0, Invalid, SynSent),
			s(Reply, rstAck, 0, 1000, 0, Invalid, SynSent),
			s(Reply, rstAck, 0, 1002, 0, Invalid, SynSent)},
		"RST that answers a segment picked up, whatever its number": {
			s(Original, ack, 70000, 0x90000000, 100, Pass, PickedUp),
			s(Reply, rst, 0x90000000, 0, 0, Pass, Reset)},
		"RST that nothing seen asked for": {
			s(Original, ack, 70000, 0x90000000, 100, Pass, PickedUp),
			s(Reply, rst, 0x10000000, 0, 0, Invalid, PickedUp)},
		"N26: data beyond the window counts and changes nothing": then(open(),
			s(Reply, ack, 5001+8193, 1001, 100, Outside, Established),
			s(Reply, fin, 5001+8193, 1001, 100, Outside, Established),
			s(Reply, rst, 5001+8193+100, 0, 0, Invalid, Established)),
		"an old FIN changes nothing": then(open(),
			s(Reply, fin, 0x90000000, 900, 0, Outside, Established),
			s(Reply, ack, 0x90000000, 900, 0, Pass, Established)),
		"N26: a window probe is within": then(open(), s(Reply, ack, 5001+8192, 1001, 1, Pass, Established)),
		"RFC 5961 5: an ACK of what was not sent changes nothing": then(open(),
			s(Reply, ack, 5001, 1001+65537, 100, Outside, Established),
			s(Original, ack, 1001, 5001+65537, 0, Outside, Established)),
		"the rest of a datagram in fragments is acknowledged": then(open(),
			s(Original, ack, 1001, 5001, 20, Pass, Established), // of 1000 bytes
			s(Reply, fin, 5001, 2001, 0, Pass, FinWait)),
		"keep-alive is within": then(open(), s(Original, ack, 1000, 5001, 1, Pass, Established)),
		"sequence numbers wrap": {
			s(Original, syn, 0xfffffff0, 0, 0, Pass, SynSent),
			s(Reply, synAck, 0xffffff00, 0xfffffff1, 0, Pass, SynReceived),
			s(Original, ack, 0xfffffff1, 0xffffff01, 100, Pass, Established),
			s(Reply, ack, 0xffffff01, 0x55, 1000, Pass, Established),
			s(Original, ack, 0x55, 0x2e9, 0, Pass, Established),
			s(Reply, rst, 0x2e9, 0, 0, Pass, Reset)},
	}
	for name, segs := range rows {
		t.Run(name, func(t *testing.T) {
			tab := newTable(4, secret.Hash)
			o, r := key4(1)
			id := tab.Insert(o, r, segs[0].state, 0, nil)
			for i, sg := range segs {
				got := tab.Track(id, sg.dir, sg.g, uint32(i))
				if st := tab.At(id).State; got != sg.want || st != sg.state {
					t.Fatalf("segment %d %+v: got verdict %d, %v; want %d, %v", i, sg.g, got, st, sg.want, sg.state)
				}
				if want := b2i(sg.state.HalfOpen()); tab.HalfOpen() != want {
					t.Fatalf("segment %d: got %d half open; want %d", i, tab.HalfOpen(), want)
				}
			}
		})
	}
}

// TestWindowScale: RFC 7323 section 2.3.
func TestWindowScale(t *testing.T) {
	rows := []struct {
		name           string
		client, server int // -1 for no option
		limit          uint32
	}{
		{"both offer", 0, 7, 5001 + 8192},
		{"scaled", 3, 0, 5001 + 8192<<3},
		{"14 is the most", 14, 0, 5001 + 8192<<14},
		{"above 14 is 14", 15, 0, 5001 + 8192<<14},
		{"far above 14 is 14", 255, 255, 5001 + 8192<<14},
		{"the server offers none", 9, -1, 5001 + 8192},
	}
	for _, r := range rows {
		tab := newTable(4, secret.Hash)
		o, k := key4(1)
		id := tab.Insert(o, k, SynSent, 0, nil)
		offer := func(sg seg, scale int) Segment {
			sg.g.HasScale, sg.g.Scale = scale >= 0, uint8(scale)
			return sg.g
		}
		hs := open()
		tab.Track(id, Original, offer(hs[0], r.client), 0)
		tab.Track(id, Reply, offer(hs[1], r.server), 0)
		tab.Track(id, Original, hs[2].g, 0)
		if got := tab.At(id).tcp[Reply].limit; got != r.limit {
			t.Errorf("%s: the server may send up to %d; want %d", r.name, got, r.limit)
		}
	}
}

// TestRefresh: RFC 7857 section 7.1 and N10: a RST does not refresh, other segments do.
func TestRefresh(t *testing.T) {
	tab := newTable(4, secret.Hash)
	o, r := key4(1)
	id := tab.Insert(o, r, SynSent, 0, nil)
	for i, sg := range open() {
		tab.Track(id, sg.dir, sg.g, uint32(10+i))
	}
	at := func(want uint32, what string) {
		t.Helper()
		if got := tab.At(id).LastSeen; got != want {
			t.Errorf("%s: last seen %d; want %d", what, got, want)
		}
	}
	at(12, "handshake")
	tab.Track(id, Reply, Segment{Seq: 0x80000000, Flags: rst}, 20)
	at(12, "RST outside the window")
	tab.Track(id, Reply, Segment{Seq: 5001, Flags: rst}, 30)
	at(30, "RST that begins the 240 s of RFC 7857 section 2.2")
	tab.Track(id, Reply, Segment{Seq: 5001, Flags: rst}, 40)
	at(30, "RST once more")
}

// TestBlindAttackerChangesNothing sends ten thousand guesses of an outsider who knows
// addresses and ports but no numbers: no state is lost, and the two ends go on.
func TestBlindAttackerChangesNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 9))
	tab := newTable(4, secret.Hash)
	o, r := key4(1)
	id := tab.Insert(o, r, SynSent, 0, nil)
	for _, sg := range open() {
		tab.Track(id, sg.dir, sg.g, 0)
	}
	before := tab.At(id).tcp
	for range 10_000 {
		seq, n := rnd.Uint32(), rnd.Uint32()
		if d := int32(seq - 5001); d > -1<<17 && d < 1<<15 {
			continue // one guess in 30,000 would hit
		}
		for _, f := range []uint8{rst, ack, fin, syn, synAck, rstAck} {
			if a := int32(n - 1001); a > -1<<17 && a < 1<<17 {
				continue
			}
			tab.Track(id, Reply, Segment{Seq: seq, Ack: n, Length: 1, Window: 65535, Flags: f}, 1)
		}
	}
	if got := tab.At(id); got.State != Established || got.tcp != before {
		t.Errorf("got %v, %+v; want established, %+v", got.State, got.tcp, before)
	}
}

func ExampleTable() {
	h := flow.NewHasher([3]uint64{1, 2, 3})
	t := New(1000, h.Hash)
	out := flow.Make(0x0a000001, 0xc0000201, 5000, 53, flow.UDP, 0)
	id := t.Insert(out, out.Reverse(1), UDPNew, 0, nil)
	found, dir := t.Find(h.Hash(out.Reverse(1)), out.Reverse(1))
	fmt.Println(found == id, dir == Reply, t.At(id).State)
	// Output: true true new
}
