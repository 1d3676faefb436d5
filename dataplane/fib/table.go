package fib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"
)

// ErrDuplicate says that the table has a route for the prefix already.
var ErrDuplicate = errors.New("prefix has a route already")

// A Table is a set of routes, one for each prefix. It never changes; safe for
// concurrent use. The zero value is not usable: see Builder and Empty.
type Table struct {
	lpm *bart.Fast[*Route]
}

// Empty returns a table without routes.
func Empty() *Table { return &Table{lpm: new(bart.Fast[*Route])} }

// Lookup returns the route with the longest prefix that holds the IPv4 address
// dst, or nil. The route is shared and read-only.
func (t *Table) Lookup(dst uint32) *Route {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], dst)
	r, _ := t.lpm.Lookup(netip.AddrFrom4(a))
	return r
}

// LookupAddr is Lookup for either address family.
func (t *Table) LookupAddr(dst netip.Addr) *Route {
	r, _ := t.lpm.Lookup(dst.Unmap())
	return r
}

// Get returns the route of exactly this prefix, or nil.
func (t *Table) Get(p netip.Prefix) *Route {
	r, _ := t.lpm.Get(p)
	return r
}

// Len returns the number of routes.
func (t *Table) Len() int { return t.lpm.Size() }

// All yields the routes in the order of their prefixes.
func (t *Table) All() iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for _, r := range t.lpm.AllSorted() {
			if !yield(r) {
				return
			}
		}
	}
}

// With returns a copy of the table that has r, in place of the prefix's former
// route if there was one. The copies share what is equal: the cost depends on the
// depth of the prefix, not on the number of routes.
func (t *Table) With(r Route) (*Table, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	r.Hops = identified(r.Hops)
	return &Table{lpm: t.lpm.InsertPersist(r.Prefix, &r)}, nil
}

// Without returns a copy of the table that has no route of exactly this prefix.
func (t *Table) Without(p netip.Prefix) *Table {
	return &Table{lpm: t.lpm.DeletePersist(p)}
}

// identified returns a copy of hops with their ids.
func identified(hops []Hop) []Hop {
	if len(hops) == 0 {
		return nil
	}
	hs := make([]Hop, len(hops))
	copy(hs, hops)
	for i := range hs {
		hs[i].identify()
	}
	return hs
}

// A Builder makes a table of many routes. Not for concurrent use.
type Builder struct {
	lpm *bart.Fast[*Route]
	// chunk holds routes; a full one is left to the table and a new one begun,
	// so that a million routes are few objects to the garbage collector.
	chunk []Route
	// groups holds each distinct set of hops once: many routes share few.
	groups map[string][]Hop
	key    []byte
}

const chunkRoutes = 512

// NewBuilder returns an empty builder.
func NewBuilder() *Builder {
	return &Builder{lpm: new(bart.Fast[*Route]), groups: make(map[string][]Hop)}
}

// Add adds a route. It returns ErrDuplicate, wrapped with both, if the prefix has
// one already: the first stays. The caller keeps r.Hops.
func (b *Builder) Add(r Route) error {
	if err := r.check(); err != nil {
		return err
	}
	if old, ok := b.lpm.Get(r.Prefix); ok {
		return fmt.Errorf("route %v: %w: %v", &r, ErrDuplicate, old)
	}
	r.Hops = b.share(r.Hops)
	if len(b.chunk) == cap(b.chunk) {
		b.chunk = make([]Route, 0, chunkRoutes)
	}
	b.chunk = append(b.chunk, r)
	b.lpm.Insert(r.Prefix, &b.chunk[len(b.chunk)-1])
	return nil
}

// share returns the builder's own copy of hops.
func (b *Builder) share(hops []Hop) []Hop {
	k := b.key[:0]
	for _, h := range hops {
		a := h.Via.As16()
		k = append(k, a[:]...)
		k = append(k, byte(h.Via.BitLen()), h.Weight)
		k = binary.BigEndian.AppendUint16(k, h.Port)
		k = binary.BigEndian.AppendUint16(k, uint16(h.Tunnel))
	}
	b.key = k
	group, ok := b.groups[string(k)]
	if !ok {
		group = identified(hops)
		b.groups[string(k)] = group
	}
	return group
}

// Build returns the table and leaves the builder empty.
func (b *Builder) Build() *Table {
	t := &Table{lpm: b.lpm}
	*b = *NewBuilder()
	return t
}
