package netlab

import (
	"bytes"

	"openvra/dataplane/drop"
	"openvra/dataplane/link/memory"
)

func reasonName(r int) string { return drop.Reason(r).String() }

// A Link is an Ethernet segment with a switch that knows who is where.
type Link struct {
	lab  *Lab
	name string
	// MTU in bytes of layer 3. Set before anything is attached.
	MTU int
	// Lose, if not nil, says of each frame whether it gets lost. n counts them from 0.
	Lose func(n int, frame []byte) bool

	ends []*end
	// sent frames became copies, one for each receiver; those that nobody was there
	// for are lost, too.
	sent, copies, received, lost int
}

// end is where somebody is attached.
type end struct {
	name string
	mac  [6]byte
	plug plug
	// Frames that came out of it and went in.
	out, in int
}

// plug is what is attached.
type plug interface {
	// drain returns the frames that it has sent.
	drain() [][]byte
	// put hands it a frame, and says whether it took it.
	put(frame []byte) bool
}

// cord leads to a gateway's port.
type cord struct{ far *memory.Port }

func (c *cord) drain() [][]byte       { return c.far.Drain() }
func (c *cord) put(frame []byte) bool { return c.far.Inject(frame) }

// Link adds a link of MTU 1500.
func (l *Lab) Link(name string) *Link {
	k := &Link{lab: l, name: name, MTU: 1500}
	l.links = append(l.links, k)
	return k
}

func (k *Link) attach(name string, mac [6]byte, p plug) {
	k.ends = append(k.ends, &end{name: name, mac: mac, plug: p})
}

// Carried returns how many frames were sent on the link.
func (k *Link) Carried() int { return k.sent }

// carry takes each frame that was sent to whom it is for.
func (k *Link) carry() {
	for _, from := range k.ends {
		for _, frame := range from.plug.drain() {
			from.out++
			lose := k.Lose != nil && k.Lose(k.sent, frame)
			k.sent++
			k.deliver(from, frame, lose)
		}
	}
}

func (k *Link) deliver(from *end, frame []byte, lose bool) {
	found := false
	for _, to := range k.ends {
		if to == from || frame[0]&1 == 0 && !bytes.Equal(frame[:6], to.mac[:]) {
			continue
		}
		found = true
		k.copies++
		if lose || !to.plug.put(frame) {
			k.lost++
			k.lab.diagram.add(k.lab.now, k.name, from.name, to.name, frame, true)
			continue
		}
		to.in++
		k.received++
		k.lab.diagram.add(k.lab.now, k.name, from.name, to.name, frame, false)
	}
	if !found {
		k.copies++
		k.lost++
		k.lab.diagram.add(k.lab.now, k.name, from.name, "nobody", frame, true)
	}
}
