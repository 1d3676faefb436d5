package nat_test

import (
	"fmt"
	"net/netip"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/nat"
)

// A worker's slow path asks for one flow what its session will do from then on.
func Example() {
	const outside, inside = 0, 1 // logical ports
	rules, err := nat.Compile(nat.Section{
		Sources: []nat.Source{{
			Name: "internet", Out: nat.Links(outside), Kind: nat.Masquerade,
			From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	state := nat.New(nat.Config{Seed: [32]byte{1}}) // random in earnest
	state.Bind(rules)

	f := nat.Flow{
		Src: 0x0a000001, SrcPort: 40000, // 10.0.0.1
		Dst: 0xcb007150, DstPort: 443, // 203.0.113.80
		Proto: flow.TCP, In: inside,
	}
	if to, ok := rules.Destination(f); ok {
		f.Dst, f.DstPort = to.Addr, to.Port
	}
	// Routing says that it leaves by the outside port, which has 198.51.100.1.
	rule := rules.Source(f, outside)
	shown, reason := state.Map(rule, f, 0xc6336401, 0)
	if reason != drop.None {
		fmt.Println("dropped:", reason)
		return
	}
	rule.Hit()
	fmt.Printf("%s shows %x:%d\n", rule.Name, shown.Addr, shown.Port)
	state.Release(shown.Handle, f.Dst, 0, true)
	fmt.Println(state.Stats().Mappings, "mappings left")
	// Output:
	// internet shows c6336401:40000
	// 0 mappings left
}
