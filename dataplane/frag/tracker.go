package frag

import (
	"fmt"
	"slices"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// Config bounds a Tracker.
type Config struct {
	// Datagrams is how many datagrams are known in parts at once, 1 to 65536. A new
	// one takes the place of the oldest.
	Datagrams int
	// Fragments is how many fragments a datagram may have, 2 to 4096. 64 carries
	// the longest datagram over an MTU of 1500.
	Fragments int
	// Bytes is how much storage fragments that wait may take.
	Bytes int
	// Timeout is how long a datagram's fragments may take, in nanoseconds, 1 to 60
	// seconds (RFC 4787 REQ-14).
	Timeout int64
}

// DefaultConfig returns the bounds of Linux, for one worker.
func DefaultConfig() Config {
	return Config{Datagrams: 1024, Fragments: 64, Bytes: 4 << 20, Timeout: 30e9}
}

// A Verdict is what to do with a fragment.
type Verdict struct {
	// Reason is why the fragment is dropped, or drop.None.
	Reason drop.Reason
	// Held says that a copy of the fragment waits.
	Held bool
	// SrcPort and DstPort are those of the datagram, as in flow.Key, if the
	// fragment may go on; and those of every packet in Ready.
	SrcPort, DstPort uint16
	// Ready are the fragments that had to wait for this first one and may follow it
	// now, in order of offset. The packets are the caller's, the slice is valid
	// until the next call.
	Ready []*packet.Packet
	// Whole is the datagram put together, and Merged of how many fragments, this
	// one among them. Only Assemble does that.
	Whole  *packet.Packet
	Merged int
	// Lost is how many fragments that waited are given up, for LostReason.
	Lost       int
	LostReason drop.Reason
}

type key struct {
	src, dst uint32
	id       uint16
	realm    uint16
	proto    uint8
	whole    bool // Assemble, not Track
}

// span is where a fragment lies in its datagram's payload, in bytes.
type span struct{ from, to uint16 }

// datagram is one that is known in parts.
type datagram struct {
	key
	born         int64
	next, prev   int32
	total        int32       // bytes of payload, -1 until the last fragment came
	got          int32       // bytes of payload seen
	spans        []span      // by offset
	dead         drop.Reason // why all that comes is dropped
	first        bool        // the first fragment has come, so the ports are known
	sport, dport uint16
	held         []*packet.Packet
}

// A Tracker knows the datagrams of one worker that are on their way in parts.
type Tracker struct {
	conf      Config
	datagrams []datagram
	index     map[key]int32
	free      []int32
	// oldest and newest end the list of live datagrams, by birth.
	oldest, newest int32
	held, bytes    int
	ready          []*packet.Packet
}

// New returns an empty tracker.
func New(c Config) (*Tracker, error) {
	switch {
	case c.Datagrams < 1 || c.Datagrams > 1<<16:
		return nil, fmt.Errorf("fragment tracker: datagrams: got %d; want 1 to 65536", c.Datagrams)
	case c.Fragments < 2 || c.Fragments > 4096:
		return nil, fmt.Errorf("fragment tracker: fragments: got %d; want 2 to 4096", c.Fragments)
	case c.Bytes < 0:
		return nil, fmt.Errorf("fragment tracker: bytes: got %d; want 0 or more", c.Bytes)
	case c.Timeout < 1e9 || c.Timeout > 60e9:
		return nil, fmt.Errorf("fragment tracker: timeout: got %d ns; want 1 s to 60 s", c.Timeout)
	}
	t := &Tracker{conf: c, datagrams: make([]datagram, c.Datagrams), index: make(map[key]int32, c.Datagrams),
		free: make([]int32, c.Datagrams), oldest: -1, newest: -1}
	for i := range t.free {
		t.free[i] = int32(c.Datagrams - 1 - i)
	}
	return t, nil
}

// Held returns how many fragments wait.
func (t *Tracker) Held() int { return t.held }

// Len returns how many datagrams are known in parts.
func (t *Tracker) Len() int { return len(t.index) }

// Track says what to do with the fragment p, a parsed packet, and lends it the
// ports of its datagram in the realm. Fragments that come before the first one
// wait for it. p is borrowed and not changed.
func (t *Tracker) Track(p *packet.Packet, realm uint16, now int64) Verdict {
	return t.take(p, realm, false, now)
}

// Assemble is Track for datagrams that end here: every fragment waits until the
// datagram can be put together.
func (t *Tracker) Assemble(p *packet.Packet, realm uint16, now int64) Verdict {
	return t.take(p, realm, true, now)
}

func (t *Tracker) take(p *packet.Packet, realm uint16, whole bool, now int64) Verdict {
	h := header.IPv4(p.Buf[p.L3:p.L3End])
	payload := payload(p)
	if malformed(h, payload) {
		return Verdict{Reason: drop.FragmentMalformed}
	}
	var v Verdict
	i := t.find(key{h.Src(), h.Dst(), h.ID(), realm, h.Protocol(), whole}, now, &v)
	d := &t.datagrams[i]
	if d.dead != drop.None {
		v.Reason = d.dead
		return v
	}
	from := int(h.Fragment()&header.FragmentOffset) * 8
	s := span{uint16(from), uint16(from + len(payload))}
	reason, fatal := d.insert(s, h.Fragment()&header.MoreFragments == 0, t.conf.Fragments)
	if reason != drop.None {
		if fatal {
			t.kill(d, reason, &v)
		}
		v.Reason = reason
		return v
	}
	if from == 0 {
		d.first = true
		d.sport, d.dport = ports(h.Protocol(), payload)
	}
	complete := d.first && d.got == d.total
	switch {
	case whole && complete:
		v.Whole, v.Merged = assemble(d, p), len(d.held)+1
		if v.Whole == nil {
			v.Reason, v.Merged = drop.FragmentMalformed, 0
			t.kill(d, v.Reason, &v)
			return v
		}
	case whole || !d.first:
		if t.hold(d, p, &v); v.Reason == drop.None {
			v.Held = true
		}
		return v
	default:
		v.SrcPort, v.DstPort = d.sport, d.dport
		t.ready = append(t.ready[:0], d.held...)
		slices.SortFunc(t.ready, func(a, b *packet.Packet) int { return offset(a) - offset(b) })
		v.Ready = t.ready
	}
	t.unhold(d)
	if complete {
		t.remove(i)
	}
	return v
}

// malformed reports whether no datagram can have the fragment, or whether it is
// made to hide the transport header from a filter (RFC 1858, RFC 3128).
func malformed(h header.IPv4, payload []byte) bool {
	from, more := int(h.Fragment()&header.FragmentOffset)*8, h.Fragment()&header.MoreFragments != 0
	switch {
	case len(payload) == 0, more && len(payload)%8 != 0, h.HeaderLen()+from+len(payload) > 0xffff:
		return true
	case h.Protocol() == flow.TCP && from == 8: // the flags, written over
		return true
	case from > 0:
		return false
	}
	switch h.Protocol() {
	case flow.TCP:
		return len(payload) < header.TCPLen || len(payload) < header.TCP(payload).HeaderLen()
	case flow.UDP, flow.ICMP:
		return len(payload) < 8
	}
	return false
}

// ports returns the ports that a flow key of the datagram has.
func ports(proto uint8, payload []byte) (sport, dport uint16) {
	switch proto {
	case flow.TCP, flow.UDP:
		return header.UDP(payload).SrcPort(), header.UDP(payload).DstPort()
	case flow.ICMP:
		if icmp := header.ICMP(payload); icmp.IsQuery() {
			return icmp.ID(), icmp.ID()
		}
	}
	return 0, 0
}

// offset returns where the fragment lies, in units of 8 bytes.
func offset(p *packet.Packet) int {
	return int(header.IPv4(p.Buf[p.L3:]).Fragment() & header.FragmentOffset)
}

// insert adds a fragment's span. It returns why it cannot, and whether that is the
// end of the datagram.
func (d *datagram) insert(s span, last bool, most int) (reason drop.Reason, fatal bool) {
	at, same := slices.BinarySearchFunc(d.spans, s.from, func(e span, from uint16) int { return int(e.from) - int(from) })
	switch {
	case same && d.spans[at] == s:
		return drop.FragmentOverlap, false // once more
	case same, at > 0 && d.spans[at-1].to > s.from, at < len(d.spans) && d.spans[at].from < s.to:
		return drop.FragmentOverlap, true
	case last && (d.total >= 0 || at < len(d.spans)), !last && d.total >= 0 && int32(s.to) > d.total:
		return drop.FragmentMalformed, true // two ends
	case len(d.spans) >= most:
		return drop.FragmentLimit, true
	}
	d.spans = slices.Insert(d.spans, at, s)
	d.got += int32(s.to - s.from)
	if last {
		d.total = int32(s.to)
	}
	return drop.None, false
}
