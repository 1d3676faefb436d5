package session

import (
	"time"

	"openvra/dataplane/header"
)

// State is what a session has seen. It decides the timeout.
type State uint8

const (
	Free State = iota // not a session

	// TCP, RFC 5382 section 4.2 and RFC 7857 section 2.
	SynSent     // a SYN, nothing back: half open
	SynReceived // SYN back, not yet acknowledged: half open
	Established
	PickedUp // began without a SYN; not seen both ways yet
	FinWait  // one side has finished
	Closing  // both have
	Reset    // a RST in the window; ends unless traffic follows

	// Without states of their own.
	UDPNew // only the original direction seen
	UDPStream
	ICMPQuery
	Other

	States
)

// Timeouts are the idle times after which sessions end.
type Timeouts struct {
	TCPSyn, TCPEstablished, TCPTransitory, TCPReset time.Duration
	UDP, UDPNew, ICMP, Other                        time.Duration
}

// Ticks returns the timeouts by state, as Table.SetTimeouts wants them.
func (t Timeouts) Ticks() *[States]uint32 {
	// Two ticks more: both ends of an idle time are rounded down, and the RFCs say
	// "at least".
	tk := func(d time.Duration) uint32 { return Ticks(int64(d)) + 2 }
	return &[States]uint32{
		SynSent: tk(t.TCPSyn), SynReceived: tk(t.TCPSyn), Established: tk(t.TCPEstablished),
		PickedUp: tk(t.TCPTransitory), FinWait: tk(t.TCPTransitory), Closing: tk(t.TCPTransitory), Reset: tk(t.TCPReset),
		UDPNew: tk(t.UDPNew), UDPStream: tk(t.UDP), ICMPQuery: tk(t.ICMP), Other: tk(t.Other),
	}
}

// HalfOpen says whether the table may give a session of this state up for another.
func (s State) HalfOpen() bool { return s == SynSent || s == SynReceived }

// Closed says whether both ends are known to have finished, so that an outside
// port may be used again at once (RFC 6888 REQ-8).
func (s State) Closed() bool { return s == Closing }

var stateNames = [States]string{"free", "syn-sent", "syn-received", "established", "picked-up", "fin-wait", "closing", "reset", "new", "stream", "query", "other"}

func (s State) String() string {
	if s >= States {
		return "invalid"
	}
	return stateNames[s]
}

// tcpSide is what is known of the sequence space of one sender.
type tcpSide struct {
	end   uint32 // after the last byte it sent
	limit uint32 // up to where the other side has allowed it to send
}

// maxDatagram is by how many bytes the end of what a side sent may be beyond what is known
// of it: of a datagram in fragments only the first part is seen.
const maxDatagram = 1 << 16

// maxScale is the largest window shift (RFC 7323 section 2.3).
const maxScale = 14

// Segment is what Track needs of a TCP segment.
type Segment struct {
	Seq, Ack, Length uint32 // Length is the payload's, in bytes
	Window           uint16
	Flags            uint8
	Scale            uint8 // window shift option, valid iff HasScale; SYN only
	HasScale         bool
}

// Verdict of Track.
type Verdict uint8

const (
	Pass    Verdict = iota
	Outside         // not within the windows: passes, the receiver will judge it, but changes nothing
	Invalid         // a RST outside the window: drop
	Reopen          // a SYN that begins anew on a session that has ended
)

// Track takes a segment into account and refreshes the session as RFC 7857 asks:
// not for a RST.
func (t *Table[K]) Track(id ID, d Dir, g Segment, now uint32) Verdict {
	s := &t.slab[id]
	if g.Flags&header.RST != 0 {
		return t.trackReset(id, d, g, now)
	}
	s.LastSeen = now
	switch {
	case g.Flags&header.SYN != 0:
		return t.trackSyn(id, d, g, now)
	case s.State == SynSent && d == Reply:
		return Pass // a challenge ACK of an older connection; the RST that it draws is to pass
	case s.outside(d, g):
		return Outside
	}
	me, peer := &s.tcp[d], &s.tcp[1-d]
	if end := g.Seq + g.Length + uint32(g.Flags&header.FIN); me.end == 0 || int32(end-me.end) > 0 {
		me.end = end
	}
	if g.Flags&header.ACK != 0 {
		allowed := g.Ack + uint32(g.Window)<<s.shift(d)
		if peer.limit == 0 || int32(allowed-peer.limit) > 0 {
			peer.limit = allowed
		}
	}
	switch st := s.State; {
	case g.Flags&header.FIN != 0:
		switch {
		case st == FinWait && s.finished() != d, st == Closing:
			t.SetState(id, Closing, now)
		case st != SynSent:
			s.setFinished(d)
			t.SetState(id, FinWait, now)
		}
	case st == SynReceived && d == Original:
		t.SetState(id, Established, now)
	case st == PickedUp && d == Reply, st == Reset:
		t.SetState(id, Established, now)
	}
	return Pass
}

// outside reports whether a segment begins beyond what the other side has allowed,
// acknowledges what that has not sent (RFC 5961 section 5), or finishes long before the
// end. Whoever guesses the addresses and ports alone must not be able to shorten the
// session's time, nor to move what a RST is measured by.
func (s *Session[K]) outside(d Dir, g Segment) bool {
	me, peer := &s.tcp[d], &s.tcp[1-d]
	return me.limit != 0 && int32(g.Seq-me.limit) > 0 ||
		g.Flags&header.ACK != 0 && peer.end != 0 && int32(g.Ack-peer.end) > maxDatagram ||
		g.Flags&header.FIN != 0 && !me.expects(g.Seq)
}

func (t *Table[K]) trackSyn(id ID, d Dir, g Segment, now uint32) Verdict {
	s := &t.slab[id]
	if d == Reply && g.Flags&header.ACK != 0 && s.State.HalfOpen() && s.tcp[Original].end-g.Ack > maxDatagram {
		return Pass // of an older connection, or nobody's; it will draw a RST
	}
	switch s.State {
	case Closing, Reset:
		// The outside cannot end what the inside may still need.
		if g.Flags&header.ACK == 0 && d == Original {
			return Reopen
		}
		return Pass
	case SynSent:
		if d == Reply {
			s.Flags |= SeenReply
			t.SetState(id, SynReceived, now)
		}
	case Established, PickedUp, FinWait:
		return Pass // a challenge ACK will answer it (RFC 5961 section 4)
	}
	sc := uint8(0)
	if g.HasScale {
		sc = min(g.Scale, maxScale)
	}
	if d == Original {
		s.scale = s.scale&0xf0 | sc
	} else {
		s.scale = s.scale&0x0f | sc<<4
		s.Flags |= ScaleKnown
		if !g.HasScale {
			s.scale = 0 // both must offer it (RFC 7323 section 2.2)
		}
	}
	s.tcp[d].end = g.Seq + 1 + g.Length
	if g.Flags&header.ACK != 0 {
		s.tcp[1-d].limit = g.Ack + uint32(g.Window)
	}
	return Pass
}

// trackReset lets a RST change the state only if its sequence number is where the
// other side may expect it (RFC 5961 section 3).
func (t *Table[K]) trackReset(id ID, d Dir, g Segment, now uint32) Verdict {
	s := &t.slab[id]
	switch {
	case s.State == SynSent && d == Reply:
		// Refusal of a SYN: acknowledges exactly it (RFC 9293 section 3.10.7.3).
		if g.Flags&header.ACK == 0 || g.Ack != s.tcp[Original].end {
			return Invalid
		}
	case s.State == SynSent:
		return Pass // the answer to a challenge ACK: for the older connection
	case !s.tcp[d].expects(g.Seq):
		return Invalid
	}
	if s.State != Reset && s.State != Closing {
		s.LastSeen = now
		t.SetState(id, Reset, now)
	}
	return Pass
}

// expects reports whether the side's next segment may have the sequence number seq:
// from 64 KiB before the end of what it sent to what it was allowed to send.
func (p tcpSide) expects(seq uint32) bool {
	switch {
	case p.end == 0 && p.limit == 0:
		return true // nothing is known of this side
	case p.end == 0:
		return p.limit-seq <= 1<<31-1 // not later than allowed
	case int32(seq-p.end) < -maxDatagram:
		return false
	}
	return p.limit == 0 || int32(seq-p.end) <= 0 || int32(seq-p.limit) <= 0
}

// shift returns by how much the windows that direction d advertises are scaled.
func (s *Session[K]) shift(d Dir) uint8 {
	if s.Flags&ScaleKnown == 0 {
		return maxScale // unknown: judge no window too small
	}
	return s.scale >> (4 * d) & 15
}

// finished returns which side sent the first FIN. It is kept in the top flag bit.
func (s *Session[K]) finished() Dir     { return Dir(s.Flags >> 7) }
func (s *Session[K]) setFinished(d Dir) { s.Flags = s.Flags&0x7f | uint8(d)<<7 }
