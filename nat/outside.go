package nat

import "sync"

// outsideIndex finds mappings by their outside endpoint. Only those are in it
// that someone may ask for: mappings that strangers may use, and those of
// protocols without ports, of which there may be one per outside key.
type outsideIndex struct {
	parts [shards]outsidePart
}

type outsidePart struct {
	mu sync.Mutex
	// slots hold 32 bits of hash above a Handle; 0 is empty. Linear probing, at
	// most three quarters full.
	slots []uint64
	held  int
}

func (x *outsideIndex) part(hash uint64) *outsidePart { return &x.parts[hash>>(64-shardBits)] }

// add lists a mapping. With alone, it refuses a key that is there already; two
// keys in 2^32 are the same to it.
func (x *outsideIndex) add(hash uint64, h Handle, alone bool) bool {
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	if 4*(p.held+1) > 3*len(p.slots) {
		old := p.slots
		p.slots = make([]uint64, max(16, 2*len(old)))
		for _, v := range old {
			if v != 0 {
				p.place(v)
			}
		}
	}
	if alone {
		last := uint32(len(p.slots) - 1)
		for at := uint32(hash) & last; p.slots[at] != 0; at = (at + 1) & last {
			if uint32(p.slots[at]>>32) == uint32(hash) {
				return false
			}
		}
	}
	p.place(hash<<32 | uint64(h))
	p.held++
	return true
}

func (p *outsidePart) place(v uint64) {
	last := uint32(len(p.slots) - 1)
	at := uint32(v>>32) & last
	for p.slots[at] != 0 {
		at = (at + 1) & last
	}
	p.slots[at] = v
}

func (x *outsideIndex) remove(hash uint64, h Handle) {
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	last := uint32(len(p.slots) - 1)
	at := uint32(hash) & last
	for p.slots[at] != hash<<32|uint64(h) {
		at = (at + 1) & last
	}
	for next := (at + 1) & last; p.slots[next] != 0; next = (next + 1) & last {
		if home := uint32(p.slots[next]>>32) & last; (next-home)&last >= (next-at)&last {
			p.slots[at] = p.slots[next]
			at = next
		}
	}
	p.slots[at] = 0
	p.held--
}

// candidates fills found with the mappings listed under the hash and returns how
// many there are; whoever asks compares the outside endpoint itself.
func (x *outsideIndex) candidates(hash uint64, found *[4]Handle) int {
	p := x.part(hash)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == 0 {
		return 0
	}
	n := 0
	last := uint32(len(p.slots) - 1)
	for at := uint32(hash) & last; p.slots[at] != 0 && n < len(found); at = (at + 1) & last {
		if uint32(p.slots[at]>>32) == uint32(hash) {
			found[n] = Handle(p.slots[at])
			n++
		}
	}
	return n
}
