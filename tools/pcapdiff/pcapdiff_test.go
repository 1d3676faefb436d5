package pcapdiff_test

import (
	"bytes"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/tools/pcapdiff"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A frame is a packet whose parts a test changes before it is written.
type frame struct {
	at      time.Duration
	eth     layers.Ethernet
	vlan    *layers.Dot1Q
	outer   *layers.IPv4
	ip      layers.IPv4
	l4      gopacket.SerializableLayer
	payload string
	padding string
}

func tcpFrame() *frame {
	return &frame{
		eth: layers.Ethernet{SrcMAC: mac(1), DstMAC: mac(2), EthernetType: layers.EthernetTypeIPv4},
		ip: layers.IPv4{Version: 4, TTL: 63, Id: 7, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
			SrcIP: net.IP{203, 0, 113, 2}, DstIP: net.IP{198, 51, 100, 7}},
		l4:      &layers.TCP{SrcPort: 1024, DstPort: 443, Seq: 1000, ACK: true, Ack: 5, Window: 512},
		payload: "hello!", // no padding needed
	}
}

func udpFrame() *frame {
	f := tcpFrame()
	f.ip.Protocol, f.l4 = layers.IPProtocolUDP, &layers.UDP{SrcPort: 5353, DstPort: 53}
	return f
}

func ipipFrame() *frame {
	f := udpFrame()
	f.outer = &layers.IPv4{Version: 4, TTL: 63, Protocol: layers.IPProtocolIPv4, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 1, 12}}
	return f
}

// timeExceeded is about a udpFrame that change has changed.
func timeExceeded(t *testing.T, change func(*frame)) *frame {
	t.Helper()
	quoted := udpFrame()
	change(quoted)
	f := tcpFrame()
	f.ip.Protocol = layers.IPProtocolICMPv4
	f.l4 = &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeTimeExceeded, 0)}
	f.payload = string(quoted.packet(t).Data[14:])
	return f
}

func unchanged(*frame) {}

func mac(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, n} }

func (f *frame) packet(t testing.TB) pcapdiff.Packet {
	t.Helper()
	stack := []gopacket.SerializableLayer{&f.eth}
	if f.vlan != nil {
		f.eth.EthernetType, f.vlan.Type = layers.EthernetTypeDot1Q, layers.EthernetTypeIPv4
		stack = append(stack, f.vlan)
	}
	if f.outer != nil {
		stack = append(stack, f.outer)
	}
	switch l := f.l4.(type) {
	case *layers.TCP:
		l.SetNetworkLayerForChecksum(&f.ip)
	case *layers.UDP:
		l.SetNetworkLayerForChecksum(&f.ip)
	}
	stack = append(stack, &f.ip, f.l4, gopacket.Payload(f.payload))
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	data := append(slices.Clone(b.Bytes()), f.padding...)
	return pcapdiff.Packet{Time: start.Add(f.at), Link: layers.LinkTypeEthernet, Length: len(data), Data: data}
}

func TestDifferencesAreNamed(t *testing.T) {
	for _, row := range []struct {
		name      string
		got, want *frame
		change    func(got *frame)
		diff      []string
	}{
		{"the same", tcpFrame(), tcpFrame(), unchanged, nil},
		{"TTL, whose checksum is no difference of its own", tcpFrame(), tcpFrame(), func(f *frame) { f.ip.TTL = 64 },
			[]string{"ipv4.ttl: got 64; want 63"}},
		{"a translated source", tcpFrame(), tcpFrame(), func(f *frame) { f.ip.SrcIP = net.IP{10, 0, 0, 5}; f.l4.(*layers.TCP).SrcPort = 40000 },
			[]string{"ipv4.src: got 10.0.0.5; want 203.0.113.2", "tcp.sport: got 40000; want 1024"}},
		{"flags of both headers", tcpFrame(), tcpFrame(), func(f *frame) { f.ip.Flags = 0; f.l4.(*layers.TCP).SYN = true },
			[]string{"ipv4.flags: got none; want DF", "tcp.flags: got SYN|ACK; want ACK"}},
		{"MSS", tcpFrame(), tcpFrame(), func(f *frame) {
			f.l4.(*layers.TCP).Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}
		}, []string{"length: got 64; want 60", "ipv4.length: got 50; want 46", "tcp.options: got 4 bytes; want 0 bytes"}},
		{"one byte of the payload", tcpFrame(), tcpFrame(), func(f *frame) { f.payload = "hallo!" },
			[]string{"payload: got 0x61; want 0x65 at byte 1"}},
		{"padding", tcpFrame(), tcpFrame(), func(f *frame) { f.padding = "x" },
			[]string{"length: got 61; want 60", "padding: got 1 byte; want 0 bytes"}},
		{"MAC", tcpFrame(), tcpFrame(), func(f *frame) { f.eth.DstMAC = mac(9) },
			[]string{"ethernet.dst: got 02:00:00:00:00:09; want 02:00:00:00:00:02"}},
		{"time, in microseconds", tcpFrame(), tcpFrame(), func(f *frame) { f.at = 1500 * time.Nanosecond },
			[]string{"time: got 03:04:05.000001; want 03:04:05.000000"}},
		{"less than a microsecond", tcpFrame(), tcpFrame(), func(f *frame) { f.at = 500 * time.Nanosecond }, nil},
		{"UDP", udpFrame(), udpFrame(), func(f *frame) { f.l4.(*layers.UDP).DstPort = 54 },
			[]string{"udp.dport: got 54; want 53"}},
		{"the outer header", ipipFrame(), ipipFrame(), func(f *frame) { f.outer.TOS = 3 },
			[]string{"ipv4.tos: got 0x03; want 0x00"}},
		{"the inner header", ipipFrame(), ipipFrame(), func(f *frame) { f.ip.TTL = 9 },
			[]string{"inner.ipv4.ttl: got 9; want 63"}},
		{"the quote of an ICMP error", timeExceeded(t, unchanged), timeExceeded(t, func(f *frame) { f.ip.SrcIP = net.IP{10, 0, 0, 5} }), unchanged,
			[]string{"quote.ipv4.src: got 203.0.113.2; want 10.0.0.5"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.change(row.got)
			var got []string
			for _, d := range pcapdiff.Packets("outside.pcapng", []pcapdiff.Packet{row.got.packet(t)}, []pcapdiff.Packet{row.want.packet(t)}) {
				got = append(got, strings.TrimPrefix(d.String(), "outside.pcapng packet 1: "))
			}
			if d := cmp.Diff(got, row.diff); d != "" {
				t.Errorf("got (-) and want (+):\n%s", d)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	for want, p := range map[string]pcapdiff.Packet{
		"tcp ACK 203.0.113.2:1024 > 198.51.100.7:443":                                                 tcpFrame().packet(t),
		"ipip 10.0.0.1 > 10.0.1.12, udp 203.0.113.2:5353 > 198.51.100.7:53":                           ipipFrame().packet(t),
		"icmp 11/0 about the next 203.0.113.2 > 198.51.100.7, udp 203.0.113.2:5353 > 198.51.100.7:53": timeExceeded(t, unchanged).packet(t),
		"arp who has 192.0.2.1, asks 192.0.2.2": {Link: layers.LinkTypeEthernet, Data: []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06" +
			"\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01\xc0\x00\x02\x02\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x01")},
		"14 bytes of Ethernet":                          {Link: layers.LinkTypeEthernet, Data: make([]byte, 14)},
		"fragment of protocol 17 192.0.2.1 > 192.0.2.2": {Link: layers.LinkTypeRaw, Data: []byte("\x45\x00\x00\x18\x00\x01\x00\x02\x40\x11\xf6\xcf\xc0\x00\x02\x01\xc0\x00\x02\x02abcd")},
		"protocol 6 192.0.2.1 > 192.0.2.2":              {Link: layers.LinkTypeRaw, Data: []byte("\x45\x00\x00\x18\x00\x01\x20\x00\x40\x06\xd6\xdc\xc0\x00\x02\x01\xc0\x00\x02\x02abcd")},
	} {
		if got := pcapdiff.Describe(p); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

func TestVLANTagIsSeen(t *testing.T) {
	got, want := tcpFrame(), tcpFrame()
	got.vlan, want.vlan = &layers.Dot1Q{VLANIdentifier: 10}, &layers.Dot1Q{VLANIdentifier: 20, Priority: 3}
	d := pcapdiff.Packets("f", []pcapdiff.Packet{got.packet(t)}, []pcapdiff.Packet{want.packet(t)})
	if len(d) != 2 || d[0].String() != "f packet 1: vlan.id: got 10; want 20" || d[1].String() != "f packet 1: vlan.priority: got 0; want 3" {
		t.Errorf("got %v", d)
	}
}

func TestWrongChecksumsAreSeen(t *testing.T) {
	for at, want := range map[int]string{
		14 + 10:      "ipv4.checksum: got 0x",
		14 + 20 + 16: "tcp.checksum: got 0x",
	} {
		p, q := tcpFrame().packet(t), tcpFrame().packet(t)
		p.Data[at] ^= 0x10
		d := pcapdiff.Packets("f", []pcapdiff.Packet{p}, []pcapdiff.Packet{q})
		if len(d) != 1 || !strings.Contains(d[0].String(), want) || !strings.HasSuffix(d[0].String(), ", which is wrong; want right") {
			t.Errorf("got %v; want %s…", d, want)
		}
	}
}

// TestNoBitIsOverlooked changes each bit of a frame: there must be a difference.
func TestNoBitIsOverlooked(t *testing.T) {
	for name, f := range map[string]*frame{"tcp": tcpFrame(), "udp": udpFrame()} {
		f.padding = "pad"
		want := f.packet(t)
		for bit := range 8 * len(want.Data) {
			got := want
			got.Data = slices.Clone(want.Data)
			got.Data[bit/8] ^= 1 << (bit % 8)
			if d := pcapdiff.Packets("f", []pcapdiff.Packet{got}, []pcapdiff.Packet{want}); len(d) == 0 {
				t.Errorf("%s: bit %d of byte %d is overlooked", name, bit%8, bit/8)
			}
		}
	}
}

func TestOnePacketTooManyOrTooFewIsOneDifference(t *testing.T) {
	var all []pcapdiff.Packet
	for i := range 20 {
		f := tcpFrame()
		f.ip.Id, f.l4.(*layers.TCP).Seq = uint16(i), uint32(1000*i)
		all = append(all, f.packet(t))
	}
	without := slices.Delete(slices.Clone(all), 7, 8)
	what := "tcp ACK 203.0.113.2:1024 > 198.51.100.7:443"
	if got, want := said(pcapdiff.Packets("f", all, without)), "f packet 8: got a packet too many, "+what+"; want none"; got != want {
		t.Errorf("too many: got\n%s\nwant\n%s", got, want)
	}
	if got, want := said(pcapdiff.Packets("f", without, all)), "f packet 8: got none; want the missing packet, "+what; got != want {
		t.Errorf("too few: got\n%s\nwant\n%s", got, want)
	}
}

func TestEmptyAndUnequalCaptures(t *testing.T) {
	one := []pcapdiff.Packet{tcpFrame().packet(t)}
	if d := pcapdiff.Packets("f", nil, nil); len(d) != 0 {
		t.Errorf("nothing and nothing: got %v", d)
	}
	if d := pcapdiff.Packets("f", one, nil); len(d) != 1 {
		t.Errorf("one and nothing: got %v", d)
	}
	var many []pcapdiff.Packet
	for i := range 600 { // too many to align
		f := tcpFrame()
		f.ip.Id = uint16(i)
		many = append(many, f.packet(t))
	}
	if d := pcapdiff.Packets("f", many[1:], many[:len(many)-1]); len(d) == 0 {
		t.Error("shifted by one: got no difference")
	}
}

func TestDirs(t *testing.T) {
	p := []pcapdiff.Packet{tcpFrame().packet(t), udpFrame().packet(t)}
	got, want := t.TempDir(), t.TempDir()
	writeNg(t, filepath.Join(got, "outside.pcapng"), p)
	writeClassic(t, filepath.Join(want, "outside.pcapng"), p) // forms may differ: the content counts
	writeNg(t, filepath.Join(got, "host.pcapng"), nil)        // empty and not expected: no difference
	if d, err := pcapdiff.Dirs(got, want); err != nil || len(d) != 0 {
		t.Errorf("equal: got %v, %v", d, err)
	}
	writeNg(t, filepath.Join(got, "inside.pcapng"), p)
	writeNg(t, filepath.Join(want, "dmz.pcapng"), p[:1])
	d, err := pcapdiff.Dirs(got, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(said(d), "dmz.pcapng: got no such capture; want one\ninside.pcapng: got 2 packets; want none: it is not expected"); diff != "" {
		t.Error(diff)
	}
	if _, err := pcapdiff.Dirs(got, t.TempDir()); err == nil {
		t.Error("an empty expectation: got no error")
	}
	if _, err := pcapdiff.Dirs(got, filepath.Join(want, "missing")); err == nil {
		t.Error("a missing expectation: got no error")
	}
}

// FuzzPackets: two frames of any bytes are compared without a panic, and have no
// difference only if they are the same.
func FuzzPackets(f *testing.F) {
	f.Add(tcpFrame().packet(f).Data, udpFrame().packet(f).Data)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		p := pcapdiff.Packet{Link: layers.LinkTypeEthernet, Length: len(a), Data: a}
		q := pcapdiff.Packet{Link: layers.LinkTypeEthernet, Length: len(b), Data: b}
		d := pcapdiff.Packets("f", []pcapdiff.Packet{p}, []pcapdiff.Packet{q})
		if same := bytes.Equal(a, b); same != (len(d) == 0) {
			t.Errorf("same is %v, differences are %v", same, d)
		}
	})
}

func said(ds []pcapdiff.Difference) string {
	var lines []string
	for _, d := range ds {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "\n")
}
