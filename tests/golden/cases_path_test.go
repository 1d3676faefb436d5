package golden

import (
	"bytes"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// pieces cuts a packet into fragments of at most size bytes of payload.
func (p *tape) pieces(size int, id uint16, packet []gopacket.SerializableLayer) (list [][]gopacket.SerializableLayer) {
	h := header(packet)
	h.Flags, h.Id = 0, id
	all := encode(p.t, packet...)[20:]
	for at := 0; at < len(all); at += size {
		f := *h
		f.FragOffset = uint16(at / 8)
		if at+size < len(all) {
			f.Flags = layers.IPv4MoreFragments
		}
		list = append(list, []gopacket.SerializableLayer{&f, gopacket.Payload(bytes.Clone(all[at:min(at+size, len(all))]))})
	}
	return list
}

func fragments(p *tape) {
	send := func(port string, pieces [][]gopacket.SerializableLayer, order ...int) {
		for _, i := range order {
			p.packet(port, pieces[i]...)
		}
	}
	text := strings.Repeat("0123456789abcdef", 8)
	out := func(id uint16) [][]gopacket.SerializableLayer {
		return p.pieces(56, id, udp(hostA, 5000, server, 53, text))
	}
	send("inside", out(1), 0, 1, 2)
	send("inside", out(2), 2, 1, 0)
	send("outside", p.pieces(64, 3, udp(server, 53, gwOut, 5000, text)), 0, 2, 1)
	send("outside", p.pieces(64, 4, udp(server, 53, gwOut, 5000, text)), 1, 0, 2)
	// The outer packet in pieces, and the inner one.
	send("inside", p.pieces(80, 5, tunneled(worker, gwIn, udp(pod2, 5001, server, 53, text))), 1, 0)
	for _, inner := range p.pieces(72, 6, udp(pod2, 5001, server, 53, text)) {
		p.packet("inside", tunneled(worker, gwIn, inner)...)
	}
	over := out(7)
	header(over[1]).FragOffset--
	send("inside", over, 0, 1, 2)
	tiny := p.pieces(8, 8, tcp(hostA, 40000, server, 80, "S", 1000, 0, ""))
	send("inside", tiny, 0)
	past := out(9)
	header(past[2]).FragOffset = 8191
	send("inside", past, 2)
	send("inside", out(10), 1, 2)
	p.wait(35 * time.Second)
	p.packet("inside", udp(hostA, 5000, server, 53, "long after")...)
}

func traceroute(p *tape) {
	hop := func(src string, ttl uint8) []gopacket.SerializableLayer {
		u := udp(src, 33000, server, 33434, "traceroute")
		header(u).TTL = ttl
		return u
	}
	p.packet("inside", hop(hostA, 1)...)
	p.packet("inside", hop(hostA, 2)...)
	seen := hop(gwOut, 1) // as it reached the next router
	p.packet("outside", p.about("203.0.113.1", gwOut, 11, 0, 0, seen, 28)...)
	p.packet("outside", p.about(server, gwOut, 3, 3, 0, seen, 1000)...)
	p.packet("outside", p.about(other, gwOut, 11, 0, 0, udp(gwOut, 33001, server, 33434, "no such flow"), 28)...)
	p.packet("outside", p.about(other, "203.0.113.77", 11, 0, 0, seen, 28)...)
	p.packet("inside", ping(hostB, server, request, 7, 1)...)
	p.packet("outside", p.about("203.0.113.1", gwOut, 11, 0, 0, ping(gwOut, server, request, 7, 1), 28)...)
	// By DNAT to a port where nobody listens.
	p.packet("outside", udp(client, 4000, gwOut, 53, "anybody?")...)
	p.packet("inside", p.about(hostA, client, 3, 3, 0, udp(client, 4000, hostA, 5300, "anybody?"), 1000)...)
	p.packet("inside", p.about("10.0.0.254", client, 11, 0, 0, udp(client, 4000, hostA, 5300, "anybody?"), 28)...)
	last := udp(client, 4000, gwOut, 53, "no hop left for DNAT")
	header(last).TTL = 1
	p.wait(2 * time.Second)
	p.packet("outside", last...)
	p.packet("outside", p.about("203.0.113.1", gwOut, 5, 1, 0, seen, 28)...) // a redirect
}

func fragNeeded(p *tape) {
	size := func(n int) string { return strings.Repeat("x", n-28) }
	p.packet("inside", udp(hostB, 5000, pod2, 53, size(1480))...)
	p.packet("inside", udp(hostB, 5000, pod2, 53, size(1481))...)
	u := udp(hostB, 5000, pod2, 53, size(1500))
	header(u).Flags = 0
	p.packet("inside", u...)
	p.packet("inside", tcp(hostB, 40000, pod2, 80, "S", 1000, 0, "")...)
	p.packet("inside", tunneled(worker, gwIn, udp(pod2, 5001, server, 53, size(1480)))...)
	p.packet("outside", p.about("203.0.113.1", gwOut, 3, 4, 1400, udp(gwOut, 5001, server, 53, size(1480)), 548)...)
	// A hop within the tunnel's path: the outer packet is quoted; next time the
	// gateway itself says so.
	outer := tunneled(gwIn, worker, udp(hostB, 5000, pod2, 53, size(1480)))
	p.wait(2 * time.Second)
	p.packet("inside", p.about("10.0.0.254", gwIn, 3, 4, 1300, outer, 548)...)
	p.wait(2 * time.Second)
	p.packet("inside", udp(hostB, 5000, pod2, 53, size(1281))...)
	p.packet("inside", udp(hostB, 5000, pod2, 53, size(1280))...)
}

func noWay(p *tape) {
	p.packet("inside", udp(hostA, 5000, server, 53, "a way")...)
	for _, dst := range []string{"192.0.2.1", "198.51.100.130", "198.51.100.70", "203.0.113.255", "10.0.0.255"} {
		p.packet("inside", udp(hostA, 5000, dst, 53, "no way")...)
		p.wait(1500 * time.Millisecond)
	}
	for i := range uint16(8) {
		p.packet("inside", tcp(hostA, 40000+i, "192.0.2.1", 80, "S", 1000, 0, "")...)
	}
	p.wait(1500 * time.Millisecond)
	p.packet("inside", udp("10.0.9.9", 5000, server, 53, "from behind no port")...)
	p.packet("inside", udp(server, 53, hostA, 5000, "from outside, they say")...)
	p.packet("outside", udp(hostA, 5000, hostA, 53, "to itself")...)
	p.packet("outside", udp("192.0.2.1", 53, hostA, 5000, "no way back")...)
}

func host(p *tape) {
	p.packet("inside", ping(hostA, gwIn, request, 7, 1)...)
	p.packet("inside", ping(hostA, gwOut, request, 7, 2)...)
	p.packet("outside", ping(client, gwOut, request, 7, 1)...)
	p.packet("inside", tcp(hostA, 40000, gwIn, 22, "S", 1000, 0, "")...)
	p.packet("host", tcp(gwIn, 22, hostA, 40000, "SA", 5000, 1001, "")...)
	p.packet("inside", tcp(hostA, 40000, gwIn, 22, "A", 1001, 5001, "")...)
	p.packet("outside", tcp(client, 40000, gwOut, 22, "S", 1000, 0, "")...)
	p.packet("inside", udp(hostA, 5000, gwIn, 161, "not served")...)
	p.packet("host", udp(gwOut, 40001, server, 123, "what time is it?")...)
	p.packet("outside", udp(server, 123, gwOut, 40001, "late")...)
	p.packet("host", udp("10.9.9.9", 40001, server, 123, "not an address of ours")...)
}
