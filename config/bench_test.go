package config

import (
	"fmt"
	"strings"
	"testing"
)

// manyRules is a file of n routes of two next hops and n NAT rules.
func manyRules(n int) []byte {
	var b strings.Builder
	b.WriteString("ports:\n  - {name: wan, addresses: 203.0.113.2/24}\n  - {name: lan, addresses: 10.0.0.1/16}\nroutes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - to: 172.30.%d.%d/32\n    via: [10.0.0.2, 10.0.0.3]\n", i>>8, i&255)
	}
	b.WriteString("nat:\n  destination:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: rule-%d\n    in: wan\n    to: 203.0.113.2\n    protocol: tcp\n    ports: %d\n    translate: 10.0.%d.%d:8443\n",
			i, i+1, i>>8, i&255)
	}
	return []byte(b.String())
}

func BenchmarkParse10kRoutes10kNAT(b *testing.B) {
	data := manyRules(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("gw.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal10kRoutes10kNAT(b *testing.B) {
	c, err := Parse("gw.yaml", manyRules(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Marshal(); err != nil {
			b.Fatal(err)
		}
	}
}
