// Package fib finds the route of a destination: longest prefix match over an
// immutable table, and the choice of one next hop of several by the flow's hash.
//
// The control side builds tables and publishes them; workers only read. The trie
// is github.com/gaissmai/bart, which serves IPv4 and IPv6 alike. A lookup costs
// one walk of at most four levels for IPv4 and does not allocate
// (BenchmarkLookup).
//
// RFC 1812 section 5.2.4, RFC 2992 (multipath).
package fib

import (
	"fmt"
	"net/netip"
)

// Kind says what a route does with packets. The zero value is refused.
type Kind uint8

// Kinds of route.
const (
	_           Kind = iota
	Connected        // deliver on the link; the next hop is the destination
	Via              // send to a next hop
	Local            // an address of the gateway itself
	Blackhole        // drop silently
	Unreachable      // drop and say so by ICMP
	kinds
)

var kindNames = [kinds]string{"invalid", "connected", "via", "local", "blackhole", "unreachable"}

// String returns the kind as the configuration spells it.
func (k Kind) String() string {
	if k >= kinds {
		return kindNames[0]
	}
	return kindNames[k]
}

// NoTunnel is the Tunnel of a hop that sends packets as they are.
const NoTunnel = -1

// A Hop is one way out.
type Hop struct {
	// Via is the neighbor to send to. Invalid means that the neighbor is the
	// destination itself, as on connected subnets and point-to-point ports.
	Via netip.Addr
	// Port is the logical port to leave by.
	Port uint16
	// Tunnel is the index of the tunnel to encapsulate for, or NoTunnel.
	Tunnel int16
	// Weight is the hop's share of flows relative to its siblings. 0 counts as 1.
	Weight uint8

	// id stands for the hop in Pick; equal hops have equal ids in every table,
	// so that a reload moves no flow.
	id uint64
}

// A Route is what a table knows of a prefix. Routes in a table are read-only.
type Route struct {
	// Prefix has no host bits set.
	Prefix netip.Prefix
	Kind   Kind
	// Hops has at least one entry for Connected and Via, none for Blackhole and
	// Unreachable, and at most one for Local: the port that has the address.
	Hops []Hop
	// Line is the line of the configuration, 0 where there is none.
	Line int
	// Source says who asked for the route: "static", "port wan", "tunnel pods".
	Source string
}

// String returns the route in one line, for errors and people.
func (r *Route) String() string {
	return fmt.Sprintf("%v %v %s:%d", r.Prefix, r.Kind, r.Source, r.Line)
}

// Leaves reports whether one of the route's hops leaves by port: what strict
// reverse-path filtering asks of the route back to a source (RFC 3704 2.2).
func (r *Route) Leaves(port uint16) bool {
	for i := range r.Hops {
		if r.Hops[i].Port == port {
			return true
		}
	}
	return false
}

// check says what is wrong with the route, if anything.
func (r *Route) check() error {
	switch {
	case !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked():
		return fmt.Errorf("route %v: prefix is invalid or has host bits", r)
	case r.Prefix.Addr().Is4In6():
		return fmt.Errorf("route %v: prefix is IPv4 in IPv6 notation", r)
	case r.Kind == 0 || r.Kind >= kinds:
		return fmt.Errorf("route %v: unknown kind %d", r, r.Kind)
	}
	low, high := 0, 0
	switch r.Kind {
	case Connected, Via:
		low, high = 1, MaxHops
	case Local:
		high = 1
	}
	if n := len(r.Hops); n < low || n > high {
		return fmt.Errorf("route %v: got %d hops; want %d to %d", r, n, low, high)
	}
	for i, h := range r.Hops {
		if h.Via.IsValid() && h.Via.Is4() != r.Prefix.Addr().Is4() {
			return fmt.Errorf("route %v: next hop %v is of the other address family", r, h.Via)
		}
		if h.Via.Zone() != "" {
			return fmt.Errorf("route %v: next hop %v has a zone; the port says the link", r, h.Via)
		}
		for _, o := range r.Hops[:i] {
			if o.Via == h.Via && o.Port == h.Port && o.Tunnel == h.Tunnel {
				return fmt.Errorf("route %v: next hop %v stands there twice", r, h.Via)
			}
		}
	}
	return nil
}
