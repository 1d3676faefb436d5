package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// MAC is an Ethernet address. Zero means not given.
type MAC [6]byte

// String returns the form 02:00:5e:10:00:01.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// Size is a number of bytes.
type Size int64

// String returns the size in the largest binary unit that divides it.
func (s Size) String() string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if u := sizeUnits[i]; u.binary && s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// PortRange is a range of ports, both ends included. Zero means none given.
type PortRange struct{ First, Last uint16 }

// String returns "443" or "8000-8010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Count returns how many ports the range holds; 0 for the zero range.
func (r PortRange) Count() int {
	if r == (PortRange{}) {
		return 0
	}
	return int(r.Last) - int(r.First) + 1
}

// AddressRange is a range of addresses, both ends included. Zero means masquerade.
type AddressRange struct{ First, Last netip.Addr }

// String returns "masquerade", an address, or FIRST-LAST.
func (r AddressRange) String() string {
	switch {
	case r == AddressRange{}:
		return "masquerade"
	case r.First == r.Last:
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// Endpoint is an address with a range of ports; a zero range keeps the ports.
type Endpoint struct {
	Address netip.Addr
	Ports   PortRange
}

// String returns "10.0.0.5", "10.0.0.5:8443" or "10.0.0.5:8000-8010".
func (e Endpoint) String() string {
	if e.Ports == (PortRange{}) {
		return e.Address.String()
	}
	return e.Address.String() + ":" + e.Ports.String()
}

// Listener is an address and port to listen on. It is not valid when off.
type Listener struct{ netip.AddrPort }

// String returns "127.0.0.1:9478" or "off".
func (l Listener) String() string {
	if !l.IsValid() {
		return "off"
	}
	return l.AddrPort.String()
}

// Protocol is an IP protocol number. Zero means any.
type Protocol uint8

// Protocols with a name in the file.
const (
	AnyProtocol Protocol = 0
	ICMP        Protocol = 1
	IGMP        Protocol = 2
	TCP         Protocol = 6
	UDP         Protocol = 17
	GRE         Protocol = 47
	ESP         Protocol = 50
	AH          Protocol = 51
	OSPF        Protocol = 89
	VRRP        Protocol = 112
	SCTP        Protocol = 132
)

// String returns the protocol's name, or its number.
func (p Protocol) String() string {
	for _, n := range protocolNames() {
		if n.number == p {
			return n.name
		}
	}
	return strconv.Itoa(int(p))
}

// HasPorts reports whether the path looks at ports of the protocol. It does not at SCTP's.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP }

type protocolName struct {
	name   string
	number Protocol
}

func protocolNames() [11]protocolName {
	return [...]protocolName{
		{"any", AnyProtocol}, {"tcp", TCP}, {"udp", UDP}, {"icmp", ICMP}, {"sctp", SCTP}, {"esp", ESP},
		{"ah", AH}, {"gre", GRE}, {"igmp", IGMP}, {"ospf", OSPF}, {"vrrp", VRRP},
	}
}

type sizeUnit struct {
	name   string
	bytes  Size
	binary bool // String uses it
}

// sizeUnits are Kubernetes's: k, M, G are powers of 1000; Ki, Mi, Gi powers of 1024.
var sizeUnits = [...]sizeUnit{
	{"k", 1e3, false}, {"kB", 1e3, false}, {"M", 1e6, false}, {"MB", 1e6, false}, {"G", 1e9, false}, {"GB", 1e9, false},
	{"Ki", 1 << 10, false}, {"Mi", 1 << 20, false}, {"Gi", 1 << 30, false},
	{"KiB", 1 << 10, true}, {"MiB", 1 << 20, true}, {"GiB", 1 << 30, true},
}

// splitUnit cuts the decimal digits off the front of s.
func splitUnit(s string) (digits, unit string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func parseSize(s string) (Size, bool) {
	digits, unit := splitUnit(s)
	n, ok := parseInt(digits)
	if !ok || n < 0 {
		return 0, false
	}
	if unit == "" || unit == "B" {
		return Size(n), true
	}
	for _, u := range sizeUnits {
		if u.name == unit {
			return Size(n) * u.bytes, n <= 1<<32
		}
	}
	return 0, false
}

// parseDuration reads a sum of whole numbers with units, largest first, as 1d12h or 250ms.
func parseDuration(s string) (time.Duration, bool) {
	units := [...]struct {
		name string
		span time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}
	var sum time.Duration
	next := 0
	for rest := s; ; {
		digits, tail := splitUnit(rest)
		n, ok := parseInt(digits)
		if !ok || n > 1<<32 {
			return 0, false
		}
		name := tail
		if i := strings.IndexAny(tail, "0123456789"); i >= 0 {
			name = tail[:i]
		}
		for next < len(units) && units[next].name != name {
			next++
		}
		if next == len(units) || n > int64(time.Duration(1<<62)/units[next].span) {
			return 0, false
		}
		sum += time.Duration(n) * units[next].span
		if sum < 0 || sum > 1<<62 {
			return 0, false
		}
		next++
		if rest = tail[len(name):]; rest == "" {
			return sum, true
		}
	}
}

// formatDuration writes d in one unit, seconds where the RFCs speak of seconds.
func formatDuration(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d != 0 && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d%time.Second == 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
}

// parseInt reads a plain decimal integer: no plus, underscore, leading zero or other base.
func parseInt(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 18 || (digits[0] == '0' && len(s) > 1) {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func parsePorts(s string) (PortRange, bool) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, ok1 := parseInt(first)
	b, ok2 := parseInt(last)
	if !ok1 || !ok2 || a < 1 || b < a || b > 65535 {
		return PortRange{}, false
	}
	return PortRange{uint16(a), uint16(b)}, true
}

func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is4()
}

func parseAddressRange(s string) (AddressRange, bool) {
	if s == "masquerade" {
		return AddressRange{}, true
	}
	if first, last, ranged := strings.Cut(s, "-"); ranged {
		a, ok1 := parseAddress(first)
		b, ok2 := parseAddress(last)
		return AddressRange{a, b}, ok1 && ok2 && !b.Less(a)
	}
	p, ok := parseNet(s)
	return AddressRange{p.Addr(), lastAddress(p)}, ok
}

// parseNet reads a prefix without host bits, or an address as a prefix of one.
func parseNet(s string) (netip.Prefix, bool) {
	if a, ok := parseAddress(s); ok {
		return netip.PrefixFrom(a, 32), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil && p.Addr().Is4() && p == p.Masked()
}

// lastAddress returns the highest address of the IPv4 prefix p, or no address.
func lastAddress(p netip.Prefix) netip.Addr {
	if !p.IsValid() || !p.Addr().Is4() {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func parseEndpoint(s string) (Endpoint, bool) {
	host, ports, hasPorts := strings.Cut(s, ":")
	a, ok := parseAddress(host)
	if !ok || !hasPorts {
		return Endpoint{Address: a}, ok
	}
	r, ok := parsePorts(ports)
	return Endpoint{a, r}, ok
}

func parseListener(s string) (Listener, bool) {
	if s == "off" {
		return Listener{}, true
	}
	a, err := netip.ParseAddrPort(s)
	return Listener{a}, err == nil && a.Port() != 0 && a.Addr().Zone() == ""
}

func parseMAC(s string) (MAC, bool) {
	var m MAC
	if len(s) != 17 {
		return m, false
	}
	for i := range m {
		b, err := strconv.ParseUint(s[3*i:3*i+2], 16, 8)
		if err != nil || (i < 5 && s[3*i+2] != ':') {
			return MAC{}, false
		}
		m[i] = byte(b)
	}
	return m, m != MAC{} && m[0]&1 == 0
}

func parseProtocol(s string) (Protocol, bool) {
	for _, n := range protocolNames() {
		if n.name == s {
			return n.number, true
		}
	}
	n, ok := parseInt(s)
	return Protocol(n), ok && n >= 1 && n <= 255
}
