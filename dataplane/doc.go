// Package dataplane moves packets. It knows no feature: what is to become of a new
// flow it asks of a Decider, and writes the answer into a session.
//
// # A packet's way
//
// A worker takes a batch of packets from one queue of a port and runs each step of
// its line over the whole batch before the next one:
//
//	rx ─ parse ─ decap ─ lookup ─┬─ hit ─► forward ─► tx
//	                             └─ exceptions ─► ARP, ping, fragments, ICMP errors, new flows
//
// The order of the steps is data and stands in package appliance (path.go). Forward
// is track, rewrite, encap and resolve in one loop, for the packet's headers and the
// session are in the cache then.
//
// # Hot path
//
// Files marked "Hot path" run per packet: no allocation, lock, channel, defer, clock,
// log, map or error value. Parse checks lengths once and stores offsets; later steps
// trust them. A decision for a flow is a session; it costs a packet one lookup and one
// rewrite, whatever the number of rules and routes.
//
// # Workers
//
// A worker is one goroutine on one thread. It owns one queue of each port, its
// sessions, fragments, buffers and counters, and shares the plan (immutable), the
// neighbor table and the NAT mappings (slow path only). Both directions of a flow
// are on one worker: that of the first packet. Keys whose Steer names another worker
// are planted there (handover.go), and packets handed over through bounded rings.
//
// # Conservation
//
// Every packet that is received or made ends as sent, local, held or dropped with
// one reason. Counters.Balance adds them up; tests assert that it is zero.
package dataplane
