package icmp

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

func udp(payload int) header.IPv4 {
	return transport(flow.Make(client, server, 4000, 53, flow.UDP, 0), nil, bytes.Repeat([]byte{0xab}, payload), 0)
}

func TestError(t *testing.T) {
	rows := []struct {
		name    string
		m       Message
		payload int
		want    string
		quoted  int
	}{
		{"a short packet is quoted whole", TTLExceeded, 4, "TimeExceeded(TTLExceeded) 0 0", 32},
		{"a long one as far as 576 bytes go", HostUnreachable, 1400, "DestinationUnreachable(Host) 0 0", 548},
		{"one of just the length that fits", PortUnreachable, 520, "DestinationUnreachable(Port) 0 0", 548},
		{"the next hop's MTU", FragNeeded(1480), 100, "DestinationUnreachable(FragmentationNeeded) 0 1480", 128},
		{"an MTU that has no room in the field", FragNeeded(70000), 100, "DestinationUnreachable(FragmentationNeeded) 0 65535", 128},
		{"administratively prohibited", Prohibited, 0, "DestinationUnreachable(CommAdminProhibited) 0 0", 28},
		{"no route", NetUnreachable, 0, "DestinationUnreachable(Net) 0 0", 28},
		{"pointer", Parameter(20), 0, "ParameterProblem(PointerIndicatesError) 5120 0", 28},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			in := udp(r.payload)
			p := framed(t, in, 7)
			var out packet.Packet
			if !Error(&out, make([]byte, ErrorBuffer), p, r.m, router) {
				t.Fatal("got false")
			}
			h, m := whole(t, &out)
			if h.Src() != router || h.Dst() != client || h.TTL() != 64 || h.TOS() != 0xc0 {
				t.Errorf("wrong IPv4 header: % x", h[:20])
			}
			dec := gopacket.NewPacket(h, layers.LayerTypeIPv4, gopacket.Default)
			l, ok := dec.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if !ok {
				t.Fatalf("an independent decoder reads no ICMP: %v", dec)
			}
			if got := fmt.Sprint(l.TypeCode, " ", l.Id, " ", l.Seq); got != r.want {
				t.Errorf("got %s; want %s", got, r.want)
			}
			if quote := m[header.ICMPLen:]; !bytes.Equal(quote, in[:r.quoted]) {
				t.Errorf("got a quote of %d bytes; want the first %d of the packet", len(quote), r.quoted)
			}
			if !bytes.Equal(p.Buf[p.L3:p.L3End], in) {
				t.Error("the packet in question changed")
			}
		})
	}
}

func TestErrorRefusesAShortBuffer(t *testing.T) {
	var out packet.Packet
	if Error(&out, make([]byte, ErrorBuffer-1), framed(t, udp(0), 0), TTLExceeded, router) || out.Buf != nil {
		t.Error("a short buffer was used")
	}
}

func TestAnswerable(t *testing.T) {
	host := func(change func(h header.IPv4)) header.IPv4 {
		h := udp(10)
		change(h)
		return h
	}
	from := func(a uint32) header.IPv4 { return host(func(h header.IPv4) { h.SetSrc(a) }) }
	to := func(a uint32) header.IPv4 { return host(func(h header.IPv4) { h.SetDst(a) }) }
	icmp := func(typ uint8) header.IPv4 { return report(typ, 0, 0, udp(10)) }
	rows := []struct {
		name string
		ip   header.IPv4
		want bool
	}{
		{"a packet of a host", udp(10), true},
		{"a first fragment", host(func(h header.IPv4) { h.SetFragment(header.MoreFragments) }), true},
		{"a later fragment", host(func(h header.IPv4) { h.SetFragment(1) }), false},
		{"to multicast", to(0xe0000001), false},
		{"to broadcast", to(0xffffffff), false},
		{"from nobody", from(0), false},
		{"from this network", from(0x00000001), false},
		{"from loopback", from(0x7f000001), false},
		{"from multicast", from(0xe0000001), false},
		{"from reserved space", from(0xf0000001), false},
		{"from broadcast", from(0xffffffff), false},
		{"an echo request", icmp(header.ICMPEcho), true},
		{"an echo reply", icmp(header.ICMPEchoReply), true},
		{"destination unreachable", icmp(header.ICMPUnreachable), false},
		{"time exceeded", icmp(header.ICMPTimeExceeded), false},
		{"redirect", icmp(header.ICMPRedirect), false},
		{"ICMP of an unknown type", icmp(99), false},
		{"ICMP that is cut", ipv4(client, server, flow.ICMP, nil, []byte{8, 0, 0}), false},
	}
	for _, r := range rows {
		if got := Answerable(framed(t, r.ip, 0), false); got != r.want {
			t.Errorf("%s: got %v; want %v", r.name, got, r.want)
		}
	}
	p := framed(t, udp(10), 0)
	if Answerable(p, true) {
		t.Error("to a broadcast address of a subnet: got true")
	}
	p.Bytes()[0] = 0x01
	if Answerable(p, false) {
		t.Error("in a link multicast: got true")
	}
	p.Start = p.L3 // no link header
	if !Answerable(p, false) {
		t.Error("without a link header: got false")
	}
}

func TestEchoReply(t *testing.T) {
	options := []byte{1, 1, 1, 0} // no operation
	in := transport(flow.Make(client, router, 77, 77, flow.ICMP, 0), options, []byte("payload!"), 0)
	in.SetTOS(0x28)
	sealIP(in)
	p := framed(t, in, 9)
	if !EchoReply(p) {
		t.Fatal("got false")
	}
	h, m := whole(t, p)
	if h.Src() != router || h.Dst() != client || h.TTL() != 64 || h.TOS() != 0x28 {
		t.Errorf("wrong IPv4 header: % x", h[:24])
	}
	if m.Type() != header.ICMPEchoReply || m.Code() != 0 || m.ID() != 77 || string(m[8:]) != "payload!" {
		t.Errorf("wrong ICMP: % x", m)
	}
}

func TestEchoReplyRefusals(t *testing.T) {
	request := func(change func(h header.IPv4)) header.IPv4 {
		h := transport(flow.Make(client, router, 77, 77, flow.ICMP, 0), nil, []byte("payload!"), 0)
		change(h)
		return h
	}
	rows := map[string]header.IPv4{
		"a wrong checksum": request(func(h header.IPv4) { h[25]++ }),
		"a fragment":       request(func(h header.IPv4) { h.SetFragment(header.MoreFragments) }),
		"from multicast":   request(func(h header.IPv4) { h.SetSrc(0xe0000001) }),
		"to broadcast":     request(func(h header.IPv4) { h.SetDst(0xffffffff) }),
		"a reply":          report(header.ICMPEchoReply, 0, 0, nil),
		"code 1":           report(header.ICMPEcho, 1, 0, nil),
		"not ICMP":         udp(10),
		"cut":              ipv4(client, router, flow.ICMP, nil, []byte{8, 0, 0xf7, 0xff}),
	}
	for name, in := range rows {
		p := framed(t, in, 0)
		was := bytes.Clone(p.Bytes())
		if EchoReply(p) || !bytes.Equal(p.Bytes(), was) {
			t.Errorf("%s: was answered, or changed", name)
		}
	}
}

func TestErrorAndEchoDoNotAllocate(t *testing.T) {
	p := framed(t, udp(1000), 0)
	echo := transport(flow.Make(client, router, 77, 77, flow.ICMP, 0), nil, nil, 0)
	e := framed(t, echo, 0)
	was := *e
	buf := make([]byte, ErrorBuffer)
	var out packet.Packet
	n := testing.AllocsPerRun(100, func() {
		Error(&out, buf, p, TTLExceeded, router)
		*e = was
		copy(e.Buf[e.L3:], echo)
		EchoReply(e)
	})
	if n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}
