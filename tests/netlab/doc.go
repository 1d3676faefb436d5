// Package netlab is a small internet in one process: hosts, links and real gateways
// (appliance.Offline), joined by memory ports and stepped by an explicit clock. Nothing
// in it waits, and the same lab runs the same way each time.
//
// A Lab moves all frames itself, so it knows what each link carried. When a test fails
// it prints the last of it as a sequence diagram. At its end every Lab checks that no
// packet went missing: neither in a gateway nor on a link.
package netlab
