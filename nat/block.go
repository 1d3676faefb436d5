package nat

// Deterministic blocks (RFC 7422): the n-th inside host of a rule has the n-th
// block of its outside ports, so that who was behind a port is known without a log.

// place returns the outside address and ports of an inside host of a rule with
// blocks. Hosts count in the order of their addresses, and so do blocks.
func (r *Rule) place(inside uint32) (uint32, PortRange) {
	n, _ := r.hosts.index(inside)
	each := r.blocksPerAddress()
	first := r.ports.First + uint16(n%each)*r.block
	outside, _ := r.pool.at(n / each)
	return outside, PortRange{first, first + r.block - 1}
}

func (r *Rule) blocksPerAddress() uint32 {
	return (uint32(r.ports.Last-r.ports.First) + 1) / uint32(r.block)
}

// Subscriber returns the inside host that a rule with blocks shows as the outside
// tuple, whenever that was under this rule; false if there is none.
func (r *Rule) Subscriber(outside uint32, port uint16) (inside uint32, ok bool) {
	n, ok := r.pool.index(outside)
	if !ok || r.block == 0 || !r.ports.has(port) {
		return 0, false
	}
	each := r.blocksPerAddress()
	in := uint32(port-r.ports.First) / uint32(r.block)
	if in >= each {
		return 0, false
	}
	return r.hosts.at(n*each + in)
}

// index returns how many addresses of s come before a, and whether a is one.
func (s spans) index(a uint32) (uint32, bool) {
	var n uint32
	for _, r := range s {
		if a < r.first {
			break
		}
		if a <= r.last {
			return n + a - r.first, true
		}
		n += r.last - r.first + 1
	}
	return n, false
}

// at returns the n-th address of s, from 0, and whether there is one.
func (s spans) at(n uint32) (uint32, bool) {
	for _, r := range s {
		if size := uint64(r.last-r.first) + 1; uint64(n) < size {
			return r.first + n, true
		}
		n -= r.last - r.first + 1
	}
	return 0, false
}

// size returns how many addresses s has.
func (s spans) size() uint64 {
	var n uint64
	for _, r := range s {
		n += uint64(r.last-r.first) + 1
	}
	return n
}
