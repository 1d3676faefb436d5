package lab

import "net/netip"

// The addresses of the drawing in the package comment.
var (
	ClientAddr   = netip.MustParseAddr("203.0.113.1")
	InternetAddr = netip.MustParseAddr("198.51.100.10") // the client's, one hop further
	OutsideAddr  = netip.MustParseAddr("203.0.113.2")
	InsideAddr   = netip.MustParseAddr("10.0.0.1")
	RouterAddr   = netip.MustParseAddr("10.0.0.254")
	Worker1Addr  = netip.MustParseAddr("10.0.0.11")
	Worker2Addr  = netip.MustParseAddr("10.0.1.12")
	Pod1Addr     = netip.MustParseAddr("172.30.1.10")
	Pod2Addr     = netip.MustParseAddr("172.30.2.10")

	// Each pod has a second address, which NAT joins one to one to an outside one.
	Pod1Static     = netip.MustParseAddr("172.30.1.20")
	Pod2Static     = netip.MustParseAddr("172.30.2.20")
	Outside1Static = netip.MustParseAddr("203.0.113.11")
	Outside2Static = netip.MustParseAddr("203.0.113.12")

	// What the trunk's far end and the gateway have in VLAN TrunkVLAN.
	TaggedAddr = netip.MustParseAddr("192.0.2.10")
	TrunkAddr  = netip.MustParseAddr("192.0.2.1")
)

// Ports of OutsideAddr that DNAT leads to port ServicePort of the pods.
const (
	Pod1Port    = 8080
	Pod2Port    = 8081
	ServicePort = 80
	// TrunkVLAN is the tag of the trunk's one sub-port.
	TrunkVLAN = 7
)

// Uplink says how pod2's packets to the internet leave worker2.
type Uplink int

const (
	// Tunnel sends them to the gateway by IP-in-IP.
	Tunnel Uplink = iota
	// Plain sends them to the router as they are; only what comes back is encapsulated.
	Plain
)

// Options choose a lab. The zero value is the drawing of the package comment.
type Options struct {
	// Uplink is pod2's way out.
	Uplink Uplink
	// Trunk adds a host named "tagged" behind a third gateway port, "trunk",
	// on which all frames carry VLAN TrunkVLAN.
	Trunk bool
}
