package config

import "net/netip"

// Driver moves the frames of a port.
type Driver string

// Drivers.
const (
	AFPacket Driver = "af_packet"
	TAP      Driver = "tap"
	TUN      Driver = "tun"
	Memory   Driver = "memory"
	PCAP     Driver = "pcap"
)

// RPF is the reverse path check of a port (RFC 3704).
type RPF string

// Reverse path checks.
const (
	RPFStrict RPF = "strict"
	RPFLoose  RPF = "loose"
	RPFOff    RPF = "off"
)

// Values of an MSSClamp that are not a segment size.
const (
	MSSOff  = 0
	MSSAuto = -1
)

// MainTable is the routing table of everything that names no other.
const MainTable = "main"

// Port is one network port.
type Port struct {
	Line   int    `yaml:"-"`
	Name   string `yaml:"name" need:"yes" match:"name" doc:"name of the port in this file, in shows and in metrics"`
	Driver Driver `yaml:"driver" default:"af_packet" enum:"af_packet|tap|tun|memory|pcap" reload:"port" doc:"how frames are moved: af_packet takes a Linux device over, tap and tun make one, memory and pcap are for tests and replay"`
	Device string `yaml:"device" computed:"the port's name" match:"device" reload:"port" doc:"Linux network device; addresses that the kernel keeps on it stay the kernel's"`

	Addresses []netip.Prefix `yaml:"addresses" host:"set" many:"yes" doc:"the gateway's own addresses with their subnet's prefix length"`
	VIPs      []netip.Addr   `yaml:"vips" many:"yes" doc:"more addresses the gateway answers ARP and ping for"`
	// MAC is zero for the device's own.
	MAC MAC `yaml:"mac" computed:"the device's own" reload:"port" doc:"Ethernet address the gateway uses"`
	// MTU in bytes of IP packet; 0 means the device's.
	MTU         int               `yaml:"mtu" default:"auto" words:"auto=0" range:"68..65535" unit:"bytes" doc:"largest IP packet; auto is the device's"`
	Zone        string            `yaml:"zone" computed:"the port's name" match:"name" doc:"zone the port belongs to"`
	Labels      map[string]string `yaml:"labels" doc:"labels, shown with the port"`
	RPF         RPF               `yaml:"rpf" default:"loose" enum:"strict|loose|off" doc:"source address check (RFC 3704): strict wants the route back by this port, loose wants any route"`
	MSSClamp    int               `yaml:"mssClamp" default:"off" words:"off=0,auto=-1" range:"88..65495" unit:"bytes" doc:"largest TCP segment offered through the port; auto is the route's MTU less 40"`
	Promiscuous string            `yaml:"promiscuous" default:"auto" enum:"auto|true|false" reload:"port" doc:"receive frames for other Ethernet addresses; auto where mac differs from the device's"`
	Announce    int               `yaml:"announce" default:"3" range:"0..10" unit:"ARP announcements" doc:"announcements of each address on start and on change (RFC 5227)"`
	VLANs       []VLAN            `yaml:"vlans" doc:"sub-ports by 802.1Q or 802.1ad tag"`
}

// VLAN is a sub-port: a port of its own, whose frames carry tags. A single tag is ID; two tags are
// Outer and Inner and ID is 0.
type VLAN struct {
	Line      int               `yaml:"-"`
	Name      string            `yaml:"name" need:"yes" match:"name" doc:"name of the sub-port, unique among all ports"`
	ID        int               `yaml:"id" range:"1..4094" doc:"VLAN identifier of a single tag"`
	Outer     int               `yaml:"outer" range:"1..4094" doc:"identifier of the outer of two tags"`
	Inner     int               `yaml:"inner" range:"1..4094" doc:"identifier of the inner of two tags"`
	Protocol  string            `yaml:"protocol" computed:"802.1Q, or 802.1ad with outer" enum:"802.1Q|802.1ad" doc:"kind of the single or outer tag"`
	Addresses []netip.Prefix    `yaml:"addresses" host:"set" many:"yes" doc:"the gateway's own addresses with their subnet's prefix length"`
	VIPs      []netip.Addr      `yaml:"vips" many:"yes" doc:"more addresses the gateway answers ARP and ping for"`
	MTU       int               `yaml:"mtu" default:"auto" words:"auto=0" range:"68..65535" unit:"bytes" doc:"largest IP packet, at most the port's; auto is the port's"`
	Zone      string            `yaml:"zone" computed:"the sub-port's name" match:"name" doc:"zone the sub-port belongs to"`
	Labels    map[string]string `yaml:"labels" doc:"labels, shown with the port"`
	RPF       RPF               `yaml:"rpf" default:"loose" enum:"strict|loose|off" doc:"source address check (RFC 3704)"`
	MSSClamp  int               `yaml:"mssClamp" default:"off" words:"off=0,auto=-1" range:"88..65495" unit:"bytes" doc:"largest TCP segment offered through the sub-port"`
}

// Zone gives the packets that come in by a zone a routing table of their own.
type Zone struct {
	Line  int    `yaml:"-"`
	Name  string `yaml:"name" need:"yes" match:"name" doc:"zone of a port, sub-port or tunnel"`
	Table string `yaml:"table" default:"main" match:"name" doc:"routing table asked first; main follows"`
}

// Neighbor is a static ARP entry.
type Neighbor struct {
	Line    int        `yaml:"-"`
	Port    string     `yaml:"port" need:"yes" match:"name" doc:"port or sub-port the neighbor is on"`
	Address netip.Addr `yaml:"address" need:"yes" doc:"the neighbor's address, in a subnet of the port"`
	MAC     MAC        `yaml:"mac" need:"yes" doc:"the neighbor's Ethernet address"`
}
