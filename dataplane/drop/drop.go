// Package drop names every reason for which the path gives a packet up. A packet
// that is not sent, delivered or held has exactly one of them, and each has a
// counter per worker, a metric label and a line in the README's table.
package drop

// Reason is why a packet was dropped. The zero value is no reason: not dropped.
type Reason uint8

// The reasons, in the order in which a packet meets them. README lists them.
const (
	None Reason = iota

	// Link and Ethernet.
	FrameTruncated
	ForeignMAC
	EtherTypeUnknown
	VLANUnknown
	IPv6NotSupported
	UnicastInBroadcast

	// ARP.
	ARPMalformed
	ARPNotForUs
	ARPConflict

	// IPv4 gate, RFC 1812 section 5.2.2 and 5.3.7.
	IPTruncated
	IPVersion
	IPHeaderLength
	IPTotalLength
	IPChecksum
	IPOptions
	MartianSource
	MartianDestination
	Land
	Multicast
	DirectedBroadcast
	ReversePath
	TransportTruncated
	ICMPMalformed
	ICMPChecksum
	TCPFlags

	// Fragments.
	FragmentMalformed
	FragmentOverlap
	FragmentLimit
	FragmentTimeout
	FragmentNeeded

	// IP in IP.
	TunnelUnknownPeer
	TunnelInnerMalformed
	TunnelInnerSource
	TunnelInnerDestination
	TunnelECN
	TunnelNested
	TunnelLoop
	TunnelNotConfigured

	// Workers.
	HandoverFull
	WorkerPanic

	// Decision.
	NoRoute
	Blackhole
	PortDown
	LocalNotServed
	ZoneUnlisted
	PolicyDenied
	ICMPErrorUnmatched
	NoSession
	SessionTableFull
	SessionChanged
	SessionClash
	TCPInvalid
	RateLimited

	// NAT.
	NATPortsExhausted
	NATTableFull
	NATNoAddress
	NATFiltered
	NATLimit

	// Leaving.
	TTLExceeded
	NeighborUnresolved
	NeighborQueueFull
	NeighborTableFull
	MTUExceeded
	TxRefused
	HostPortAbsent

	Count // how many there are; not a reason
)

// A Description is what people read of a reason.
type Description struct {
	// Label is the metric label and what "vra show drops" prints.
	Label string
	// Text is one line for a person.
	Text string
	// RFC names the source that asks for the drop; empty where it is ours.
	RFC string
}

var descriptions = [Count]Description{
	None:               {"none", "not dropped", ""},
	FrameTruncated:     {"frame_truncated", "frame shorter than its link header", ""},
	ForeignMAC:         {"foreign_mac", "unicast frame for another MAC address", "RFC 1812 5.3.4"},
	EtherTypeUnknown:   {"ethertype_unknown", "neither IPv4 nor ARP", ""},
	VLANUnknown:        {"vlan_unknown", "tags for which the port has no sub-port", ""},
	IPv6NotSupported:   {"ipv6_not_supported", "IPv6, which is not forwarded yet", ""},
	UnicastInBroadcast: {"unicast_in_broadcast", "unicast IP packet in a broadcast or multicast frame", "RFC 1122 3.3.6"},

	ARPMalformed: {"arp_malformed", "ARP with wrong lengths, types or opcode", "RFC 826"},
	ARPNotForUs:  {"arp_not_for_us", "ARP for an address that is not ours", "RFC 826"},
	ARPConflict:  {"arp_conflict", "another host claims an address of ours", "RFC 5227 2.4"},

	IPTruncated:        {"ip_truncated", "frame shorter than an IPv4 header", "RFC 1812 5.2.2"},
	IPVersion:          {"ip_version", "version is not 4", "RFC 1812 5.2.2"},
	IPHeaderLength:     {"ip_header_length", "header length under 20 or past the packet", "RFC 1812 5.2.2"},
	IPTotalLength:      {"ip_total_length", "total length under the header's or past the frame", "RFC 1812 5.2.2"},
	IPChecksum:         {"ip_checksum", "header checksum wrong", "RFC 1812 5.2.2"},
	IPOptions:          {"ip_options", "source route or other refused option", "RFC 7126 4"},
	MartianSource:      {"martian_source", "source cannot be a single remote host", "RFC 1812 5.3.7"},
	MartianDestination: {"martian_destination", "destination is loopback, reserved or 0/8", "RFC 1812 5.3.7"},
	Land:               {"land", "source and destination are the same", "RFC 1812 5.3.7"},
	Multicast:          {"multicast", "multicast or limited broadcast, which is not forwarded", "RFC 1812 5.3.7"},
	DirectedBroadcast:  {"directed_broadcast", "broadcast of a connected subnet", "RFC 2644"},
	ReversePath:        {"reverse_path", "source not reachable by the port it came from", "RFC 3704"},
	TransportTruncated: {"transport_truncated", "packet ends inside its transport header", ""},
	ICMPMalformed:      {"icmp_malformed", "ICMP error whose quote cannot be read", "RFC 5508 REQ-3"},
	ICMPChecksum:       {"icmp_checksum", "ICMP error with a wrong checksum", "RFC 5508 REQ-3"},
	TCPFlags:           {"tcp_flags", "flags no TCP sends: null, SYN with FIN or RST, data offset under 5", "RFC 9293"},

	FragmentMalformed: {"fragment_malformed", "offset or length no datagram can have, or a header cut by the first fragment", "RFC 1858"},
	FragmentOverlap:   {"fragment_overlap", "fragments overlap: the datagram is given up", "RFC 5722"},
	FragmentLimit:     {"fragment_limit", "too many fragments or datagrams in parts at once", "RFC 4787 REQ-14"},
	FragmentTimeout:   {"fragment_timeout", "first fragment did not come in time", "RFC 4787 REQ-14"},
	FragmentNeeded:    {"fragment_needed", "does not fit the way out and may not be fragmented", "RFC 1191"},

	TunnelUnknownPeer:      {"tunnel_unknown_peer", "IP in IP from an address that is no configured peer", "VU#636397"},
	TunnelInnerMalformed:   {"tunnel_inner_malformed", "inner packet is not whole IPv4", "RFC 2003"},
	TunnelInnerSource:      {"tunnel_inner_source", "inner source outside what the tunnel may carry", "CVE-2020-10136"},
	TunnelInnerDestination: {"tunnel_inner_destination", "inner destination is the gateway, loopback or multicast", "CVE-2020-10136"},
	TunnelECN:              {"tunnel_ecn", "outer congestion mark on an inner packet that cannot carry it", "RFC 6040 4.2"},
	TunnelNested:           {"tunnel_nested", "IP in IP inside IP in IP", "RFC 2003 3.2"},
	TunnelLoop:             {"tunnel_loop", "encapsulating would loop", "RFC 2003 3.2"},
	TunnelNotConfigured:    {"tunnel_not_configured", "tunneled packet for which there is no tunnel", ""},

	HandoverFull: {"handover_full", "the owning worker's ring was full", ""},
	WorkerPanic:  {"worker_panic", "a fault of ours was met in this packet's batch", ""},

	NoRoute:            {"no_route", "no route to the destination", "RFC 1812 5.2.7.1"},
	Blackhole:          {"blackhole", "the route is a blackhole", ""},
	PortDown:           {"port_down", "the port of the way out is down", ""},
	LocalNotServed:     {"local_not_served", "for the gateway, which serves no such thing", ""},
	ZoneUnlisted:       {"zone_unlisted", "policy lists no pair of these zones", ""},
	PolicyDenied:       {"policy_denied", "a rule, or the default of its rule set, refuses the flow", ""},
	ICMPErrorUnmatched: {"icmp_error_unmatched", "ICMP error about no session of ours", "RFC 5508 REQ-4"},
	NoSession:          {"no_session", "TCP segment of no session that cannot start one", ""},
	SessionTableFull:   {"session_table_full", "no room for another session", "RFC 6888 REQ-11"},
	SessionChanged:     {"session_changed", "a reload took the session's decision away", ""},
	SessionClash:       {"session_clash", "answers could not be told from those of another session", ""},
	TCPInvalid:         {"tcp_invalid", "segment outside the session's window", "RFC 5961"},
	RateLimited:        {"rate_limited", "over a configured rate", ""},

	NATPortsExhausted: {"nat_ports_exhausted", "no outside port is free", "RFC 6888 REQ-11"},
	NATTableFull:      {"nat_table_full", "no room for another mapping", "RFC 6888 REQ-11"},
	NATNoAddress:      {"nat_no_address", "the pool or port has no address", "RFC 6888 REQ-3"},
	NATFiltered:       {"nat_filtered", "the mapping's filter refuses this remote", "RFC 4787 REQ-8"},
	NATLimit:          {"nat_limit", "over the subscriber's limit", "RFC 6888 REQ-4"},

	TTLExceeded:        {"ttl_exceeded", "time to live ran out here", "RFC 1812 5.3.1"},
	NeighborUnresolved: {"neighbor_unresolved", "the next hop does not answer ARP", "RFC 1122 2.3.2"},
	NeighborQueueFull:  {"neighbor_queue_full", "too many packets wait for the next hop", "RFC 1122 2.3.2.2"},
	NeighborTableFull:  {"neighbor_table_full", "no room for another neighbor", ""},
	MTUExceeded:        {"mtu_exceeded", "longer than the way out and cannot be cut", ""},
	TxRefused:          {"tx_refused", "the device took no more", ""},
	HostPortAbsent:     {"host_port_absent", "for the host, but there is no host port", ""},
}

// Describe returns what people read of r.
func (r Reason) Describe() Description { return descriptions[r] }

// String returns r's label.
func (r Reason) String() string {
	if r >= Count {
		return "invalid"
	}
	return descriptions[r].Label
}
