package afpacket

import (
	"net/netip"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// ping returns an echo request from 192.0.2.9 to dst.
func ping(mac [6]byte, dst netip.Addr) linktest.Frame {
	f := linktest.UDP(1, 20, false)
	copy(f.Bytes, mac[:])
	ip := header.IPv4(f.Bytes[14:])
	a := dst.As4()
	ip.SetProtocol(flow.ICMP)
	ip.SetSrc(0xc0000209)
	ip.SetDst(uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3]))
	ip.SetChecksum(0)
	ip.SetChecksum(checksum.Of(ip[:20]))
	clear(ip[20:])
	icmp := header.ICMP(ip[20:])
	icmp.SetType(header.ICMPEcho)
	icmp.SetID(7)
	icmp.SetChecksum(checksum.Of(icmp))
	return f
}

// arpFor returns a request for target, as 192.0.2.9 asks it.
func arpFor(target netip.Addr) linktest.Frame {
	b := make([]byte, 60)
	copy(b, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x09\x08\x06")
	arp := header.ARP(b[14:])
	arp.SetFixed()
	arp.SetOpcode(header.ARPRequest)
	copy(arp.SenderMAC(), b[6:12])
	arp.SetSenderIP(0xc0000209)
	a := target.As4()
	copy(b[14+24:], a[:])
	return linktest.Frame{Bytes: b}
}

// The kernel has both addresses; only for the kept one it may answer, and the
// port sees everything whatever the kernel gets.
func TestGuardKeepsTheKernelQuiet(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	kept, ours := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	linktest.IP(t, "addr add 192.0.2.1/24 dev vra-a")
	linktest.IP(t, "addr add 192.0.2.2/24 dev vra-a")
	linktest.IP(t, "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev vra-a")
	p, err := Open(Options{Device: "vra-a", Guarded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-b")
	mac := p.Info().MAC

	answers := func() (n int) {
		t.Helper()
		q := []linktest.Frame{
			ping(mac, kept), ping(mac, ours), arpFor(kept), arpFor(ours),
			ping(mac, kept).Tagged(0x8100_0001),
		}
		w.Send(q...)
		linktest.Receive(t, p.Queues()[0], len(q), func(b *packet.Batch) { n += b.N })
		if n != len(q) {
			t.Errorf("the port got %d frames; want %d", n, len(q))
		}
		return len(w.Receive(5))
	}
	if n := answers(); n != 0 {
		t.Errorf("nothing kept: the kernel answered %d times; want 0", n)
	}
	if err := p.SetKernelAddresses([]netip.Addr{kept}); err != nil {
		t.Fatal(err)
	}
	if n := answers(); n != 2 {
		t.Errorf("one kept: the kernel answered %d times; want 2, ping and ARP", n)
	}
	if err := p.SetKernelAddresses([]netip.Addr{kept, ours}); err != nil {
		t.Fatal(err)
	}
	if n := answers(); n != 4 {
		t.Errorf("both kept: the kernel answered %d times; want 4", n)
	}
	if err := p.SetKernelAddresses(nil); err != nil {
		t.Fatal(err)
	}
	if n := answers(); n != 0 {
		t.Errorf("none kept any more: the kernel answered %d times; want 0", n)
	}
	p.Close()
	w.Send(ping(mac, kept), arpFor(ours))
	if n := len(w.Receive(2)); n != 2 {
		t.Errorf("after Close the kernel answered %d times; want 2", n)
	}
}

func TestGuardIPv6(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	fd, err := inspect("vra-a")
	if err != nil {
		t.Fatal(err)
	}
	g, err := OpenGuard(fd.Index, false)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	kept := netip.MustParseAddr("2001:db8::1")
	run := func(dst string) bool {
		t.Helper()
		b := make([]byte, 80)
		b[12], b[13], b[14] = 0x86, 0xdd, 0x60
		a := netip.MustParseAddr(dst).As16()
		copy(b[14+24:], a[:])
		ret, _, err := g.prog.Test(b)
		if err != nil {
			t.Fatal(err)
		}
		return int32(ret) == -1
	}
	for _, row := range []struct {
		kept []netip.Addr
		dst  string
		want bool
	}{
		{nil, "2001:db8::1", false}, {nil, "ff02::1", false}, {nil, "fe80::1", false}, {nil, "::", false},
		{[]netip.Addr{kept}, "2001:db8::1", true}, {[]netip.Addr{kept}, "2001:db8::2", false},
		{[]netip.Addr{kept}, "ff02::1:ff00:1", true}, {[]netip.Addr{kept}, "fe80::1", true},
		{[]netip.Addr{kept}, "febf::1", true}, {[]netip.Addr{kept}, "fec0::1", false},
	} {
		if err := g.SetKernelAddresses(row.kept); err != nil {
			t.Fatal(err)
		}
		if got := run(row.dst); got != row.want {
			t.Errorf("kept %v, to %s: got passed %v; want %v", row.kept, row.dst, got, row.want)
		}
	}
	if err := g.SetKernelAddresses(make([]netip.Addr, maxKernelAddresses+1)); err == nil {
		t.Error("too many addresses: got no error")
	}
}
