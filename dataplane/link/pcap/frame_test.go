package pcap

import (
	"testing"

	"openvra/dataplane/link/linktest"
)

func TestAppendFrame(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	eth, ip := linktest.UDP(1, 20, false), linktest.UDP(1, 20, true).Bytes
	ip6 := append([]byte{0x60}, make([]byte, 39)...)
	synthetic := func(typ string, b []byte) string {
		return string(mac[:]) + string(SyntheticSource[:]) + typ + string(b)
	}
	cooked := append([]byte("\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x09\x00\x00\x08\x00"), ip...)
	cooked2 := append([]byte("\x08\x00\x00\x00\x00\x00\x00\x07\x00\x01\x00\x06\x02\x00\x00\x00\x00\x09\x00\x00"), ip...)
	arp := append([]byte("\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x09\x00\x00\x08\x06"), make([]byte, 28)...)
	for _, row := range []struct {
		name      string
		link      LinkType
		data      []byte
		ether, l3 string // empty: no frame
	}{
		{"Ethernet", Ethernet, eth.Bytes, string(eth.Bytes), string(ip)},
		{"VLAN", Ethernet, eth.Tagged(0x8100_0001).Bytes, string(eth.Tagged(0x8100_0001).Bytes), string(ip)},
		{"QinQ", Ethernet, eth.Tagged(0x8100_0001).Tagged(0x88a8_0002).Bytes, string(eth.Tagged(0x8100_0001).Tagged(0x88a8_0002).Bytes), string(ip)},
		{"short Ethernet", Ethernet, eth.Bytes[:13], "", ""},
		{"cooked", LinuxCooked, cooked, synthetic("\x08\x00", ip), string(ip)},
		{"cooked ARP", LinuxCooked, arp, synthetic("\x08\x06", make([]byte, 28)), ""},
		{"short cooked", LinuxCooked, cooked[:15], "", ""},
		{"cooked, version 2", LinuxCooked2, cooked2, synthetic("\x08\x00", ip), string(ip)},
		{"short cooked, version 2", LinuxCooked2, cooked2[:19], "", ""},
		{"raw", RawIP, ip, synthetic("\x08\x00", ip), string(ip)},
		{"raw of OpenBSD", rawOpenBSD, ip, synthetic("\x08\x00", ip), string(ip)},
		{"raw of BSD", rawBSD, ip, synthetic("\x08\x00", ip), string(ip)},
		{"raw IPv4", RawIPv4, ip, synthetic("\x08\x00", ip), string(ip)},
		{"raw IPv6", RawIP, ip6, synthetic("\x86\xdd", ip6), string(ip6)},
		{"raw, neither", RawIP, []byte{0x50}, "", ""},
		{"raw, empty", RawIP, nil, "", ""},
	} {
		for _, l3 := range []bool{false, true} {
			want := row.ether
			if l3 {
				want = row.l3
			}
			r := Record{Link: row.link, Data: row.data}
			got, ok := r.AppendFrame([]byte("head"), l3, mac)
			if string(got[4:]) != want && ok || ok != (want != "") {
				t.Errorf("%s, l3 %v: got %x, %v; want %x", row.name, l3, got[4:], ok, want)
			}
		}
	}
}
