package fib

import (
	"encoding/binary"
	"math"
)

// MaxHops is the largest number of hops of a route.
const MaxHops = 64

// Pick returns the hop for a flow with the given hash, or nil if the route has
// none. Flows spread by weight. The choice is the highest random weight
// (rendezvous): when a hop goes only its own flows move, when one comes it takes
// its share and no other flow moves. Equal hops are picked alike in every table
// and at every start. O(hops), no allocation.
func (r *Route) Pick(hash uint64) *Hop {
	switch len(r.Hops) {
	case 0:
		return nil
	case 1:
		return &r.Hops[0]
	}
	if r.even() {
		return r.pickEven(hash)
	}
	best, least := 0, math.Inf(1)
	for i := range r.Hops {
		h := &r.Hops[i]
		// -ln(u)/w is exponentially distributed with rate w: the least of them
		// falls on each hop with a probability in proportion to its weight.
		u := float64(mix(hash^h.id)>>11|1) * 0x1p-53
		if cost := -math.Log(u) / float64(max(h.Weight, 1)); cost < least {
			best, least = i, cost
		}
	}
	return &r.Hops[best]
}

// even reports whether all hops weigh the same.
func (r *Route) even() bool {
	for i := range r.Hops {
		if r.Hops[i].Weight != r.Hops[0].Weight {
			return false
		}
	}
	return true
}

// pickEven is Pick where all hops weigh the same: the least -ln(u)/w is the
// greatest u, without its logarithm (BenchmarkPick: a fifth of the time).
func (r *Route) pickEven(hash uint64) *Hop {
	best, most := 0, uint64(0)
	for i := range r.Hops {
		if u := mix(hash^r.Hops[i].id) >> 11; u > most {
			best, most = i, u
		}
	}
	return &r.Hops[best]
}

// identify sets the hop's id from what it is; its weight is not part of it, so
// that changing a weight moves as few flows as possible.
func (h *Hop) identify() {
	a := h.Via.As16() // all zero where Via is invalid
	id := mix(uint64(h.Port)<<16 | uint64(uint16(h.Tunnel)))
	id = mix(id ^ binary.BigEndian.Uint64(a[:8]))
	h.id = mix(id ^ binary.BigEndian.Uint64(a[8:]))
}

// mix is the finalizer of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
