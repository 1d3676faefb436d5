// Package nat decides how the first packet of a flow is translated: which rule
// applies, and which outside address and port an inside endpoint shows. It
// belongs to the slow path; later packets of the flow are rewritten by its
// session, which knows nothing of this package but a [Handle].
//
// [Compile] turns one generation's rules into immutable [Rules]; they answer who
// a packet is really for ([Rules.Destination]) and whether its source is to be
// translated ([Rules.Source]). [State] lives across generations and holds the
// mappings of RFC 4787: inside endpoint to outside endpoint. Both are safe for
// concurrent use; all workers share one State, so that an inside endpoint has one
// mapping whichever worker met it first and a port can be kept although another
// worker owns its neighbors.
//
// # Order
//
// Towards the inside one-to-one rules come first, then destination rules as
// written. Towards the outside one-to-one rules come first, then source rules as
// written, exemptions among them. The first match decides. Source rules see the
// destination after its own translation, so both can apply to one flow (twice
// NAT).
//
// # Behavior, in the words of RFC 4787
//
// Mapping is endpoint-independent (REQ-1). Pooling is paired and strict (REQ-2):
// a host keeps its outside address as long as it has a mapping on it, also when
// that address has no ports left. Ports are not overloaded (REQ-3), kept where
// free, else random within the same range class (REQ-3a) and, if one is free, of
// the same parity (REQ-4). A rule may overload ports, or give each host a block of
// them, if it says so. Filtering is address-and-port-dependent (REQ-8) unless
// the rule says otherwise. Hairpinning shows the outside source (REQ-9a). A live
// mapping is never evicted (RFC 6888, REQ-11).
//
// A freed port rests for two minutes (RFC 6888, REQ-8) where the filter is not
// address-and-port-dependent; where it is, strangers cannot reach a new owner
// through an old hole, the RFC makes its exception, and 64,512 ports for one
// address leave no room for resting ones.
//
// ICMP queries are mapped by identifier (RFC 5508, REQ-1). Other protocols than
// TCP, UDP and ICMP have their address translated only: of one outside address, one
// inside host at a time speaks a protocol with a remote host.
//
// The package opens, reads or writes no packet, keeps no timers of its own
// beyond the rest time, and contains no application-level gateway.
package nat
