package pcapdiff

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/gopacket/layers"
)

// How values are written.

func hex8(v uint8) string   { return fmt.Sprintf("0x%02x", v) }
func hex16(v uint16) string { return fmt.Sprintf("0x%04x", v) }

func macOf(b []byte) string { return net.HardwareAddr(b).String() }

func ipOf(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return fmt.Sprintf("%x", b)
}

func flagsOf(f layers.IPv4Flag) string {
	if f == 0 {
		return "none"
	}
	return f.String()
}

// tcpFlags names the flags that are set, as SYN|ACK.
func tcpFlags(f uint8) string {
	var names []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if f>>i&1 != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// differ says in words where two strings of bytes part.
func differ(got, want []byte) (g, w string) {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	if at == len(got) || at == len(want) {
		return octets(len(got)), octets(len(want))
	}
	g, w = hex8(got[at]), hex8(want[at])+fmt.Sprintf(" at byte %d", at)
	if len(got) != len(want) {
		g, w = g+" of "+octets(len(got)), w+" of "+octets(len(want))
	}
	return g, w
}

func octets(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
