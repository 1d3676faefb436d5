package golden

import (
	"fmt"
	"time"

	"github.com/google/gopacket"
)

// Who is who in all cases; the neighbors are in config.yaml.
const (
	gwOut  = "203.0.113.2"
	gwIn   = "10.0.0.1"
	hostA  = "10.0.0.11"
	hostB  = "10.0.0.12"
	worker = "10.0.1.12"    // w2, behind the router inside
	pod1   = "172.30.1.10"  // on w1, which is hostA
	pod2   = "172.30.2.10"  // on w2
	server = "198.51.100.7" // outside, as are the next
	client = "198.51.100.9"
	other  = "198.51.100.77"
)

func masqueradeTCP(p *tape) {
	out := func(flags string, seq, ack uint32, data string) {
		p.packet("inside", tcp(hostA, 40000, server, 80, flags, seq, ack, data)...)
	}
	in := func(flags string, seq, ack uint32, data string) {
		p.packet("outside", tcp(server, 80, gwOut, 40000, flags, seq, ack, data)...)
	}
	out("S", 1000, 0, "")
	in("SA", 5000, 1001, "")
	out("A", 1001, 5001, "")
	out("AP", 1001, 5001, "GET / HTTP/1.0\r\n\r\n")
	in("A", 5001, 1019, "")
	in("AP", 5001, 1019, "HTTP/1.0 200 OK\r\n\r\n")
	out("A", 1019, 5020, "")
	p.packet("outside", tcp(other, 80, gwOut, 40000, "AP", 5020, 1019, "from elsewhere")...)
	in("FA", 5020, 1019, "")
	out("FA", 1019, 5021, "")
	in("A", 5021, 1020, "")
	p.wait(5 * time.Minute)
	in("AP", 5021, 1020, "too late")
}

func masqueradeQueries(p *tape) {
	p.packet("inside", udp(hostA, 5000, server, 53, "who is example.net?")...)
	p.packet("inside", udp(hostB, 5000, server, 53, "who is example.org?")...)
	p.packet("outside", udp(server, 53, gwOut, 5000, "192.0.2.1")...)
	p.packet("outside", udp(server, 53, gwOut, portOfB, "192.0.2.2")...)
	p.packet("inside", udp(hostA, 5000, other, 53, "who is example.net?")...)
	p.packet("outside", udp(other, 53, gwOut, 5000, "192.0.2.1")...)
	p.packet("outside", udp(client, 53, gwOut, 5000, "nobody asked")...)
	p.packet("inside", ping(hostA, server, request, 7, 1)...)
	p.packet("inside", ping(hostB, server, request, 7, 1)...)
	p.packet("outside", ping(server, gwOut, answer, 7, 1)...)
	p.packet("outside", ping(server, gwOut, answer, idOfB, 1)...)
	p.packet("outside", ping(server, gwOut, answer, 9, 1)...)
}

// What the second host of masquerade-queries gets, as verdicts.txt shows it.
const (
	portOfB = 1638
	idOfB   = 29826
)

func dnat(p *tape) {
	p.packet("outside", tcp(client, 40000, gwOut, 443, "S", 1000, 0, "")...)
	p.packet("inside", tcp(hostA, 8443, client, 40000, "SA", 5000, 1001, "")...)
	p.packet("outside", tcp(client, 40000, gwOut, 443, "A", 1001, 5001, "")...)
	p.packet("inside", tcp(hostA, 8443, client, 40000, "AP", 5001, 1001, "hello")...)
	p.packet("outside", udp(client, 4000, gwOut, 6003, "voice")...)
	p.packet("inside", udp(hostB, 7003, client, 4000, "voice")...)
	p.packet("outside", udp(client, 4000, gwOut, 6010, "out of range")...)
	p.packet("outside", tcp(client, 40001, gwOut, 22, "S", 1000, 0, "")...)
	p.packet("outside", tcp(other, 40001, gwOut, 22, "S", 1000, 0, "")...)
	p.packet("inside", tcp(hostB, 22, client, 40001, "SA", 5000, 1001, "")...)
	p.packet("inside", tcp(hostB, 45000, gwOut, 443, "S", 1000, 0, "")...) // hairpin
	p.packet("inside", tcp(hostA, 8443, gwOut, 45000, "SA", 5000, 1001, "")...)
	p.packet("inside", tcp(hostB, 45000, gwOut, 443, "A", 1001, 5001, "")...)
}

func oneToOne(p *tape) {
	p.frame("outside", arpFrame(p, 1, "203.0.113.9", "203.0.113.66"))
	p.packet("outside", tcp(client, 40000, "203.0.113.66", 25, "S", 1000, 0, "")...)
	p.packet("inside", tcp("10.0.1.66", 25, client, 40000, "SA", 5000, 1001, "")...)
	p.packet("inside", udp("10.0.1.67", 5000, server, 53, "who is example.net?")...)
	p.packet("outside", udp(server, 53, "203.0.113.67", 5000, "192.0.2.1")...)
	p.packet("outside", ping(client, "203.0.113.68", request, 3, 1)...)
	p.packet("inside", ping("10.0.1.68", client, answer, 3, 1)...)
	gre := append([]gopacket.SerializableLayer{ip(client, "203.0.113.69", 47)}, gopacket.Payload("\x00\x00\x08\x00no ports in here"))
	p.packet("outside", gre...)
	p.packet("inside", ip("10.0.1.69", client, 47), gopacket.Payload("\x00\x00\x08\x00nor here"))
	p.packet("inside", tcp("10.0.1.70", 30000, "203.0.113.66", 25, "S", 1000, 0, "")...) // hairpin
	p.packet("inside", tcp("10.0.1.66", 25, "203.0.113.70", 30000, "SA", 5000, 1001, "")...)
	p.packet("inside", udp("10.0.1.80", 5000, server, 53, "not of the prefix, so as it is")...)
}

func expiry(p *tape) {
	p.packet("inside", udp(hostA, 5000, server, 53, "who is example.net?")...)
	p.wait(4 * time.Minute)
	p.packet("outside", udp(server, 53, gwOut, 5000, "slowly, which does not keep the session")...)
	p.wait(4 * time.Minute)
	p.packet("inside", udp(hostA, 5000, server, 53, "and who is example.org?")...)
	p.packet("outside", udp(server, 53, gwOut, 5000, "192.0.2.1")...)
	p.wait(6 * time.Minute)
	p.packet("outside", udp(server, 53, gwOut, 5000, "too late")...)
	p.packet("inside", udp(hostB, 5000, server, 53, "who is example.net?")...)
	p.packet("inside", ping(hostA, server, request, 7, 1)...)
	p.wait(70 * time.Second)
	p.packet("outside", ping(server, gwOut, answer, 7, 1)...)
}

func ecmp(p *tape) {
	for i := range 8 {
		p.packet("inside", udp(hostA, uint16(5000+i), server, 53, fmt.Sprintf("flow %d", i))...)
		p.packet("inside", udp(hostA, uint16(5000+i), server, 53, fmt.Sprintf("flow %d again", i))...)
	}
	p.packet("outside", udp(server, 53, hostA, 5000, "an answer by either")...)
}
