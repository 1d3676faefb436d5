package tests

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/checksum"
	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/link/memory"
	"openvra/dataplane/packet"
)

// coreYAML has one of everything: plain and tagged ports, the host, a worker in the
// subnet and one beyond a router, all kinds of NAT, routes that lead nowhere.
const coreYAML = `
ports:
  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}
  - name: inside
    driver: memory
    addresses: [10.0.0.1/24]
    vlans:
      - {name: storage, id: 100, addresses: [10.1.0.1/24], zone: inside}
      - {name: customer, outer: 200, inner: 7, addresses: [10.2.0.1/24], rpf: strict}
  - {name: narrow, driver: memory, addresses: [192.0.2.1/24], mtu: 1000}
  - {name: spare, driver: memory, addresses: [192.168.7.1/24]}
routes:
  - {to: 0.0.0.0/0, via: [203.0.113.1]}
  - {to: 10.0.1.0/24, via: [10.0.0.254]}
  - {to: 198.18.0.0/16, blackhole: true}
  - {to: 198.19.0.0/16, unreachable: true}
  - {to: 10.7.0.0/16, via: [192.168.7.2]}
neighbours:
  - {port: outside, address: 203.0.113.1, mac: "02:00:00:00:01:01"}
  - {port: inside, address: 10.0.0.5, mac: "02:00:00:00:02:05"}
  - {port: inside, address: 10.0.0.6, mac: "02:00:00:00:02:06"}
  - {port: inside, address: 10.0.0.11, mac: "02:00:00:00:02:11"}
  - {port: inside, address: 10.0.0.20, mac: "02:00:00:00:02:20"}
  - {port: inside, address: 10.0.0.254, mac: "02:00:00:00:02:fe"}
  - {port: storage, address: 10.1.0.5, mac: "02:00:00:00:03:05"}
  - {port: customer, address: 10.2.0.5, mac: "02:00:00:00:04:05"}
  - {port: narrow, address: 192.0.2.5, mac: "02:00:00:00:05:05"}
tunnels:
  - name: pods
    local: 10.0.0.1
    mode: CrossSubnet
    pools: [172.30.0.0/16]
    mssClamp: auto
    workers:
      - {name: w1, address: 10.0.0.11, blocks: [172.30.1.0/26]}
      - {name: w2, address: 10.0.1.12, blocks: [172.30.2.0/26]}
nat:
  source:
    - {name: out, out: [outside], from: [10.0.0.0/8, 172.30.0.0/16], translate: masquerade}
  destination:
    - {name: web, in: [outside], to: 203.0.113.2, protocol: tcp, ports: 8081, translate: "172.30.2.10:80"}
    - {name: dns, in: [outside], to: 203.0.113.2, protocol: udp, ports: 53, translate: 10.0.0.5}
  oneToOne:
    - {name: legacy, outside: 203.0.113.20, inside: 10.0.0.20, out: [outside]}
host:
  enabled: true
  services:
    - {name: ssh, protocol: tcp, ports: 22}
    - {name: bgp, protocol: tcp, ports: 179, addresses: [10.0.0.1]}
limits: {sessions: 1024, neighbours: 64, icmpErrorsPerDestination: 1000, icmpErrorsPerSecond: 100000, icmpErrorBurst: 1000}
`

// A gate is a whole gateway in memory, with the far ends of its ports.
type gate struct {
	t       testing.TB
	off     *appliance.Offline
	far     map[string]*memory.Port
	near    map[string]*memory.Port
	now     int64
	workers int
}

type gateOptions struct {
	workers  int
	segments bool
	line     []dataplane.Step
	seed     uint64
	log      *slog.Logger
}

func newGate(t testing.TB, yaml string, o gateOptions) *gate {
	t.Helper()
	g := &gate{t: t, far: map[string]*memory.Port{}, near: map[string]*memory.Port{}, now: 1e9, workers: max(o.workers, 1)}
	ports := map[string]link.Port{}
	for i, name := range []string{"outside", "inside", "narrow", "spare", "host"} {
		m := memory.Options{Queues: g.workers, Segments: o.segments, MACs: [2][6]byte{{2, 0, 0, 0, 0, byte(i)}, {2, 0, 0, 0, 1, byte(i)}}}
		if name == "host" {
			m.L3, m.MACs, m.MTU = true, [2][6]byte{}, 1500
		}
		a, b, err := memory.Pair(m)
		if err != nil {
			t.Fatal(err)
		}
		g.near[name], g.far[name], ports[name] = a, b, a
	}
	var err error
	g.off, err = appliance.NewOffline(g.parse(yaml), appliance.OfflineOptions{Ports: ports, Workers: g.workers, Line: o.line, Seed: o.seed, Log: o.log})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gate) parse(yaml string) *config.Config {
	g.t.Helper()
	c, err := config.Parse("core.yaml", []byte(yaml))
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// apply reloads.
func (g *gate) apply(yaml string) {
	g.t.Helper()
	if err := g.off.Apply(g.parse(yaml)); err != nil {
		g.t.Fatal(err)
	}
}

// mac is the gateway's address on a port.
func (g *gate) mac(port string) [6]byte { return g.near[port].Info().MAC }

// in gives the gateway frames by a port, at worker 0.
func (g *gate) in(port string, frames ...[]byte) {
	g.t.Helper()
	g.at(0, port, frames...)
	g.settle()
}

// at gives frames to a worker, without letting the others run.
func (g *gate) at(worker int, port string, frames ...[]byte) {
	g.t.Helper()
	for _, f := range frames {
		var p packet.Packet
		p.Set(make([]byte, packet.Headroom+len(f)+64), f)
		g.packet(worker, port, p)
	}
}

// packet gives a packet, offload and tags and all, to a worker.
func (g *gate) packet(worker int, port string, p packet.Packet) {
	g.t.Helper()
	number, ok := g.off.PortNumber(port)
	if !ok {
		g.t.Fatalf("no port %q", port)
	}
	g.now += 1e6
	g.off.Workers()[worker].Inject(g.now, number, p)
}

// settle lets all workers run until there is nothing to do.
func (g *gate) settle() {
	g.t.Helper()
	for range 20 {
		g.now += 1e6
		busy, err := g.off.Poll(g.now)
		if err != nil {
			g.t.Fatal(err)
		}
		if !busy {
			break
		}
	}
	for i, w := range g.off.Workers() {
		if n := w.Counters.Balance(); n != 0 {
			g.t.Fatalf("worker %d: balance is %d", i, n)
		}
	}
}

// wait lets time pass.
func (g *gate) wait(ns int64) {
	for range 20 {
		g.now += ns / 20
		g.settle()
	}
}

// raw returns what left by a port.
func (g *gate) raw(port string) [][]byte { return g.far[port].Drain() }

// out is raw for frames of which every checksum must be right.
func (g *gate) out(port string) [][]byte {
	g.t.Helper()
	fs := g.raw(port)
	for _, f := range fs {
		if err := verify(f, port == "host"); err != nil {
			g.t.Fatalf("by %s: %v\n%x", port, err, f)
		}
	}
	return fs
}

// one returns the only packet that left, which must be by the port.
func (g *gate) one(port string) seen {
	g.t.Helper()
	fs := g.out(port)
	if len(fs) != 1 {
		g.t.Fatalf("%d packets left by %s; want 1. Drops: %v", len(fs), port, g.drops())
	}
	g.silent()
	return read(g.t, fs[0], port == "host")
}

// silent asks that nothing left by any port.
func (g *gate) silent() {
	g.t.Helper()
	for name := range g.far {
		for _, f := range g.raw(name) {
			g.t.Fatalf("left by %s: %x", name, f)
		}
	}
}

// drops returns the drop counters that are not 0, of all workers.
func (g *gate) drops() map[drop.Reason]uint64 {
	m := map[drop.Reason]uint64{}
	for _, w := range g.off.Workers() {
		for r := range w.Counters.Drops {
			if n := w.Counters.Drops[r].Load(); n != 0 {
				m[drop.Reason(r)] += n
			}
		}
	}
	return m
}

// sessions returns how many there are at all workers.
func (g *gate) sessions() (n int) {
	for _, w := range g.off.Workers() {
		n += w.Sessions().Used()
	}
	return n
}

func (g *gate) handedOver() (n uint64) {
	for _, w := range g.off.Workers() {
		n += w.Counters.HandedOver.Load()
	}
	return n
}

// v4 describes an IPv4 packet; zero fields are the usual.
type v4 struct {
	src, dst string
	ttl, tos uint8
	id       uint16
	df, mf   bool
	off      uint16 // in bytes
	options  []byte
}

func (h v4) layer(proto layers.IPProtocol) *layers.IPv4 {
	ip := &layers.IPv4{Version: 4, TTL: 64, TOS: h.tos, Id: h.id, Protocol: proto, FragOffset: h.off / 8,
		SrcIP: netip.MustParseAddr(h.src).AsSlice(), DstIP: netip.MustParseAddr(h.dst).AsSlice()}
	if h.ttl != 0 {
		ip.TTL = h.ttl
	}
	if h.df {
		ip.Flags |= layers.IPv4DontFragment
	}
	if h.mf {
		ip.Flags |= layers.IPv4MoreFragments
	}
	return ip
}

func bytesOf(ls ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return slices.Clone(buf.Bytes())
}

// packet of a protocol with a payload of bytes.
func (h v4) raw(proto uint8, payload []byte) []byte {
	b := bytesOf(h.layer(layers.IPProtocol(proto)), gopacket.Payload(payload))
	if len(h.options) == 0 {
		return b
	}
	b = slices.Insert(b, 20, h.options...)
	b[0] += byte(len(h.options) / 4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return reseal(b)
}

// reseal corrects the checksum of an IPv4 header.
func reseal(b []byte) []byte {
	h := header.IPv4(b)
	h.SetChecksum(0)
	h.SetChecksum(checksum.Of(b[:h.HeaderLen()]))
	return b
}

func (h v4) udp(sport, dport uint16, payload string) []byte {
	ip, u := h.layer(layers.IPProtocolUDP), &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	_ = u.SetNetworkLayerForChecksum(ip)
	return h.raw(17, bytesOf(u, gopacket.Payload(payload)))
}

func (h v4) tcp(sport, dport uint16, flags uint8, seq, ack uint32, payload string, opts ...layers.TCPOption) []byte {
	ip, c := h.layer(layers.IPProtocolTCP), &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: seq, Ack: ack,
		FIN: flags&header.FIN != 0, SYN: flags&header.SYN != 0, RST: flags&header.RST != 0, PSH: flags&header.PSH != 0,
		ACK: flags&header.ACK != 0, URG: flags&header.URG != 0, Window: 8192, Options: opts}
	_ = c.SetNetworkLayerForChecksum(ip)
	return h.raw(6, bytesOf(c, gopacket.Payload(payload)))
}

func (h v4) icmp(typ, code uint8, id, seq uint16, payload string) []byte {
	return h.raw(1, bytesOf(&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: id, Seq: seq}, gopacket.Payload(payload)))
}

func (h v4) ping(id uint16, payload string) []byte { return h.icmp(8, 0, id, 1, payload) }

// quoting is an ICMP error that quotes n bytes of the packet.
func (h v4) quoting(typ, code uint8, rest uint32, quote []byte, n int) []byte {
	return h.icmp(typ, code, uint16(rest>>16), uint16(rest), string(quote[:min(n, len(quote))]))
}

// ipip puts an outer header around the packet.
func (h v4) ipip(inner []byte) []byte { return h.raw(4, inner) }

// frame puts the packet into a frame for the gateway.
func (g *gate) frame(port string, l3 []byte) []byte {
	mac := g.mac(port)
	return ether(mac, 0x0800, l3)
}

func ether(dst [6]byte, typ uint16, rest []byte) []byte {
	f := append(dst[:], 2, 0, 0, 0, 9, 9)
	f = binary.BigEndian.AppendUint16(f, typ)
	return append(f, rest...)
}

// tagged puts tags, as TPID<<16|TCI, into a frame.
func tagged(f []byte, tags ...uint32) []byte {
	var b []byte
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return slices.Insert(slices.Clone(f), 12, b...)
}

// send gives the packet to the gateway by an Ethernet port.
func (g *gate) send(port string, l3s ...[]byte) {
	g.t.Helper()
	for _, b := range l3s {
		g.in(port, g.frame(port, b))
	}
}

// seen is a frame taken apart. Outer is the outer header of IP-in-IP, nil for others.
type seen struct {
	dst   [6]byte
	tags  []uint32
	outer header.IPv4
	ip    header.IPv4
	l4    []byte
}

func read(t testing.TB, f []byte, l3 bool) (s seen) {
	t.Helper()
	at := 0
	if !l3 {
		copy(s.dst[:], f)
		at = 14
		typ := binary.BigEndian.Uint16(f[12:])
		for typ == header.TypeVLAN || typ == header.TypeQinQ {
			s.tags = append(s.tags, uint32(typ)<<16|uint32(binary.BigEndian.Uint16(f[at:])))
			typ = binary.BigEndian.Uint16(f[at+2:])
			at += 4
		}
		if typ != header.TypeIPv4 {
			t.Fatalf("got type %#x; want IPv4", typ)
		}
	}
	s.ip = header.IPv4(f[at:][:header.IPv4(f[at:]).TotalLen()])
	if s.ip.Protocol() == flow.IPIP && !s.ip.IsFragment() {
		s.outer = s.ip
		s.ip = s.ip[s.ip.HeaderLen():]
	}
	s.l4 = s.ip[s.ip.HeaderLen():]
	return s
}

func addrOf(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// String shows addresses, and ports or ICMP type, code and id.
func (s seen) String() string {
	src, dst := addrOf(s.ip.Src()).String(), addrOf(s.ip.Dst()).String()
	var o string
	if s.outer != nil {
		o = fmt.Sprintf("[%v > %v] ", addrOf(s.outer.Src()), addrOf(s.outer.Dst()))
	}
	if s.ip.IsLaterFragment() {
		return fmt.Sprintf("%s%s > %s +%d", o, src, dst, s.ip.Fragment()&header.FragmentOffset*8)
	}
	switch s.ip.Protocol() {
	case flow.TCP, flow.UDP:
		u := header.UDP(s.l4)
		return fmt.Sprintf("%s%s:%d > %s:%d", o, src, u.SrcPort(), dst, u.DstPort())
	case flow.ICMP:
		c := header.ICMP(s.l4)
		if c.IsError() {
			q := seen{ip: header.IPv4(c[8:])}
			if q.ip.Protocol() == flow.IPIP {
				q.outer = q.ip
				q.ip = q.ip[20:]
			}
			q.l4 = q.ip[q.ip.HeaderLen():]
			return fmt.Sprintf("%s%s > %s icmp %d/%d about %v", o, src, dst, c.Type(), c.Code(), q)
		}
		return fmt.Sprintf("%s%s > %s icmp %d id %d", o, src, dst, c.Type(), c.ID())
	}
	return fmt.Sprintf("%s%s > %s proto %d", o, src, dst, s.ip.Protocol())
}

// is asks what a packet looks like, as String shows it.
func (s seen) is(t testing.TB, want string) {
	t.Helper()
	if got := s.String(); got != want {
		t.Fatalf("got %s; want %s", got, want)
	}
}

// verify checks lengths and every checksum of a frame.
func verify(f []byte, l3 bool) error {
	at := 0
	if !l3 {
		at = 14
		typ := binary.BigEndian.Uint16(f[12:])
		for typ == header.TypeVLAN || typ == header.TypeQinQ {
			typ = binary.BigEndian.Uint16(f[at+2:])
			at += 4
		}
		if typ != header.TypeIPv4 {
			return nil
		}
	}
	return verifyIP(f[at:])
}

func verifyIP(b []byte) error {
	h := header.IPv4(b)
	if len(b) < 20 || h.Version() != 4 || h.HeaderLen() < 20 || h.TotalLen() > len(b) || h.TotalLen() < h.HeaderLen() {
		return fmt.Errorf("lengths of %x", b)
	}
	if checksum.Of(b[:h.HeaderLen()]) != 0 {
		return fmt.Errorf("IPv4 checksum of %x", b)
	}
	l4 := b[h.HeaderLen():h.TotalLen()]
	if h.IsFragment() {
		return nil
	}
	switch h.Protocol() {
	case flow.IPIP:
		return verifyIP(l4)
	case flow.ICMP:
		if checksum.Of(l4) != 0 {
			return fmt.Errorf("ICMP checksum of %x", b)
		}
	case flow.UDP, flow.TCP:
		if len(l4) < header.UDPLen {
			return fmt.Errorf("transport header of %x", b)
		}
		if h.Protocol() == flow.UDP && header.UDP(l4).Checksum() == 0 {
			return nil
		}
		if checksum.Fold(checksum.Sum(l4, checksum.Pseudo(h.Src(), h.Dst(), h.Protocol(), len(l4)))) != 0xffff {
			return fmt.Errorf("transport checksum of %x", b)
		}
	}
	return nil
}
