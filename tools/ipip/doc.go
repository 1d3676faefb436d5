// Package ipip is the workers' end of IP-in-IP (RFC 2003) in the lab: what Linux's
// tunl0 device does on a Kubernetes worker under Calico, in user space, for
// kernels that have no such device.
//
// It shares no code with the gateway, on purpose: where the two talk to each
// other, each is the other's second opinion.
//
// The outer header follows Calico's tunl0: TTL and DF are copied from the inner
// header, DSCP is 0, ECN is RFC 6040 section 4.1. Of what arrives, only packets
// from a configured remote are taken; ECN on the way out is RFC 6040 section 4.2.
package ipip
