// Package session holds flows and the decisions made for them.
//
// A table belongs to one worker, which alone touches it. It has no pointers, so the
// garbage collector never walks it, and it never grows: memory is reserved by New
// and touched only as sessions come.
//
// A session is 128 bytes for IPv4: one cache line that every packet reads, one
// that it writes its counts to. It is found by two index entries of 8 bytes, one for
// each direction, in buckets of one cache line:
//
//	bucket  | entry 0 | ... | entry 6 | overflow |      8 x 8 bytes
//	entry   63  tag (high hash bits) 32 31  session ID  1 0 direction
//
// The table is generic in the key so that 128-bit addresses need another key type
// and nothing else; TestTableKeys runs it with both.
package session

// ID names a session within its table. Zero is no session. IDs are used again.
type ID uint32

// Dir is a direction of a session.
type Dir uint8

const (
	Original Dir = 0 // as the first packet went
	Reply    Dir = 1
)

// Flags of a session.
const (
	// Translated says that addresses or ports change on the way.
	Translated = 1 << iota
	// PortsChange says that a port or ICMP identifier changes.
	PortsChange
	// Local says that one end is the gateway's host.
	Local
	// SeenReply says that the reply direction carried a packet.
	SeenReply
	// ScaleKnown says that both SYNs were seen, so windows can be scaled.
	ScaleKnown
	// OneWayRefresh says that only the original direction keeps the session, as of
	// a NAT mapping (RFC 4787 REQ-6: inbound traffic need not).
	OneWayRefresh
	_ // the top bit says who finished first
)

// Session is the compiled decision for one flow. Fields are written by the worker
// that owns the table; others read copies (see Table.Snapshot).
type Session[K comparable] struct {
	// First cache line: read by each packet.

	// Key holds the two keys as packets arrive: Key[Original] of the first
	// packet, Key[Reply] of its answers. The rewrite of a direction is to the
	// other key with its ends exchanged.
	Key [2]K
	// Gen is the plan's generation under which this was decided.
	Gen uint32
	// Way is the adjacency of the plan by which each direction leaves.
	Way [2]uint32
	// LastSeen is when a packet last refreshed it, in ticks.
	LastSeen uint32
	// L3Delta and L4Delta are the checksum changes of the original direction;
	// the reply's are their complements.
	L3Delta, L4Delta uint16
	// Port is the logical port each direction was last seen on.
	Port  [2]uint16
	State State
	Flags uint8
	// scale holds the two window shifts, the original's in the low half.
	scale uint8
	_     uint8
	// Created is when it was made, in ticks.
	Created uint32

	// Second cache line: written by each packet.

	// Bytes and Packets count layer 3, by direction.
	Bytes   [2]uint64
	Packets [2]uint32
	tcp     [2]tcpSide
	// Route is the line of the configuration that routed the original
	// direction; Rule holds the destination and the source NAT rule, as index+1.
	Route uint32
	Rule  [2]uint16
	// Mapping is the NAT mapping it holds, 0 for none.
	Mapping    uint32
	prev, next ID
}

// tickShift turns nanoseconds into ticks of 2^26 ns (67 ms): 32 bits last nine years.
const tickShift = 26

// Ticks converts nanoseconds.
func Ticks(ns int64) uint32 { return uint32(ns >> tickShift) }

// Nanoseconds converts ticks.
func Nanoseconds(ticks uint32) int64 { return int64(ticks) << tickShift }

// Idle returns for how long, in ticks, nothing refreshed s.
func (s *Session[K]) Idle(now uint32) uint32 {
	if d := now - s.LastSeen; int32(d) > 0 {
		return d
	}
	return 0
}
