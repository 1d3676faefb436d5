package config

import "net/netip"

// NAT is address translation. The lists are in the order of the file; within one the first rule
// that matches decides. One-to-one rules come before the other two.
type NAT struct {
	Source      []SourceNAT      `yaml:"source" doc:"translation of the source as packets leave"`
	Destination []DestinationNAT `yaml:"destination" doc:"translation of the destination as packets come in"`
	OneToOne    []OneToOneNAT    `yaml:"oneToOne" doc:"static translation both ways, of an address or of a whole prefix"`
}

// SourceNAT is masquerade, source NAT from a pool, or an exemption. An empty matcher matches
// everything.
type SourceNAT struct {
	Line      int            `yaml:"-"`
	Name      string         `yaml:"name" need:"yes" match:"name" doc:"name of the rule"`
	Out       []string       `yaml:"out" match:"name" many:"yes" doc:"ports or zones the packet leaves by; needed unless exempt"`
	From      []netip.Prefix `yaml:"from" many:"yes" doc:"source is in one of these"`
	NotFrom   []netip.Prefix `yaml:"notFrom" many:"yes" doc:"source is in none of these"`
	To        []netip.Prefix `yaml:"to" many:"yes" doc:"destination is in one of these"`
	NotTo     []netip.Prefix `yaml:"notTo" many:"yes" doc:"destination is in none of these"`
	Protocol  []Protocol     `yaml:"protocol" many:"yes" doc:"IP protocol by name or number"`
	Ports     []PortRange    `yaml:"ports" many:"yes" doc:"destination ports; needs protocol tcp or udp"`
	Exempt    bool           `yaml:"exempt" default:"false" doc:"leave the packet as it is"`
	Translate Translate      `yaml:"translate" doc:"new source: masquerade (the address of the port), an address, or addresses and ports"`
	Log       bool           `yaml:"log" default:"false" doc:"log each new mapping"`
}

// Translate is the outside of a source rule.
type Translate struct {
	Line int `yaml:"-" short:"addresses"`
	// Addresses holds one zero range for masquerade, and is empty for an exemption.
	Addresses []AddressRange `yaml:"addresses" many:"yes" need:"yes" doc:"masquerade, or addresses, ranges and prefixes"`
	Ports     PortRange      `yaml:"ports" default:"1024-65535" doc:"outside ports for inside ports from 1024 on"`
}

// Masquerade reports whether the new source is the address of the outgoing port.
func (t *Translate) Masquerade() bool {
	return len(t.Addresses) == 1 && t.Addresses[0] == AddressRange{}
}

// DestinationNAT is port forwarding.
type DestinationNAT struct {
	Line      int            `yaml:"-"`
	Name      string         `yaml:"name" need:"yes" match:"name" doc:"name of the rule"`
	In        []string       `yaml:"in" match:"name" many:"yes" doc:"ports or zones the packet comes in by"`
	To        netip.Addr     `yaml:"to" need:"yes" doc:"destination the packet is sent to"`
	Protocol  []Protocol     `yaml:"protocol" many:"yes" doc:"IP protocol by name or number"`
	Ports     []PortRange    `yaml:"ports" many:"yes" doc:"destination ports; needs protocol tcp or udp"`
	From      []netip.Prefix `yaml:"from" many:"yes" doc:"source is in one of these"`
	Translate Endpoint       `yaml:"translate" need:"yes" doc:"new destination: address, address:port, or address:first-last, as many ports as ports has"`
	Hairpin   bool           `yaml:"hairpin" default:"true" doc:"also for packets from inside, by whatever port (RFC 4787, REQ-9)"`
	Log       bool           `yaml:"log" default:"false" doc:"log each new session"`
}

// OneToOneNAT binds outside addresses to inside ones, host bits kept. The prefixes are of equal length.
type OneToOneNAT struct {
	Line    int          `yaml:"-"`
	Name    string       `yaml:"name" need:"yes" match:"name" doc:"name of the rule"`
	Outside netip.Prefix `yaml:"outside" need:"yes" doc:"address or prefix as the outside sees it"`
	Inside  netip.Prefix `yaml:"inside" need:"yes" doc:"address or prefix inside, of the same length"`
	Out     []string     `yaml:"out" match:"name" many:"yes" doc:"ports or zones of the outside; all when absent"`
}

// Host is the Linux kernel as a neighbor: a TUN device that gets the packets of local services.
type Host struct {
	Enabled bool   `yaml:"enabled" default:"false" doc:"make the device"`
	Device  string `yaml:"device" default:"vra0" match:"device" reload:"port" doc:"TUN device of the host"`
	// MTU is in bytes of IP packet.
	MTU      int       `yaml:"mtu" default:"1500" range:"68..65535" unit:"bytes" reload:"port" doc:"MTU of the device"`
	Services []Service `yaml:"services" doc:"packets to own addresses that the host gets; the gateway answers ping itself"`
}

// Service is a class of packets that the host gets. An empty matcher matches everything.
type Service struct {
	Line      int            `yaml:"-"`
	Name      string         `yaml:"name" need:"yes" match:"name" doc:"name of the service"`
	Protocol  []Protocol     `yaml:"protocol" many:"yes" need:"yes" doc:"IP protocol by name or number, or any"`
	Ports     []PortRange    `yaml:"ports" many:"yes" doc:"destination ports; needs protocol tcp or udp"`
	Addresses []netip.Addr   `yaml:"addresses" many:"yes" doc:"own addresses it is reached at; all when absent"`
	From      []netip.Prefix `yaml:"from" many:"yes" doc:"sources allowed; all when absent"`
}
