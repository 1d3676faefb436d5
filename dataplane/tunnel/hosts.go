// Hot path: called for every tunneled packet.

package tunnel

import "math/bits"

// hosts is a map from addresses to peers for lookups on the path: a table with open
// addressing, at most a quarter full, a quarter of the cost of prefix lookups
// (BenchmarkAccepts). Its keys come from the configuration alone.
type hosts struct {
	slots []host
	shift uint8
}

type host struct {
	addr uint32
	used bool
	peer *Peer
}

// newHosts returns a table with room for n addresses.
func newHosts(n int) hosts {
	log := bits.Len(uint(max(4*n, 4) - 1))
	return hosts{slots: make([]host, 1<<log), shift: uint8(32 - log)}
}

// slot returns the slot of the address, or the free one where it would be.
func (h *hosts) slot(addr uint32) *host {
	for i := addr * 0x9e3779b1 >> h.shift; ; i++ {
		s := &h.slots[int(i)&(len(h.slots)-1)]
		if s.addr == addr || !s.used {
			return s
		}
	}
}

// add adds an address; there is room.
func (h *hosts) add(addr uint32, p *Peer) { *h.slot(addr) = host{addr: addr, used: true, peer: p} }

// get returns the peer of the address, and whether the address is there.
func (h *hosts) get(addr uint32) (*Peer, bool) {
	s := h.slot(addr)
	return s.peer, s.used
}

// network is a prefix as a mask.
type network struct{ addr, mask uint32 }

func (n network) contains(a uint32) bool { return a&n.mask == n.addr }
