// Package neigh resolves IPv4 neighbors by ARP: the table of who has which MAC,
// what to do with a received ARP packet, the requests to send, and the packets
// that wait for an answer.
//
// Two sides. Workers call Lookup with the Ref that a session keeps: one atomic
// load, no lock. Everything else is the slow side: it takes the table's mutex and
// is called for packets without a neighbor, for ARP, and by a timer (Tick, once a
// second or more often). A Hold belongs to one worker. Time is an argument, in
// nanoseconds of one monotonic clock.
//
//	            Resolve            answer            Reachable
//	(nothing) ----------> Incomplete ------> Reachable ------> Stale
//	                        |    ^               ^               | used
//	        3 requests, 1 s |    | 3 requests    | answer        v
//	                        v    +-------------- + ----------- Probe
//	                      Failed, for 3 s
//
// Stale and Probe still carry packets. A Static entry changes only by SetStatic.
// Memory is fixed at New; a table that is full forgets who never answered first,
// then who has not been used, and never a neighbor in use.
//
// RFC 826, RFC 1122 section 2.3.2, RFC 5227 (conflicts), RFC 4861 section 7.3 (the
// states).
package neigh
