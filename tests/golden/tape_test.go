package golden

import (
	"bytes"
	"compress/gzip"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// begin is when each tape starts.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A tape is what comes in by all ports, in order. Frames are ten milliseconds apart,
// unless the tape waits.
type tape struct {
	t      *testing.T
	now    time.Time
	frames []taped
	// format of a port's capture: .pcapng unless said.
	format map[string]string
	// link type of a port's capture: Ethernet unless said.
	link map[string]layers.LinkType
}

type taped struct {
	port string
	at   time.Time
	data []byte
}

func newTape(t *testing.T) *tape {
	return &tape{t: t, now: begin, format: map[string]string{}, link: map[string]layers.LinkType{}}
}

// frame comes in by port, as it is.
func (p *tape) frame(port string, data []byte) {
	p.frames = append(p.frames, taped{port, p.now, data})
	p.wait(10 * time.Millisecond)
}

// packet comes in by port in an untagged frame, or bare where the capture is of such.
func (p *tape) packet(port string, ls ...gopacket.SerializableLayer) {
	p.t.Helper()
	if p.link[port] == 0 {
		ls = append([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4)}, ls...)
	}
	p.frame(port, encode(p.t, ls...))
}

// wait lets time pass.
func (p *tape) wait(d time.Duration) { p.now = p.now.Add(d) }

// ports returns the ports by which something comes in, in the order of their names.
func (p *tape) ports() (list []string) {
	for _, f := range p.frames {
		list = append(list, f.port)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// file returns the name of a port's capture.
func (p *tape) file(port string) string {
	if f := p.format[port]; f != "" {
		return "in-" + port + f
	}
	return "in-" + port + ".pcapng"
}

// capture returns the port's part of the first n frames of the tape, as a file.
func (p *tape) capture(port string, n int) []byte {
	p.t.Helper()
	var buf bytes.Buffer
	write, flush := p.writer(&buf, p.file(port), p.linkOf(port))
	for _, f := range p.frames[:n] {
		if f.port != port {
			continue
		}
		ci := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data)}
		if err := write(ci, f.data); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		p.t.Fatal(err)
	}
	if !strings.HasSuffix(p.file(port), ".gz") {
		return buf.Bytes()
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(buf.Bytes()); err != nil {
		p.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		p.t.Fatal(err)
	}
	return packed.Bytes()
}

// writer returns functions of the encoder that a file name asks for.
func (p *tape) writer(buf *bytes.Buffer, name string, link layers.LinkType) (func(gopacket.CaptureInfo, []byte) error, func() error) {
	p.t.Helper()
	if strings.Contains(name, ".pcapng") {
		w, err := pcapgo.NewNgWriterInterface(buf, pcapgo.NgInterface{LinkType: link, TimestampResolution: 9},
			pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "golden"}})
		if err != nil {
			p.t.Fatal(err)
		}
		return w.WritePacket, w.Flush
	}
	w := pcapgo.NewWriter(buf)
	if err := w.WriteFileHeader(65535, link); err != nil {
		p.t.Fatal(err)
	}
	return w.WritePacket, func() error { return nil }
}

// Ethernet addresses: the gateway's ports are given theirs by the cases' files.
var (
	gatewayMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	remoteMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
)

func ethernet(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: remoteMAC, DstMAC: gatewayMAC, EthernetType: t}
}

// encode returns the layers as bytes, with lengths and checksums.
func encode(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var ip *layers.IPv4
	for _, l := range ls {
		var err error
		switch l := l.(type) {
		case *layers.IPv4:
			ip = l
		case *layers.TCP:
			err = l.SetNetworkLayerForChecksum(ip)
		case *layers.UDP:
			err = l.SetNetworkLayerForChecksum(ip)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// ip returns a header without options, not to be fragmented.
func ip(src, dst string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: proto,
		SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

// tcp returns a segment; flags are letters of "SAFRP".
func tcp(src string, sport uint16, dst string, dport uint16, flags string, seq, ack uint32, data string) []gopacket.SerializableLayer {
	s := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: seq, Ack: ack, Window: 64000}
	s.SYN, s.ACK = strings.Contains(flags, "S"), strings.Contains(flags, "A")
	s.FIN, s.RST, s.PSH = strings.Contains(flags, "F"), strings.Contains(flags, "R"), strings.Contains(flags, "P")
	if s.SYN {
		s.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}} // 1460
	}
	return []gopacket.SerializableLayer{ip(src, dst, layers.IPProtocolTCP), s, gopacket.Payload(data)}
}

// udp returns a datagram.
func udp(src string, sport uint16, dst string, dport uint16, data string) []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{ip(src, dst, layers.IPProtocolUDP),
		&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}, gopacket.Payload(data)}
}

// ping returns an echo request, or an answer to one.
func ping(src, dst string, kind uint8, id, seq uint16) []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{ip(src, dst, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: id, Seq: seq}, gopacket.Payload("are you there?")}
}

const request, answer = layers.ICMPv4TypeEchoRequest, layers.ICMPv4TypeEchoReply

// about returns an ICMP error from src to dst about a packet, of which it quotes n bytes.
func (p *tape) about(src, dst string, kind, code uint8, mtu uint16, packet []gopacket.SerializableLayer, n int) []gopacket.SerializableLayer {
	quote := encode(p.t, packet...)
	return []gopacket.SerializableLayer{ip(src, dst, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Seq: mtu}, gopacket.Payload(quote[:min(n, len(quote))])}
}

// tunneled returns the packet behind an outer header.
func tunneled(src, dst string, packet []gopacket.SerializableLayer) []gopacket.SerializableLayer {
	return append([]gopacket.SerializableLayer{ip(src, dst, layers.IPProtocolIPv4)}, packet...)
}

// header returns the outermost IPv4 header of a packet, to change it.
func header(packet []gopacket.SerializableLayer) *layers.IPv4 { return packet[0].(*layers.IPv4) }
