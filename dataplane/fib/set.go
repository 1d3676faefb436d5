package fib

import (
	"maps"
	"slices"
)

// A Set is the main table and the named ones that policy routing needs, one for a
// zone, say. It never changes; safe for concurrent use.
type Set struct {
	main  *Table
	named map[string]*Table
}

// NewSet returns a set. It keeps named, which the caller must not change again.
// A nil main is an empty table.
func NewSet(main *Table, named map[string]*Table) *Set {
	if main == nil {
		main = Empty()
	}
	return &Set{main: main, named: named}
}

// Main returns the main table.
func (s *Set) Main() *Table { return s.main }

// Table returns the named table, or nil.
func (s *Set) Table(name string) *Table { return s.named[name] }

// View returns the routes seen from the named table: its own, then those of the
// main table where it has none. A name without a table, the empty one included,
// is the main table alone.
func (s *Set) View(name string) View {
	if t, ok := s.named[name]; ok {
		return View{first: t, main: s.main}
	}
	return View{first: s.main, main: s.main}
}

// A View is one table with the main table behind it. Safe for concurrent use.
// A blackhole in the first table ends the search: it is a route.
type View struct{ first, main *Table }

// Lookup returns the route of the IPv4 address dst, or nil.
func (v View) Lookup(dst uint32) *Route {
	if r := v.first.Lookup(dst); r != nil || v.first == v.main {
		return r
	}
	return v.main.Lookup(dst)
}

// Names returns the names of the named tables, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.named)) }
