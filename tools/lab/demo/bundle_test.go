package demo

import (
	"bytes"
	"flag"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"openvra/config"
)

var update = flag.Bool("update", false, "write bundle/*.pcap")

// The Ethernet addresses of the bundled configuration.
var (
	outsideMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	insideMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	clientMAC  = net.HardwareAddr{2, 0, 0, 0, 1, 1}
	worker1MAC = net.HardwareAddr{2, 0, 0, 0, 0, 0x11}
	routerMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 0xfe}
)

// A script writes the frames of both ports, a millisecond apart.
type script struct {
	t     *testing.T
	now   time.Time
	ports map[string]*pcapgo.Writer
	files map[string]*bytes.Buffer
}

func newScript(t *testing.T) *script {
	s := &script{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ports: map[string]*pcapgo.Writer{}, files: map[string]*bytes.Buffer{}}
	for _, port := range []string{"outside", "inside"} {
		s.files[port] = &bytes.Buffer{}
		s.ports[port] = pcapgo.NewWriterNanos(s.files[port])
		if err := s.ports[port].WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *script) frame(port string, from, to net.HardwareAddr, packet ...gopacket.SerializableLayer) {
	s.t.Helper()
	buf := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}}, packet...)
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		s.t.Fatal(err)
	}
	b := buf.Bytes()
	ci := gopacket.CaptureInfo{Timestamp: s.now, CaptureLength: len(b), Length: len(b)}
	if err := s.ports[port].WritePacket(ci, b); err != nil {
		s.t.Fatal(err)
	}
	s.now = s.now.Add(time.Millisecond)
}

func (s *script) fromClient(packet ...gopacket.SerializableLayer) {
	s.frame("outside", clientMAC, outsideMAC, packet...)
}

// fromPod2 sends what worker2 would: IP-in-IP by the router.
func (s *script) fromPod2(packet ...gopacket.SerializableLayer) {
	inner := packet[0].(*layers.IPv4)
	outer := ipv4("10.0.1.12", "10.0.0.1", layers.IPProtocolIPv4)
	outer.TTL, outer.Flags = inner.TTL-1, inner.Flags
	s.frame("inside", routerMAC, insideMAC, append([]gopacket.SerializableLayer{outer}, packet...)...)
}

func ipv4(src, dst string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 63, Flags: layers.IPv4DontFragment, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

// tcp returns the layers of a segment; flags are letters of "SAFP".
func tcp(t *testing.T, src string, sport layers.TCPPort, dst string, dport layers.TCPPort, flags string, seq, ack uint32, payload string) []gopacket.SerializableLayer {
	t.Helper()
	ip := ipv4(src, dst, layers.IPProtocolTCP)
	seg := &layers.TCP{SrcPort: sport, DstPort: dport, Seq: seq, Ack: ack, Window: 65000}
	for _, f := range flags {
		switch f {
		case 'S':
			seg.SYN = true
			seg.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}
		case 'A':
			seg.ACK = true
		case 'F':
			seg.FIN = true
		case 'P':
			seg.PSH = true
		}
	}
	if err := seg.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return []gopacket.SerializableLayer{ip, seg, gopacket.Payload(payload)}
}

func udp(t *testing.T, src string, sport layers.UDPPort, dst string, dport layers.UDPPort, ttl uint8, payload string) []gopacket.SerializableLayer {
	t.Helper()
	ip := ipv4(src, dst, layers.IPProtocolUDP)
	ip.TTL = ttl
	u := &layers.UDP{SrcPort: sport, DstPort: dport}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return []gopacket.SerializableLayer{ip, u, gopacket.Payload(payload)}
}

// write plays what Bundle's comment tells.
func write(t *testing.T) map[string]*bytes.Buffer {
	s := newScript(t)
	const client, pod2, outside = "198.51.100.10", "172.30.2.10", "203.0.113.2"
	in := func(flags string, seq, ack uint32, payload string) {
		s.fromClient(tcp(t, client, 40000, outside, 8081, flags, seq, ack, payload)...)
	}
	out := func(flags string, seq, ack uint32, payload string) {
		s.fromPod2(tcp(t, pod2, 80, client, 40000, flags, seq, ack, payload)...)
	}
	const request, page = "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello from pod2\n"
	const r, p = uint32(len(request)), uint32(len(page))
	in("S", 1000, 0, "")
	out("SA", 5000, 1001, "")
	in("A", 1001, 5001, "")
	in("PA", 1001, 5001, request)
	out("PA", 5001, 1001+r, page)
	out("FA", 5001+p, 1001+r, "")
	in("FA", 1001+r, 5002+p, "")
	out("A", 5002+p, 1002+r, "")

	for seq := range uint16(3) {
		echo := func(typ uint8) *layers.ICMPv4 {
			return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0), Id: 7, Seq: seq}
		}
		s.fromClient(ipv4(client, "203.0.113.11", layers.IPProtocolICMPv4), echo(layers.ICMPv4TypeEchoRequest), gopacket.Payload("ping"))
		s.frame("inside", worker1MAC, insideMAC, ipv4("172.30.1.20", client, layers.IPProtocolICMPv4), echo(layers.ICMPv4TypeEchoReply), gopacket.Payload("ping"))
	}
	s.frame("inside", worker1MAC, insideMAC, udp(t, "172.30.1.10", 5353, "198.51.100.53", 53, 63, "a question")...)
	s.fromClient(udp(t, client, 33434, "203.0.113.11", 33434, 1, "traceroute")...)
	stranger := append([]gopacket.SerializableLayer{ipv4("198.51.100.66", outside, layers.IPProtocolIPv4)}, udp(t, "172.30.2.66", 9, "172.30.1.10", 9, 63, "let me in")...)
	s.fromClient(stranger...)
	return s.files
}

func TestBundleIsFresh(t *testing.T) {
	want := write(t)
	if *update {
		for port, b := range want {
			if err := os.WriteFile("bundle/"+port+".pcap", b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Skip("written; run again without -update")
	}
	got, err := Bundle()
	if err != nil {
		t.Fatal(err)
	}
	for port, b := range want {
		if !bytes.Equal(got.Ports[port], b.Bytes()) {
			t.Errorf("bundle/%s.pcap is not what this test writes; run it with -update", port)
		}
	}
}

func TestBundleConfigIsAccepted(t *testing.T) {
	c, err := Bundle()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("gateway.yaml", c.Config); err != nil {
		t.Error(err)
	}
}
