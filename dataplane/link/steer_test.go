package link_test

import (
	"testing"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
)

func TestSteerIsSymmetricAndSeesThroughTagsAndTunnels(t *testing.T) {
	f := linktest.UDP(7, 40, false)
	want := flow.Steer(0xc0000201, 0xc6336401, 4000, 5007)
	if back := flow.Steer(0xc6336401, 0xc0000201, 5007, 4000); back != want {
		t.Fatalf("the reply steers to %d; want %d", back, want)
	}
	for name, b := range map[string][]byte{
		"plain":  f.Bytes,
		"tagged": f.Tagged(0x8100_0005).Bytes,
		"QinQ":   f.Tagged(0x8100_0005).Tagged(0x88a8_0006).Bytes,
		"IPIP":   linktest.IPIP(f.Bytes, false),
	} {
		if got := link.Steer(b, false); got != want {
			t.Errorf("%s: got %d; want %d", name, got, want)
		}
	}
	if got := link.Steer(linktest.IPIP(linktest.UDP(7, 40, true).Bytes, true), true); got != want {
		t.Errorf("l3 IPIP: got %d; want %d", got, want)
	}
}

func TestSteerOfOtherPackets(t *testing.T) {
	addrs := flow.Steer(0xc0000201, 0xc6336401, 0, 0)
	first := linktest.UDP(7, 40, true).Bytes
	header.IPv4(first).SetFragment(header.MoreFragments)
	icmp := linktest.UDP(7, 40, true).Bytes
	header.IPv4(icmp).SetProtocol(flow.ICMP)
	v6 := linktest.UDP(7, 40, true).Bytes
	v6[0] = 0x60
	for _, row := range []struct {
		name string
		in   []byte
		want uint16
	}{
		{"a first fragment is steered as its siblings are", first, addrs},
		{"protocols without ports are steered by addresses", icmp, addrs},
		{"IPv6 goes to 0", v6, 0},
		{"what has no ports left goes to 0", linktest.UDP(7, 40, true).Bytes[:22], 0},
		{"what has no addresses left goes to 0", icmp[:19], 0},
		{"nothing goes to 0", nil, 0},
	} {
		if got := link.Steer(row.in, true); got != row.want {
			t.Errorf("%s: got %d; want %d", row.name, got, row.want)
		}
	}
}

func FuzzSteer(f *testing.F) {
	f.Add(linktest.UDP(1, 20, false).Bytes, false)
	f.Add(linktest.IPIP(linktest.UDP(1, 20, true).Bytes, true), true)
	f.Fuzz(func(_ *testing.T, b []byte, l3 bool) { link.Steer(b, l3) })
}
