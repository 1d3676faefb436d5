package golden

import (
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func ipipCrossSubnet(p *tape) {
	p.packet("inside", udp(pod1, 5000, server, 53, "from w1, plain")...)
	p.packet("outside", udp(server, 53, gwOut, 5000, "to w1, plain")...)
	p.packet("inside", tunneled(worker, gwIn, udp(pod2, 5001, server, 53, "from w2, in IP-in-IP"))...)
	p.packet("outside", udp(server, 53, gwOut, 5001, "to w2, in IP-in-IP")...)
	p.packet("inside", tunneled(worker, gwIn, tcp(pod2, 40000, server, 80, "S", 1000, 0, ""))...)
	p.packet("outside", tcp(server, 80, gwOut, 40000, "SA", 5000, 1001, "")...)
	p.packet("inside", udp(hostB, 5002, pod2, 53, "from a host of the subnet to a pod")...)
	p.packet("inside", tunneled(worker, gwIn, udp(pod2, 53, hostB, 5002, "and back"))...)
	p.packet("inside", tunneled(worker, gwIn, ping(pod2, pod1, request, 7, 1))...)
	p.packet("inside", ping(pod1, pod2, answer, 7, 1)...)
	p.packet("inside", udp(hostB, 5003, "172.30.9.1", 53, "no worker has it")...)
}

func ipipAlways(p *tape) {
	p.packet("inside", tunneled(hostA, gwIn, udp(pod1, 5000, server, 53, "from w1"))...)
	p.packet("outside", udp(server, 53, gwOut, 5000, "to w1")...)
	p.packet("inside", tunneled(worker, gwIn, udp(pod2, 5001, server, 53, "from w2"))...)
	p.packet("outside", udp(server, 53, gwOut, 5001, "to w2")...)
	p.packet("inside", udp(hostB, 5002, "172.30.1.5", 53, "the borrowed address is on w2")...)
	p.packet("inside", udp(hostB, 5002, "172.30.1.6", 53, "its neighbor on w1")...)
	hops := tunneled(worker, gwIn, udp(pod2, 5003, pod1, 53, "from tunnel to tunnel: the inner hop counts"))
	header(hops[1:]).TTL = 2
	p.packet("inside", hops...)
	last := tunneled(worker, gwIn, udp(pod2, 5003, pod1, 53, "no hop left"))
	header(last[1:]).TTL = 1
	p.packet("inside", last...)
}

// ecn sends every mark into the tunnel, and every pair of marks out of it.
func ecn(p *tape) {
	words := [4]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}
	for inner := range uint8(4) {
		u := udp(hostB, 5000, pod2, 53, "in: "+words[inner])
		header(u).TOS = 0x28 | inner // DSCP AF11 stays inside
		p.packet("inside", u...)
	}
	for outer := range uint8(4) {
		for inner := range uint8(4) {
			u := tunneled(worker, gwIn, udp(pod2, 53, hostB, 5000, fmt.Sprintf("out: %s around %s", words[outer], words[inner])))
			header(u).TOS, header(u[1:]).TOS = 0xb8|outer, 0x28|inner
			p.packet("inside", u...)
		}
	}
}

func decapSpoofing(p *tape) {
	send := func(outer, src, dst, why string) {
		p.packet("inside", tunneled(outer, gwIn, udp(src, 5000, dst, 53, why))...)
	}
	send(hostB, pod2, server, "no worker")
	p.packet("outside", tunneled(server, gwOut, udp(pod2, 5000, hostB, 53, "from outside, for an address with no tunnel"))...)
	p.packet("outside", tunneled(worker, gwIn, udp(pod2, 5000, hostB, 53, "a worker's address, but by a port that no route to it takes"))...)
	send(worker, "203.0.113.9", server, "inner source outside")
	send(worker, hostB, server, "inner source of another host")
	send(worker, gwIn, server, "inner source of the gateway")
	send(worker, pod2, "127.0.0.1", "for loopback")
	send(worker, pod2, "224.0.0.5", "for multicast")
	p.packet("inside", tunneled(worker, gwIn, tunneled(worker, gwIn, udp(pod2, 5000, server, 53, "twice")))...)
	p.packet("inside", ip(worker, gwIn, layers.IPProtocolIPv4), gopacket.Payload("\x45\x00"))
	v6 := append([]byte{0x60}, make([]byte, 39)...)
	p.packet("inside", ip(worker, gwIn, layers.IPProtocolIPv4), gopacket.Payload(v6))
	long := encode(p.t, udp(pod2, 5000, server, 53, "says it is longer")...)
	long[3] += 4
	fixChecksum(long)
	p.packet("inside", ip(worker, gwIn, layers.IPProtocolIPv4), gopacket.Payload(long))
	marked := tunneled(worker, gwIn, udp(pod2, 5000, server, 53, "congestion that it cannot carry"))
	header(marked).TOS = 3
	p.packet("inside", marked...)
	p.packet("inside", ip(worker, gwIn, layers.IPProtocolGRE), gopacket.Payload("\x00\x00\x08\x00 no tunnel is of GRE"))
	send(hostA, pod2, server, "w1 sends for a pod of w2: loose lets it")
	send(worker, worker, server, "the worker itself")
}

// fixChecksum writes the checksum of an IPv4 header without options anew.
func fixChecksum(h []byte) {
	h[10], h[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(h[i])<<8 | uint32(h[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	h[10], h[11] = byte(^sum>>8), byte(^sum)
}
