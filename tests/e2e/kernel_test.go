package e2e

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/tools/lab"
)

// TestKernelDoesNotAnswerToo makes the gateway's kernel as eager as it can be, with
// forwarding on, an address and routes, and counts answers and packets on the wire.
func TestKernelDoesNotAnswerToo(t *testing.T) {
	s := newSite(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	must(t,
		s.Gateway.Sysctl("ipv4/ip_forward", "1"),
		s.Gateway.IP(ctx, `addr add 203.0.113.50/24 dev outside
			addr add 10.0.0.50/24 dev inside
			route add 198.51.100.10 via 203.0.113.1
			route add 172.30.1.0/24 via 10.0.0.11`),
		s.WriteConfig(s.config), s.ServeAll())
	s.startGateway()
	t.Cleanup(s.checkConservation)
	must(t, s.Client.IP(ctx, "neigh flush dev eth0"))
	outside, err := s.Capture(s.Client, "eth0")
	must(t, err)
	inside, err := s.Capture(s.Pod1, "eth0")
	must(t, err)
	const n = 5
	for i := range uint16(n) {
		for _, to := range []netip.Addr{lab.OutsideAddr, keptAddr, lab.Outside1Static} {
			if pong, err := s.Client.Ping(ctx, lab.Ping{To: to, Size: 56, Sequence: i}, wait); err != nil || !pong.Reply() {
				t.Errorf("ping %v: %v, %v", to, pong, err)
			}
		}
	}
	// A port that nobody serves: the kernel's address refuses once.
	if _, err := s.Client.DialTCP(ctx, netip.Addr{}, addrPort(keptAddr, 9999)); err == nil {
		t.Error("a closed port was connected to")
	}
	if e, err := s.Client.UDP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod1Port), n, 32, wait); err != nil || e.Received != n {
		t.Errorf("UDP to pod1: %+v, %v", e, err)
	}
	time.Sleep(100 * time.Millisecond)
	// What is the kernel's is nothing for the gateway to forward.
	list, err := s.admin.Sessions(ctx, map[string][]string{"dst": {keptAddr.String()}})
	must(t, err)
	if list.Total > 0 {
		t.Errorf("%d sessions to the kernel's address; want none: %+v", list.Total, list.Sessions)
	}
	neighbors, err := s.admin.Neighbors(ctx)
	must(t, err)
	for _, n := range neighbors {
		if n.Address == keptAddr {
			t.Errorf("the gateway asks for its own kernel: %+v", n)
		}
	}
	frames := outside.Stop()
	if got := len(icmpFrames(frames, 0)); got != 3*n {
		t.Errorf("%d echo replies for %d requests", got, 3*n)
	}
	for _, a := range []netip.Addr{lab.OutsideAddr, keptAddr, lab.Outside1Static} {
		if got := len(arpReplies(frames, a)); got < 1 || got > requests(frames, a) {
			t.Errorf("%d ARP replies for %v to %d requests", got, a, requests(frames, a))
		}
	}
	if got := len(segmentsFrom(frames, 9999)); got != 1 {
		t.Errorf("%d answers to one SYN for a closed port; want 1", got)
	}
	udp := pick(inside.Stop(), layers.LayerTypeUDP, func(f lab.Frame, _ *layers.UDP) bool { return !f.Outgoing })
	if len(udp) != n {
		t.Errorf("pod1 got %d datagrams of %d: the kernel forwards, too", len(udp), n)
	}
}

// requests counts the ARP requests for an address.
func requests(frames []lab.Frame, addr netip.Addr) int {
	return len(pick(frames, layers.LayerTypeARP, func(_ lab.Frame, a *layers.ARP) bool {
		return a.Operation == layers.ARPRequest && [4]byte(a.DstProtAddress) == addr.As4()
	}))
}

// spoof sends an ARP packet from the router that claims an address.
func (s *site) spoof(operation uint16, claimed netip.Addr) {
	s.t.Helper()
	mac, err := s.Router.MAC("eth0")
	must(s.t, err)
	all := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	a := claimed.As4()
	inside := lab.InsideAddr.As4()
	target := a
	if operation == layers.ARPReply {
		target = inside
	}
	buf := gopacket.NewSerializeBuffer()
	must(s.t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{},
		&layers.Ethernet{SrcMAC: mac, DstMAC: all, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
			SourceHwAddress: mac, SourceProtAddress: a[:], DstHwAddress: make([]byte, 6), DstProtAddress: target[:],
		}))
	must(s.t, s.Router.SendFrame("eth0", buf.Bytes()))
}

// TestStaticNeighborIsNotOverwritten lets the router claim worker1's address, which
// has a static entry, and the gateway's own.
func TestStaticNeighborIsNotOverwritten(t *testing.T) {
	s := newSite(t, lab.Options{}, lab.Config{})
	worker1, err := s.Worker1.MAC("eth0")
	must(t, err)
	s.config.Neighbors = []string{"{port: inside, address: 10.0.0.11, mac: " + worker1.String() + "}"}
	must(t, s.WriteConfig(s.config), s.ServeAll())
	s.startGateway()
	t.Cleanup(s.checkConservation)
	for range 3 {
		s.spoof(layers.ARPRequest, lab.Worker1Addr)
		s.spoof(layers.ARPReply, lab.Worker1Addr)
	}
	time.Sleep(50 * time.Millisecond)
	neighbors, err := s.admin.Neighbors(t.Context())
	must(t, err)
	found := false
	for _, n := range neighbors {
		if n.Address == lab.Worker1Addr {
			found = true
			if n.MAC != worker1.String() || !n.Static {
				t.Errorf("neighbor %+v; want %v, static", n, worker1)
			}
		}
	}
	if !found {
		t.Errorf("the static neighbor is not shown: %+v", neighbors)
	}
	must(t, s.Client.TCP(t.Context(), lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod1Port), lab.Transfer{Up: 1000, Down: 1000}))

	before := s.dropped("arp_conflict")
	s.spoof(layers.ARPRequest, lab.InsideAddr)
	eventually(t, time.Second, "a claim of the gateway's own address counts as a conflict", func() bool {
		return s.dropped("arp_conflict") > before
	})
	eventually(t, time.Second, "the gateway still forwards", s.echo)
}
