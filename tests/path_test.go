package tests

import (
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane/drop"
	"openvra/dataplane/link"
	"openvra/dataplane/link/memory"
)

const edge = `
ports:
  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}
  - {name: inside, driver: memory, addresses: [10.0.0.1/24]}
routes:
  - {to: 0.0.0.0/0, via: [203.0.113.1]}
  - {to: 10.0.1.0/24, via: [10.0.0.254]}
neighbours:
  - {port: outside, address: 203.0.113.1, mac: "02:00:00:00:01:01"}
  - {port: inside, address: 10.0.0.11, mac: "02:00:00:00:02:11"}
  - {port: inside, address: 10.0.0.254, mac: "02:00:00:00:02:fe"}
tunnels:
  - name: pods
    local: 10.0.0.1
    mode: CrossSubnet
    pools: [172.30.0.0/16]
    workers:
      - {name: w1, address: 10.0.0.11, blocks: [172.30.1.0/26]}
      - {name: w2, address: 10.0.1.12, blocks: [172.30.2.0/26]}
nat:
  source:
    - {name: out, out: [outside], from: [10.0.0.0/8, 172.30.0.0/16], translate: masquerade}
  destination:
    - {name: web, in: [outside], to: 203.0.113.2, protocol: tcp, ports: 8081, translate: "172.30.2.10:80"}
`

type bench struct {
	t               *testing.T
	off             *appliance.Offline
	outside, inside *memory.Port
	now             int64
}

func newBench(t *testing.T, yaml string) *bench {
	t.Helper()
	c, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: 1e9}
	ports := map[string]link.Port{}
	for _, name := range []string{"outside", "inside"} {
		a, peer, err := memory.Pair(memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ports[name] = a
		if name == "outside" {
			b.outside = peer
		} else {
			b.inside = peer
		}
	}
	b.off, err = appliance.NewOffline(c, appliance.OfflineOptions{Ports: ports})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) poll() {
	for range 4 {
		b.now += 1e6
		if _, err := b.off.Poll(b.now); err != nil {
			b.t.Fatal(err)
		}
	}
}

func frame(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var gwMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0x0a}

func eth() *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 9, 9}, DstMAC: gwMAC, EthernetType: layers.EthernetTypeIPv4}
}

func ip(src, dst string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst), Protocol: proto}
}

func show(t *testing.T, fs [][]byte) {
	for _, f := range fs {
		t.Log(gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default).String())
	}
}

func TestFirstLight(t *testing.T) {
	b := newBench(t, edge)
	// A pod behind w2, over IP-in-IP, to the internet.
	in := ip("172.30.2.10", "198.51.100.7", layers.IPProtocolUDP)
	u := &layers.UDP{SrcPort: 5000, DstPort: 53}
	u.SetNetworkLayerForChecksum(in)
	b.inside.Inject(frame(t, eth(), ip("10.0.1.12", "10.0.0.1", layers.IPProtocolIPv4), in, u, gopacket.Payload("hello")))
	b.poll()
	out := b.outside.Drain()
	show(t, out)
	back := ip("198.51.100.7", "203.0.113.2", layers.IPProtocolUDP)
	r := &layers.UDP{SrcPort: 53, DstPort: 5000}
	r.SetNetworkLayerForChecksum(back)
	b.outside.Inject(frame(t, eth(), back, r, gopacket.Payload("world")))
	b.poll()
	show(t, b.inside.Drain())
	// DNAT
	cl := ip("198.51.100.9", "203.0.113.2", layers.IPProtocolTCP)
	tc := &layers.TCP{SrcPort: 4000, DstPort: 8081, SYN: true, Window: 1000, Seq: 1}
	tc.SetNetworkLayerForChecksum(cl)
	b.outside.Inject(frame(t, eth(), cl, tc))
	b.poll()
	show(t, b.inside.Drain())
	w := b.off.Workers()[0]
	t.Logf("balance %d drops %d", w.Counters.Balance(), w.Counters.Dropped())
	for i := range w.Counters.Drops {
		if n := w.Counters.Drops[i].Load(); n != 0 {
			t.Logf("drop %v: %d", drop.Reason(i), n)
		}
	}
}
