package header

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestViewsAgreeWithGopacket reads headers that another program wrote.
func TestViewsAgreeWithGopacket(t *testing.T) {
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TOS: 0xb9, Id: 0x1234, Flags: layers.IPv4DontFragment, TTL: 61, Protocol: layers.IPProtocolTCP,
		SrcIP: []byte{10, 1, 2, 3}, DstIP: []byte{198, 51, 100, 7}, Options: []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}}
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 443, Seq: 0xdeadbeef, Ack: 0xcafef00d, SYN: true, ACK: true, ECE: true, Window: 0x2211,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}}
	_ = tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp, gopacket.Payload("abc")); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	e, h := Ethernet(b), IPv4(b[14:])
	c := TCP(h[h.HeaderLen():])
	type view struct {
		Type, Total, ID, Frag, HL int
		TOS, TTL, Proto, Version  uint8
		IPSum, Sum, Window        uint16
		Src, Dst, Seq, Ack        uint32
		Sport, Dport              uint16
		Offset                    int
		Flags                     uint8
		Fragment, Later           bool
	}
	got := view{int(e.Type()), h.TotalLen(), int(h.ID()), int(h.Fragment()), h.HeaderLen(), h.TOS(), h.TTL(), h.Protocol(), h.Version(),
		h.Checksum(), c.Checksum(), c.Window(), h.Src(), h.Dst(), c.Seq(), c.Ack(), c.SrcPort(), c.DstPort(), c.HeaderLen(), c.Flags(), h.IsFragment(), h.IsLaterFragment()}
	want := view{0x0800, 24 + 24 + 3, 0x1234, DontFragment, 24, 0xb9, 61, 6, 4,
		ip.Checksum, tcp.Checksum, 0x2211, 0x0a010203, 0xc6336407, 0xdeadbeef, 0xcafef00d, 40000, 443, 24, SYN | ACK | ECE, false, false}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("got, want:\n%s", d)
	}
}

// TestSettersWriteWhatGettersRead, and nothing beside it.
func TestSettersWriteWhatGettersRead(t *testing.T) {
	b := make([]byte, 40)
	h, c, u, i, a := IPv4(b), TCP(b), UDP(b), ICMP(b), ARP(b)
	rows := map[string]struct {
		set  func()
		got  func() uint64
		want uint64
		at   int
		size int
	}{
		"tos":       {func() { h.SetTOS(0xab) }, func() uint64 { return uint64(h.TOS()) }, 0xab, 1, 1},
		"total":     {func() { h.SetTotalLen(0xabcd) }, func() uint64 { return uint64(h.TotalLen()) }, 0xabcd, 2, 2},
		"id":        {func() { h.SetID(0xabcd) }, func() uint64 { return uint64(h.ID()) }, 0xabcd, 4, 2},
		"fragment":  {func() { h.SetFragment(0xabcd) }, func() uint64 { return uint64(h.Fragment()) }, 0xabcd, 6, 2},
		"ttl":       {func() { h.SetTTL(0xab) }, func() uint64 { return uint64(h.TTL()) }, 0xab, 8, 1},
		"protocol":  {func() { h.SetProtocol(0xab) }, func() uint64 { return uint64(h.Protocol()) }, 0xab, 9, 1},
		"ip sum":    {func() { h.SetChecksum(0xabcd) }, func() uint64 { return uint64(h.Checksum()) }, 0xabcd, 10, 2},
		"src":       {func() { h.SetSrc(0xabcdef01) }, func() uint64 { return uint64(h.Src()) }, 0xabcdef01, 12, 4},
		"dst":       {func() { h.SetDst(0xabcdef01) }, func() uint64 { return uint64(h.Dst()) }, 0xabcdef01, 16, 4},
		"sport":     {func() { c.SetSrcPort(0xabcd) }, func() uint64 { return uint64(c.SrcPort()) }, 0xabcd, 0, 2},
		"dport":     {func() { u.SetDstPort(0xabcd) }, func() uint64 { return uint64(u.DstPort()) }, 0xabcd, 2, 2},
		"seq":       {func() { c.SetSeq(0xabcdef01) }, func() uint64 { return uint64(c.Seq()) }, 0xabcdef01, 4, 4},
		"ack":       {func() { c.SetAck(0xabcdef01) }, func() uint64 { return uint64(c.Ack()) }, 0xabcdef01, 8, 4},
		"flags":     {func() { c.SetFlags(0xab) }, func() uint64 { return uint64(c.Flags()) }, 0xab, 13, 1},
		"tcp sum":   {func() { c.SetChecksum(0xabcd) }, func() uint64 { return uint64(c.Checksum()) }, 0xabcd, 16, 2},
		"udp len":   {func() { u.SetLength(0xabcd) }, func() uint64 { return uint64(u.Length()) }, 0xabcd, 4, 2},
		"udp sum":   {func() { u.SetChecksum(0xabcd) }, func() uint64 { return uint64(u.Checksum()) }, 0xabcd, 6, 2},
		"icmp type": {func() { i.SetType(0xab) }, func() uint64 { return uint64(i.Type()) }, 0xab, 0, 1},
		"icmp code": {func() { i.SetCode(0xab) }, func() uint64 { return uint64(i.Code()) }, 0xab, 1, 1},
		"icmp sum":  {func() { i.SetChecksum(0xabcd) }, func() uint64 { return uint64(i.Checksum()) }, 0xabcd, 2, 2},
		"icmp id":   {func() { i.SetID(0xabcd) }, func() uint64 { return uint64(i.ID()) }, 0xabcd, 4, 2},
		"icmp seq":  {func() { i.SetSeq(0xabcd) }, func() uint64 { return uint64(i.Seq()) }, 0xabcd, 6, 2},
		"icmp mtu":  {func() { i.SetMTU(0xabcd) }, func() uint64 { return uint64(i.MTU()) }, 0xabcd, 6, 2},
		"arp op":    {func() { a.SetOpcode(0xabcd) }, func() uint64 { return uint64(a.Opcode()) }, 0xabcd, 6, 2},
		"arp spa":   {func() { a.SetSenderIP(0xabcdef01) }, func() uint64 { return uint64(a.SenderIP()) }, 0xabcdef01, 14, 4},
		"arp tpa":   {func() { a.SetTargetIP(0xabcdef01) }, func() uint64 { return uint64(a.TargetIP()) }, 0xabcdef01, 24, 4},
	}
	for name, r := range rows {
		clear(b)
		r.set()
		if got := r.got(); got != r.want {
			t.Errorf("%s: got %#x; want %#x", name, got, r.want)
		}
		for i, v := range b {
			if inside := i >= r.at && i < r.at+r.size; (v != 0) != inside {
				t.Errorf("%s: byte %d is %#x", name, i, v)
			}
		}
	}
}

// TestICMPTypes: no type is both an error and a query.
func TestICMPTypes(t *testing.T) {
	errors, queries := 0, 0
	for typ := range 256 {
		h := ICMP{byte(typ), 0, 0, 0, 0, 0, 0, 0}
		if h.IsError() && h.IsQuery() {
			t.Errorf("type %d is both", typ)
		}
		if h.IsError() {
			errors++
		}
		if h.IsQuery() {
			queries++
		}
	}
	if errors != 5 || queries != 6 {
		t.Errorf("got %d errors, %d queries; want 5 and 6 (RFC 792, RFC 950)", errors, queries)
	}
}
