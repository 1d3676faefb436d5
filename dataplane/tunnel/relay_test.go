package tunnel

import (
	"bytes"
	"fmt"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/icmp"
	"openvra/dataplane/packet"
)

// report returns an ICMP error from a router on the way to the worker, about an
// outer packet of which n bytes of the inner one are quoted.
func report(t testing.TB, typ, code uint8, rest uint32, inner header.IPv4, n int) (*packet.Packet, icmp.Quote) {
	t.Helper()
	outer := ipv4(gateway, worker, flow.IPIP, 0, 64, header.DontFragment, inner)
	m := header.ICMP(append(make([]byte, header.ICMPLen), outer[:header.IPv4Len+n]...))
	m.SetType(typ)
	m.SetCode(code)
	m.SetID(uint16(rest >> 16))
	m.SetSeq(uint16(rest))
	m.SetChecksum(checksum.Of(m))
	p := framed(t, ipv4(0xc00002fe, gateway, flow.ICMP, 0, 60, 0, m), 2)
	q, reason := icmp.ParseQuote(p, 0)
	if reason != drop.None {
		t.Fatal(reason)
	}
	return p, q
}

func TestReadError(t *testing.T) {
	none := Report{}
	unreachable := Report{Relay: true, Message: icmp.HostUnreachable, Down: true}
	late := Report{Relay: true, Message: icmp.HostUnreachable}
	rows := []struct {
		typ, code uint8
		rest      uint32
		want      Report
	}{
		{3, 0, 0, unreachable},
		{3, 1, 0, unreachable},
		{3, 2, 0, unreachable},
		{3, 3, 0, none},
		{3, 4, 1400, Report{Relay: true, Message: icmp.FragNeeded(1380), MTU: 1400}},
		{3, 4, 0, Report{Relay: true, Message: icmp.FragNeeded(1472), MTU: 1492}},
		{3, 4, 1500, none},
		{3, 4, 20, none},
		{3, 5, 0, none},
		{3, 13, 0, unreachable},
		{4, 0, 0, none},
		{5, 1, worker, none},
		{11, 0, 0, unreachable},
		{11, 1, 0, late},
		{12, 0, 8 << 24, none},
		{12, 0, 28 << 24, Report{Relay: true, Message: icmp.Parameter(8)}},
		{12, 1, 28 << 24, none},
	}
	inner := ipv4(client, pod, flow.UDP, 0, 61, header.DontFragment, make([]byte, 1460))
	for _, r := range rows {
		t.Run(fmt.Sprintf("%d/%d %#x", r.typ, r.code, r.rest), func(t *testing.T) {
			p, q := report(t, r.typ, r.code, r.rest, inner, 28)
			if got := ReadError(p, &q); got != r.want {
				t.Errorf("got %+v; want %+v", got, r.want)
			}
		})
	}
}

func TestRelayError(t *testing.T) {
	inner := ipv4(client, pod, flow.UDP, 0, 61, header.DontFragment, make([]byte, 1460))
	for _, n := range []int{28, 100, 548, 1400} {
		p, q := report(t, 3, 4, 1400, inner, n)
		if !RelayError(p, &q, ReadError(p, &q), gateway) {
			t.Fatalf("%d bytes quoted: not relayed", n)
		}
		h := whole(t, p)
		m := header.ICMP(h[header.IPv4Len:])
		if h.Src() != gateway || h.Dst() != client || m.Type() != 3 || m.Code() != 4 || m.MTU() != 1380 || checksum.Of(m) != 0 {
			t.Errorf("%d bytes quoted: got % x", n, h[:28])
		}
		if want := inner[:min(n, icmp.MaxQuote)]; !bytes.Equal(m[header.ICMPLen:], want) {
			t.Errorf("%d bytes quoted: got a quote of %d bytes; want %d", n, len(m)-8, len(want))
		}
		if q, reason := icmp.ParseQuote(p, 0); reason != drop.None || q.Key.Src() != client || q.Key.Dst() != pod {
			t.Errorf("%d bytes quoted: the relayed error reads %+v, %v", n, q, reason)
		}
	}
}

func TestErrorsThatAreNotRelayed(t *testing.T) {
	inner := func(change func(h header.IPv4)) header.IPv4 {
		h := ipv4(client, pod, flow.UDP, 0, 61, 0, make([]byte, 60))
		change(h)
		return h
	}
	rows := []struct {
		name      string
		typ, code uint8
		inner     header.IPv4
		n         int
	}{
		{"8 bytes of the inner packet (RFC 792)", 3, 1, inner(func(header.IPv4) {}), 8},
		{"an inner header but no ports", 3, 1, inner(func(header.IPv4) {}), 27},
		{"an inner packet of another version", 3, 1, inner(func(h header.IPv4) { h[0] = 0x65 }), 40},
		{"an inner header length under 20", 3, 1, inner(func(h header.IPv4) { h[0] = 0x44 }), 40},
		{"an inner header past the quote", 3, 1, inner(func(h header.IPv4) { h[0] = 0x4f }), 40},
		{"an inner header that is damaged", 3, 1, inner(func(h header.IPv4) { h[15]++ }), 40},
		{"nothing to relay", 3, 3, inner(func(header.IPv4) {}), 40},
	}
	for _, r := range rows {
		p, q := report(t, r.typ, r.code, 0, r.inner, r.n)
		was := bytes.Clone(p.Bytes())
		if RelayError(p, &q, ReadError(p, &q), gateway) || !bytes.Equal(p.Bytes(), was) {
			t.Errorf("%s: relayed, or changed", r.name)
		}
	}
}

func TestConcerns(t *testing.T) {
	tun := example(t, func(*Config) {})
	far := ip("198.51.100.10")
	rows := []struct {
		name string
		key  flow.Key
		want bool
	}{
		{"ours", flow.Make(gateway, far, 0, 0, flow.IPIP, 0), true},
		{"another protocol", flow.Make(gateway, far, 0, 0, flow.GRE, 0), false},
		{"another's", flow.Make(client, far, 0, 0, flow.IPIP, 0), false},
		{"to no worker", flow.Make(gateway, client, 0, 0, flow.IPIP, 0), false},
		{"to a source that is no worker", flow.Make(gateway, ip("203.0.113.5"), 0, 0, flow.IPIP, 0), false},
	}
	for _, r := range rows {
		if p, ok := tun.Concerns(r.key); ok != r.want || ok && p.Addr != far {
			t.Errorf("%s: got %+v %v; want %v", r.name, p, ok, r.want)
		}
	}
}
