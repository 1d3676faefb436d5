package nat

import (
	"fmt"
	"net/netip"
)

// A Section is what Compile reads: the rules of one configuration generation.
// The slices stay the caller's and are not kept.
type Section struct {
	OneToOne     []OneToOne
	Destinations []Destination
	Sources      []Source
	// Reserved are the tuples that the gateway itself listens or speaks on. The
	// outside tuples of one-to-one and destination rules are added by Compile.
	Reserved []Reserved
}

// A LinkSet is a set of the gateway's logical ports, a bit per index. Nil means
// all of them, also those to come; an empty set that is not nil means none.
type LinkSet []uint64

// Links returns the set of the given port indexes.
func Links(ports ...uint16) LinkSet {
	s := LinkSet{}
	for _, p := range ports {
		for len(s) <= int(p>>6) {
			s = append(s, 0)
		}
		s[p>>6] |= 1 << (p & 63)
	}
	return s
}

// Has says whether the port is in the set.
func (s LinkSet) Has(port uint16) bool {
	if s == nil {
		return true
	}
	return int(port>>6) < len(s) && s[port>>6]>>(port&63)&1 == 1
}

// A PortRange is a range of TCP or UDP ports, both ends included. The zero
// PortRange stands for "not given".
type PortRange struct{ First, Last uint16 }

func (r PortRange) isZero() bool { return r == PortRange{} }

func (r PortRange) has(p uint16) bool { return r.First <= p && p <= r.Last }

func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// An AddrRange is a range of IPv4 addresses, both ends included.
type AddrRange struct{ First, Last netip.Addr }

// Kind is what a source rule does.
type Kind uint8

// The kinds. The zero Kind is refused by Compile.
const (
	_ Kind = iota
	// Masquerade shows the address of the port by which the flow leaves.
	Masquerade
	// Pool shows an address of the rule's own.
	Pool
	// Exempt leaves the flow as it is and ends the search (RFC 6888, REQ-6).
	Exempt
	// oneToOne is the kind of one-to-one rules; Source must not have it.
	oneToOne
	// destination is the kind of destination rules.
	destination
)

func (k Kind) String() string {
	switch k {
	case Masquerade:
		return "masquerade"
	case Pool:
		return "pool"
	case Exempt:
		return "exempt"
	case oneToOne:
		return "one-to-one"
	case destination:
		return "destination"
	}
	return "invalid"
}

// Filtering says which remotes may send to a mapping, RFC 4787 section 5.
type Filtering uint8

// The filters. The zero value is the strictest.
const (
	// AddressAndPortDependent admits only packets of sessions.
	AddressAndPortDependent Filtering = iota
	// AddressDependent admits hosts to which the inside endpoint has a session.
	AddressDependent
	// EndpointIndependent admits everybody.
	EndpointIndependent
)

func (f Filtering) String() string {
	switch f {
	case AddressDependent:
		return "address-dependent"
	case EndpointIndependent:
		return "endpoint-independent"
	}
	return "address-and-port-dependent"
}

// A Source says which flows show which outside source. Empty lists match
// everything; a flow must match every field.
type Source struct {
	// Name is unique among all rules; counters go by it across reloads.
	Name string
	// Line is where the rule stands in the file, for messages.
	Line int
	// Out are the logical ports by which the flow leaves.
	Out LinkSet
	// From and NotFrom match the source, To and NotTo the destination after
	// its own translation.
	From, NotFrom, To, NotTo []netip.Prefix
	// Protos are IP protocol numbers.
	Protos []uint8
	// DstPorts match TCP and UDP only; Protos must then name one or both.
	DstPorts []PortRange

	Kind Kind
	// Addresses of a Pool, at most MaxPoolAddresses of them in all. An empty
	// list is taken and then drops flows with drop.NATNoAddress.
	Addresses []AddrRange
	// Ports are the outside ports of TCP and UDP. 1024 to 65535, the same as
	// zero, leaves inside ports under 1024 theirs: RFC 4787, REQ-3a. Any other
	// range is kept for all.
	Ports PortRange
	// Filtering is who may send to the mappings.
	Filtering Filtering
	// Overload lets several inside endpoints show one outside TCP or UDP port, each
	// to another remote host. Mapping is address-dependent then, whatever the
	// load: RFC 4787, REQ-1 and REQ-3, are given up for more sessions.
	Overload bool
	// AnyParity gives up keeping even ports even and odd ones odd (RFC 7857,
	// section 8).
	AnyParity bool
	// MaxPorts is how many mappings of one protocol an inside host may have on
	// one outside address, 0 to 65535. Zero means no limit.
	MaxPorts int
	// Block gives every host of From that many outside ports of its own, in a
	// fixed order (RFC 7422): see Rule.Subscriber. Ports are as given then.
	// Pool only, without MaxPorts; zero means no blocks.
	Block int
	// Log asks for an Event when a mapping begins and ends.
	Log bool
}

// MaxPoolAddresses is how many outside addresses one source rule may have.
const MaxPoolAddresses = 4096

// A Destination says for whom packets to an outside address really are.
type Destination struct {
	Name string
	Line int
	// In are the logical ports by which the packets arrive. With Hairpin, the
	// rule holds for all others too.
	In LinkSet
	// From and NotFrom match the source, To the destination as it arrived.
	From, NotFrom, To []netip.Prefix
	Protos            []uint8
	// Ports match TCP and UDP only; Protos must then name one or both.
	Ports []PortRange
	// New is the new destination: a single address (/32), or a prefix as long
	// as the only one in To, whose host bits are then kept.
	New netip.Prefix
	// NewPorts is the new port: one port, or a range as long as the only one in
	// Ports, which it replaces port by port. Zero keeps the port.
	NewPorts PortRange
	// Hairpin lets the inside use the outside address as well.
	Hairpin bool
	// Log is for the caller: see Rule.Log.
	Log bool
}

// A OneToOne rule joins an outside prefix to an inside prefix of the same length,
// both ways and host bits kept. It needs no state, and the outside addresses serve
// nothing else.
type OneToOne struct {
	Name            string
	Line            int
	Outside, Inside netip.Prefix
	// Links are the logical ports on the outside.
	Links LinkSet
	// NotRemote are outside hosts for which the rule does not hold.
	NotRemote []netip.Prefix
	// Hairpin lets the inside use the outside addresses as well.
	Hairpin bool
}

// Reserved is a tuple, or a range of them, that no mapping may take.
type Reserved struct {
	// Addr is an outside address; the zero Addr means every one.
	Addr netip.Addr
	// Proto is TCP, UDP or ICMP; Ports are its ports or identifiers, none being
	// all of them.
	Proto uint8
	Ports PortRange
}

// A Flow is the first packet of a flow, as the slow path sees it. Addresses are
// in host byte order. Of ICMP queries both ports are the identifier; of protocols
// other than TCP and UDP both are 0.
type Flow struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
	Proto            uint8
	// In is the index of the logical port by which it arrived.
	In uint16
}
