package fib

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
)

const million = 1_000_000

// internet returns n routes with the lengths that a full table has, most of them
// /24, over 16 sets of hops.
func internet(n int) []Route {
	rnd := rand.New(rand.NewPCG(9, 10))
	seen := make(map[netip.Prefix]bool, n)
	routes := make([]Route, 0, n)
	for len(routes) < n {
		bits := 24
		switch x := rnd.IntN(10); {
		case x < 2:
			bits = 22
		case x < 3:
			bits = 16 + rnd.IntN(8)
		}
		p, err := addr4(rnd.Uint32N(0xe0000000)).Prefix(bits)
		if err != nil || seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, Route{Prefix: p, Kind: Via, Source: "static",
			Hops: []Hop{{Via: addr4(0xc0000200 + rnd.Uint32N(16)), Port: 1, Tunnel: NoTunnel}}})
	}
	return routes
}

func build(tb testing.TB, routes []Route) *Table {
	b := NewBuilder()
	for _, r := range routes {
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Build()
}

func BenchmarkLookup(b *testing.B) {
	table := build(b, internet(million))
	dst := make([]uint32, 1<<16)
	rnd := rand.New(rand.NewPCG(11, 12))
	for i := range dst {
		dst[i] = rnd.Uint32N(0xe0000000)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Lookup(dst[i&(len(dst)-1)])
	}
}

func BenchmarkBuild(b *testing.B) {
	routes := internet(million)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var table *Table
	for b.Loop() {
		table = build(b, routes)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/million, "B/route")
	runtime.KeepAlive(table)
	runtime.KeepAlive(routes)
}

func BenchmarkWith(b *testing.B) {
	routes := internet(million)
	table := build(b, routes)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := table.With(routes[i%million]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for name, weight := range map[string]uint8{"even": 1, "weighted": 2} {
		b.Run(name, func(b *testing.B) {
			r := via("10.0.0.0/8", hop(1, "192.0.2.1"), hop(2, "192.0.2.2"), hop(3, "192.0.2.3"))
			for i := range r.Hops {
				r.Hops[i].Weight = 1
			}
			r.Hops[0].Weight = weight
			table, err := Empty().With(r)
			if err != nil {
				b.Fatal(err)
			}
			picked := table.Lookup(10 << 24)
			for hash := uint64(0); b.Loop(); hash++ {
				picked.Pick(hash)
			}
		})
	}
}
