package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane/link"
)

const (
	manyRoutes   = 10_000
	manyRules    = 10_000 // of NAT, of all three kinds
	manySessions = 1_000_000
)

// large returns a configuration with many routes and rules of which the benchmark's
// flows use the last ones; each edition of it is a little different from the others.
func large(edition int) []byte {
	var routes, sources, destinations, oneToOne strings.Builder
	for i := range manyRoutes {
		fmt.Fprintf(&routes, "  - {to: %d.%d.%d.0/24, via: [203.0.113.1]}\n", 20+i>>16, i>>8&255, i&255)
	}
	fmt.Fprintf(&routes, "  - {to: 198.18.%d.0/24, blackhole: true}\n", edition%256)
	for i := range manyRules / 2 {
		fmt.Fprintf(&destinations, "    - {name: d%d, in: [outside], to: 203.0.113.%d, protocol: tcp, ports: %d, translate: \"10.200.%d.%d:80\"}\n",
			i, 10+i%50, 1000+i/50, i>>8&255, i&255)
	}
	for i := range manyRules*2/5 - 1 {
		fmt.Fprintf(&sources, "    - {name: s%d, out: [outside], from: [10.%d.%d.0/24], to: [192.0.2.%d/32], translate: 203.0.113.%d}\n",
			i, 128+i>>8, i&255, i%256, 64+i%64)
	}
	for i := range manyRules / 10 {
		fmt.Fprintf(&oneToOne, "    - {name: o%d, out: [outside], outside: 198.18.%d.%d, inside: 10.220.%d.%d}\n", i, 4+i>>8, i&255, i>>8, i&255)
	}
	s := strings.Replace(gateway, "routes:\n", "routes:\n"+routes.String(), 1)
	s = strings.Replace(s, "  source:\n", "  source:\n"+sources.String(), 1)
	s = strings.Replace(s, "limits:", "  destination:\n"+destinations.String()+"  oneToOne:\n"+oneToOne.String()+"limits:", 1)
	return []byte(s)
}

// newLargeRig is a rig whose gateway has the large configuration and its flows'
// sessions.
func newLargeRig(tb testing.TB) *rig {
	tb.Helper()
	c, err := config.Parse("large.yaml", large(0))
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{inside: newSource(1), outside: newSource(2), now: 1e9}
	r.inside.template = template(0x0a100000, 0xc6336401, false)
	r.inside.flow = setFlow(14, 0x0a100000)
	r.inside.order = make([]uint32, manySessions)
	for i := range r.inside.order {
		r.inside.order[i] = uint32(i)
	}
	r.off, err = appliance.NewOffline(c, appliance.OfflineOptions{Ports: map[string]link.Port{"inside": r.inside, "outside": r.outside}})
	if err != nil {
		tb.Fatal(err)
	}
	r.send(tb, r.inside, manySessions)
	if n := r.off.Workers()[0].Sessions().Used(); n != manySessions {
		tb.Fatalf("%d sessions; want %d", n, manySessions)
	}
	return r
}

// BenchmarkReload measures a reload of 10,000 routes and 10,000 NAT rules while a
// million sessions live: to read and check the file, to build and swap the plan; and
// then what the first packet of each session costs, which is decided again, beside the
// second, which is not.
func BenchmarkReload(b *testing.B) {
	r := newLargeRig(b)
	files := [2][]byte{large(1), large(2)}
	var parse, apply, again, hit time.Duration
	timed := func(sum *time.Duration, f func()) {
		begin := time.Now()
		f()
		*sum += time.Since(begin)
	}
	n := 0
	b.ResetTimer()
	for b.Loop() {
		var c *config.Config
		var err error
		timed(&parse, func() { c, err = config.Parse("large.yaml", files[n%2]) })
		if err != nil {
			b.Fatal(err)
		}
		timed(&apply, func() { err = r.off.Apply(c) })
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		made := r.off.Workers()[0].Counters.SessionsMade.Load()
		timed(&again, func() { r.send(b, r.inside, manySessions) })
		timed(&hit, func() { r.send(b, r.inside, manySessions) })
		if r.off.Workers()[0].Counters.SessionsMade.Load() != made {
			b.Fatal("sessions were made anew; want them decided again")
		}
		b.StartTimer()
		n++
	}
	per := func(sum time.Duration, n int) float64 { return float64(sum.Nanoseconds()) / float64(n) }
	b.ReportMetric(per(parse, n)/1e6, "parse-ms")
	b.ReportMetric(per(apply, n)/1e6, "apply-ms")
	b.ReportMetric(per(again, n*manySessions), "ns/decided-again")
	b.ReportMetric(per(hit, n*manySessions), "ns/hit")
}
