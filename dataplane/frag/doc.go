// Package frag is what a gateway does about IPv4 fragments: it learns the ports of
// a datagram from its first fragment and lends them to the others (Tracker.Track,
// virtual reassembly), puts datagrams for itself together (Tracker.Assemble), and
// cuts packets that do not fit the way out (Fragment).
//
// A Tracker belongs to one worker; all fragments of a datagram are steered to the
// same one. Time is an argument, in nanoseconds of a monotonic clock. Memory is
// bounded in datagrams, fragments of each, and bytes kept, so that a flood of
// fragments harms fragments only (CVE-2018-5391); whole packets never come here.
//
// A datagram whose fragments overlap is given up with all that is still to come of
// it: what came before has passed, but no receiver can complete it with bytes that
// the policy did not see (RFC 5722). Exact repetitions are dropped alone.
//
// RFC 791, RFC 815, RFC 1858, RFC 3128, RFC 4787 section 11, RFC 5722.
package frag
