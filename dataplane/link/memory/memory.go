// Package memory is a cable inside the process: two ports, each receiving what
// the other sends. It serves tests and labs that need no kernel.
//
// Tx copies into the bounded ring of the other end, so the two ends may belong to
// different goroutines. Frames to a port of several queues are spread by
// link.Steer, as the other drivers do. Nothing is allocated per packet, except that
// a slot of the ring grows to the longest frame it has carried.
package memory

import (
	"cmp"
	"sync/atomic"

	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// Options describe both ends of a pair. The zero value is an Ethernet cable of
// one queue with an MTU of 1500.
type Options struct {
	// MTU in bytes of layer 3. Zero means 1500. Longer frames are refused,
	// super-packets excepted.
	MTU int
	// MACs of the two ends. All zero means 02:00:00:00:00:0a and ...:0b.
	MACs [2][6]byte
	// L3 makes the frames bare IP packets.
	L3 bool
	// Queues of each end. Zero means 1.
	Queues int
	// Depth is the capacity of a queue in frames. Zero means 1024.
	Depth int
	// Segments lets super-packets and half-made checksums through, with what is
	// known of them. Without it they are refused, as no receiver could tell.
	Segments bool
	// Poll gives each queue a descriptor that polls readable (Queue.FD).
	Poll bool
}

// Port is one end. Its queues are used as link.Queue says; the other methods are
// safe for concurrent use.
type Port struct {
	opts   Options
	info   link.Info
	peer   *Port
	queues []*queue
	up     atomic.Bool
	closed atomic.Bool
}

var _ link.Port = (*Port)(nil)

// Pair returns the two ends of a new cable, both up. It fails only where Poll
// asks for descriptors and there are none left.
func Pair(o Options) (a, b *Port, err error) {
	o.MTU = cmp.Or(o.MTU, 1500)
	o.Queues = cmp.Or(o.Queues, 1)
	o.Depth = cmp.Or(o.Depth, 1024)
	if o.MACs == ([2][6]byte{}) && !o.L3 {
		o.MACs = [2][6]byte{{2, 0, 0, 0, 0, 0x0a}, {2, 0, 0, 0, 0, 0x0b}}
	}
	if a, err = newPort(o, o.MACs[0]); err != nil {
		return nil, nil, err
	}
	if b, err = newPort(o, o.MACs[1]); err != nil {
		a.Close()
		return nil, nil, err
	}
	a.peer, b.peer = b, a
	return a, b, nil
}

func newPort(o Options, mac [6]byte) (*Port, error) {
	p := &Port{
		opts: o,
		info: link.Info{MAC: mac, MTU: o.MTU, L3: o.L3, Segments: o.Segments},
	}
	p.up.Store(true)
	for range o.Queues {
		q, err := newQueue(p)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.queues = append(p.queues, q)
	}
	return p, nil
}

// Info reports Up while both ends are up and open.
func (p *Port) Info() link.Info {
	i := p.info
	i.Up = p.carrier()
	return i
}

func (p *Port) carrier() bool {
	return p.up.Load() && p.peer.up.Load() && !p.closed.Load() && !p.peer.closed.Load()
}

// SetUp takes the end down or up again, as pulling the cable does: while either
// end is down, Tx returns link.ErrDown.
func (p *Port) SetUp(up bool) { p.up.Store(up) }

func (p *Port) Queues() []link.Queue {
	qs := make([]link.Queue, len(p.queues))
	for i, q := range p.queues {
		qs[i] = q
	}
	return qs
}

func (p *Port) Stats() (s link.Stats) {
	for _, q := range p.queues {
		q.count.AddTo(&s)
	}
	return s
}

// Reattach has nothing to open again.
func (p *Port) Reattach() error { return nil }

// Close takes the end away: its own queues then return os.ErrClosed, those of the
// other end link.ErrDown.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	for _, q := range p.queues {
		q.close()
	}
	return nil
}

// Inject sends frame, finished and without offload, from this end to the other
// and reports whether it was taken. For tests; it may run beside the port's workers.
func (p *Port) Inject(frame []byte) bool {
	one := packet.Packet{Buf: frame, End: uint32(len(frame))}
	return p.queues[0].send(&one)
}

// Drain returns copies of the frames that have arrived at this end since the
// last time, queue by queue, oldest first. For tests; it takes the place of the
// worker that would call Rx.
func (p *Port) Drain() [][]byte {
	var frames [][]byte
	var b packet.Batch
	for _, q := range p.queues {
		for q.Rx(&b) == nil && b.N > 0 {
			for i := range b.P[:b.N] {
				frames = append(frames, append([]byte(nil), b.P[i].Bytes()...))
			}
		}
	}
	return frames
}

// takes says whether the cable carries the packet.
func (p *Port) takes(pk *packet.Packet) bool {
	if pk.Offload.GSOType != packet.GSONone || pk.Offload.Flags&packet.NeedsChecksum != 0 {
		return p.opts.Segments && pk.Len() <= packet.MaxFrame
	}
	longest := p.opts.MTU
	if !p.opts.L3 {
		longest += header.EthernetLen + 2*header.VLANLen
		if pk.Len() < header.EthernetLen {
			return false
		}
	}
	return pk.Len() > 0 && pk.Len() <= longest
}
