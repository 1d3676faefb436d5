package pcapdiff_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

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
	ipip := func() *frame {
		f := udpFrame()
		f.outer = &layers.IPv4{Version: 4, TTL: 63, Protocol: layers.IPProtocolIPv4, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 1, 12}}
		return f
	}
	timeExceeded := func(change func(*frame)) *frame {
		quoted := udpFrame()
		if change != nil {
			change(quoted)
		}
		f := tcpFrame()
		f.ip.Protocol = layers.IPProtocolICMPv4
		f.l4 = &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeTimeExceeded, 0)}
		f.payload = string(quoted.packet(t).Data[14:])
		return f
	}
	for _, row := range []struct {
		name      string
		got, want *frame
		change    func(got *frame)
		diff      []string
	}{
		{"the same", tcpFrame(), tcpFrame(), func(*frame) {}, nil},
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
		{"the outer header", ipip(), ipip(), func(f *frame) { f.outer.TOS = 3 },
			[]string{"ipv4.tos: got 0x03; want 0x00"}},
		{"the inner header", ipip(), ipip(), func(f *frame) { f.ip.TTL = 9 },
			[]string{"inner.ipv4.ttl: got 9; want 63"}},
		{"the quote of an ICMP error", timeExceeded(nil), timeExceeded(func(f *frame) { f.ip.SrcIP = net.IP{10, 0, 0, 5} }), func(*frame) {},
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
	what := "ethernet/ipv4/tcp 203.0.113.2 198.51.100.7 1024 443"
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

func TestReadOfEitherFormPackedOrNot(t *testing.T) {
	want := []pcapdiff.Packet{tcpFrame().packet(t), udpFrame().packet(t)}
	dir := t.TempDir()
	for name, write := range map[string]func(testing.TB, string, []pcapdiff.Packet){"a.pcap": writeClassic, "a.pcapng": writeNg} {
		path := filepath.Join(dir, name)
		write(t, path, want)
		plain, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(plain)
		z.Close()
		if err := os.WriteFile(path+".gz", packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, path + ".gz"} {
			got, err := pcapdiff.Read(p)
			if err != nil {
				t.Errorf("%s: %v", p, err)
			} else if d := pcapdiff.Packets(name, got, want); len(d) != 0 {
				t.Errorf("%s: %v", p, d)
			}
		}
	}
}

func TestBrokenCapturesAreRefused(t *testing.T) {
	dir := t.TempDir()
	ps := []pcapdiff.Packet{tcpFrame().packet(t)}
	writeClassic(t, filepath.Join(dir, "classic"), ps)
	writeNg(t, filepath.Join(dir, "ng"), ps)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	classic, ng := read("classic"), read("ng")
	long := slices.Clone(ng)
	enhanced := bytes.Index(long, []byte{6, 0, 0, 0})
	binary.LittleEndian.PutUint32(long[enhanced+20:], 1<<31)
	longClassic := slices.Clone(classic)
	binary.LittleEndian.PutUint32(longClassic[24+8:], 1<<31)
	binary.LittleEndian.PutUint32(longClassic[24+12:], 1<<31)
	for name, data := range map[string][]byte{
		"empty":                            {},
		"of no known kind":                 []byte("this is no capture at all"),
		"classic cut in a header":          classic[:30],
		"classic cut after a header":       classic[:24+16],
		"classic cut in a packet":          classic[:len(classic)-3],
		"classic with 2 GiB in one record": longClassic,
		"ng cut in a block":                ng[:len(ng)-3],
		"ng cut in a block's header":       append(slices.Clone(ng), 6, 0),
		"ng with 2 GiB in one record":      long,
		"gzip cut":                         {0x1f, 0x8b, 8, 0},
	} {
		path := filepath.Join(dir, "broken")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if ps, err := pcapdiff.Read(path); err == nil {
			t.Errorf("%s: got %d packets; want an error", name, len(ps))
		}
	}
}

// FuzzRead: no file and no packet in it panics, and a capture equals itself.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	ps := []pcapdiff.Packet{tcpFrame().packet(f), udpFrame().packet(f)}
	for _, write := range []func(testing.TB, string, []pcapdiff.Packet){writeClassic, writeNg} {
		path := filepath.Join(dir, "seed")
		write(f, path, ps)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ps, err := pcapdiff.ReadFrom(bytes.NewReader(data))
		if err != nil {
			return
		}
		if d := pcapdiff.Packets("f", ps, ps); len(d) != 0 {
			t.Errorf("differs from itself: %v", d)
		}
	})
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

func writeClassic(t testing.TB, path string, ps []pcapdiff.Packet) {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeNg(t testing.TB, path string, ps []pcapdiff.Packet) {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
