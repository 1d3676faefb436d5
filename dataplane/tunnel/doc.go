// Package tunnel is IP-in-IP as Calico speaks it: the outer header on and off, the
// checks around both, which worker has a destination, and what is known of the
// path to it.
//
// On the path, decap comes before the session and encap after it:
//
//	Accepts (outer pair) - Decap (strip, check) - AcceptsInner (who and where to)
//	Peer, Encapsulates (decision of a session) - Loops - Encap
//
// A Tunnel never changes and is shared by all workers. SoftState is shared, too,
// and atomic. The functions on packets are called by the packet's worker. Nothing
// here reassembles: fragments of outer packets are put together before Decap.
//
// RFC 2003 (IP in IP), RFC 6040 (ECN), RFC 1191 (path MTU).
package tunnel
