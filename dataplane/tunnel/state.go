package tunnel

import (
	"sync/atomic"

	"openvra/dataplane/rate"
)

// Bounds of what is believed about a path.
const (
	// MinMTU is the least outer path MTU that is believed, in bytes. Routers that
	// report less are taken at this: less exists on no link that carries a
	// cluster, and believing it would let a forged report fragment everything.
	MinMTU = 576
	// defaultMTUAge is how long a learned path MTU holds unless the configuration
	// says otherwise, in nanoseconds (RFC 1191 section 6.3).
	defaultMTUAge = 600e9
	// downAge is how long a reported failure holds, in nanoseconds.
	downAge = 10e9
	// peerBurst is which part of a second's packets a peer may send at once: a
	// tenth.
	peerBurst = 10
)

// SoftState is what is known of the paths to a tunnel's peers (RFC 2003 section
// 5): the path MTU and whether the peer can be reached. Peers are named by their
// Index. Safe for concurrent use; readers pay one atomic load.
type SoftState struct {
	peers  []peerState
	mtuAge int64
	rate   rate.Limit
}

// peerState packs time and value in one word each, so that both change at once.
type peerState struct {
	mtu   atomic.Uint64 // milliseconds<<16 | path MTU in bytes; 0 is unknown
	down  atomic.Int64  // nanoseconds of the last failure + 1; 0 is none
	meter rate.Shared   // of packets decapsulated; begins anew with the state
}

// NewSoftState returns the state of t's peers. What old knew of the peers of
// before, a tunnel with another configuration, is kept where the address is the
// same. Both may be nil.
func NewSoftState(t, before *Tunnel, old *SoftState) *SoftState {
	s := &SoftState{peers: make([]peerState, len(t.peers)), mtuAge: t.mtuAge, rate: t.rate}
	if before == nil || old == nil {
		return s
	}
	for _, p := range before.peers {
		if now, ok := t.hosts.get(p.Addr); ok {
			s.peers[now.Index].mtu.Store(old.peers[p.Index].mtu.Load())
			s.peers[now.Index].down.Store(old.peers[p.Index].down.Load())
		}
	}
	return s
}

// Learn records the outer path MTU to a peer, in bytes, as PathMTU read it from a
// report. A report can lower it, or renew it, but never raise it before it has
// aged. now is in nanoseconds.
func (s *SoftState) Learn(peer int, mtu uint16, now int64) {
	w := &s.peers[peer].mtu
	for {
		old := w.Load()
		if known := uint16(old); known != 0 && known < mtu && !s.aged(old, now) {
			return
		}
		if w.CompareAndSwap(old, uint64(now/1e6)<<16|uint64(mtu)) {
			return
		}
	}
}

// MTU returns the largest inner packet, in bytes, that the path to the peer takes
// by a port whose MTU is link.
func (s *SoftState) MTU(peer, link int, now int64) int {
	if w := s.peers[peer].mtu.Load(); w != 0 && !s.aged(w, now) {
		link = min(link, int(uint16(w)))
	}
	return link - Overhead
}

func (s *SoftState) aged(word uint64, now int64) bool {
	return now/1e6-int64(word>>16) > s.mtuAge/1e6
}

// Admit reports whether one more packet of the peer is within Config.PeerRate, and
// counts it if so.
func (s *SoftState) Admit(peer int, now int64) bool { return s.peers[peer].meter.Allow(s.rate, now) }

// Fail records that a router says that the peer cannot be reached.
func (s *SoftState) Fail(peer int, now int64) { s.peers[peer].down.Store(now + 1) }

// Heard records that a packet of the peer was decapsulated: it is reachable.
func (s *SoftState) Heard(peer int) {
	if d := &s.peers[peer].down; d.Load() != 0 {
		d.Store(0)
	}
}

// Down reports whether the peer is known to be out of reach, so that packets for
// it may be answered with ICMP host unreachable at once. It is believed for ten
// seconds, or until Heard.
func (s *SoftState) Down(peer int, now int64) bool {
	d := s.peers[peer].down.Load()
	return d != 0 && now-d < downAge
}

// plateaus are the MTUs of usual links, from RFC 1191 section 7.1.
var plateaus = [...]uint16{32000, 17914, 8166, 4352, 2002, 1492, 1006, MinMTU}

// PathMTU returns the path MTU, in bytes, that an ICMP 3/4 report means: reported
// is what it says, 0 where the router is too old to say (RFC 1191 section 5), and
// length the quoted packet's total length. It reports false if the report makes no
// sense: no smaller than what was sent, or below what IPv4 allows.
func PathMTU(reported uint16, length int) (uint16, bool) {
	if reported == 0 {
		for _, p := range plateaus {
			if int(p) < length {
				return p, true
			}
		}
		return 0, false
	}
	if reported < 68 {
		return 0, false
	}
	mtu := max(reported, MinMTU)
	return mtu, int(mtu) < length
}
