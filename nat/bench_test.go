package nat

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

func benchFlow(i int) Flow {
	return udp(ip("10.0.0.0")+uint32(i>>10), uint16(1024+i&1023), server, 443)
}

// BenchmarkMapRelease is one mapping made and ended beside a number of live ones.
func BenchmarkMapRelease(b *testing.B) {
	for _, live := range []int{0, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			st, r := bigTable(b, live)
			rule := r.Source(benchFlow(0), outsidePort)
			b.ReportAllocs()
			i := live
			for b.Loop() {
				f := benchFlow(i)
				tr, reason := st.Map(rule, f, wan, 0)
				if reason != drop.None {
					b.Fatal(reason)
				}
				st.Release(tr.Handle, f.Dst, 0, true)
				if i++; i == live+1_000_000 {
					i = live
				}
			}
		})
	}
}

// BenchmarkMapReleaseParallel is the same by all processors at once, all on the
// ports of few addresses.
func BenchmarkMapReleaseParallel(b *testing.B) {
	st, r := bigTable(b, 0)
	rule := r.Source(benchFlow(0), outsidePort)
	b.RunParallel(func(pb *testing.PB) {
		i := int(st.hasher.Hash(flow.Make(1, 1, 1, 1, 1, 1)) & 0xffff)
		for pb.Next() {
			f := benchFlow(i)
			tr, _ := st.Map(rule, f, wan, 0)
			st.Release(tr.Handle, f.Dst, 0, true)
			i++
		}
	})
}

// BenchmarkMapExisting is one more session of a live mapping.
func BenchmarkMapExisting(b *testing.B) {
	st, r := bigTable(b, 1_000_000)
	rule := r.Source(benchFlow(0), outsidePort)
	i := 0
	for b.Loop() {
		f := benchFlow(i % 1_000_000)
		tr, _ := st.Map(rule, f, wan, 0)
		st.Release(tr.Handle, f.Dst, 0, true)
		i += 7919
	}
}

// bigTable returns a State with a number of live mappings, on 64 addresses.
func bigTable(b *testing.B, live int) (*State, *Rules) {
	b.Helper()
	st := New(Config{Mappings: 4 << 20})
	r := compileFor(b, st, sourceOnly(pool("198.51.100.0", "198.51.100.63")))
	for i := range live {
		mapFlow(b, st, r, benchFlow(i), 0)
	}
	return st, r
}

// BenchmarkBytesPerMapping reports what a million mappings hold.
func BenchmarkBytesPerMapping(b *testing.B) {
	const live = 1_000_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		st := New(Config{Mappings: 4 << 20})
		r := compileFor(b, st, sourceOnly(masquerade()))
		rule := r.Source(benchFlow(0), outsidePort)
		for i := range live {
			st.Map(rule, benchFlow(i), wan+uint32(i>>15), 0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/live, "B/mapping")
		runtime.KeepAlive(st)
	}
}

// BenchmarkRules is the search for the rule of a flow among many.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		var s Section
		for i := range n {
			s.Destinations = append(s.Destinations, Destination{
				Name: fmt.Sprint("d", i), To: pfx("198.51.100.1/32"), Protos: []uint8{flow.TCP},
				Ports: []PortRange{{uint16(1000 + i), uint16(1000 + i)}}, New: netip.MustParsePrefix("10.0.0.1/32"),
			})
			s.Sources = append(s.Sources, Source{
				Name: fmt.Sprint("s", i), Kind: Masquerade,
				From: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)},
			})
		}
		r, err := Compile(s)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d/destination", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Destination(tcp(server, 5555, wan, uint16(1000+i%n)))
			}
		})
		b.Run(fmt.Sprintf("%d/source", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Source(tcp(ip("10.0.0.5")+uint32(i%n)<<8, 5555, server, 443), outsidePort)
			}
		})
		b.Run(fmt.Sprintf("%d/compile", n), func(b *testing.B) {
			for b.Loop() {
				Compile(s)
			}
		})
	}
}
