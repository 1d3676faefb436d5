package pcap

import (
	"cmp"
	"io"
	"os"

	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/packet"
)

// Options describe a port over captures.
type Options struct {
	// Name of the port, which names the interface in Out.
	Name string
	// In is where frames come from; nil means that none come. The port closes it.
	In *Reader
	// Out is where frames go; nil means nowhere. The port closes it.
	Out *Writer
	// MAC of an Ethernet port.
	MAC [6]byte
	// MTU in bytes of layer 3. Zero means 1500. Longer frames are not sent.
	MTU int
	// L3 makes a port of bare IP packets.
	L3 bool
}

// Port is a port over captures, with one queue. Unlike other ports it belongs to
// one goroutine, Stats excepted.
//
// Frames that the capture holds only the start of are received as they are: their
// IP length says that they are cut. Those that cannot be frames of the port, see
// AppendFrame, are counted as missed.
type Port struct {
	opts   Options
	iface  int
	now    int64 // for frames that have no time
	count  link.Counter
	slab   []byte
	closed bool
}

var (
	_ link.Port  = (*Port)(nil)
	_ link.Queue = (*Port)(nil)
)

// slotLen is the length in bytes of a frame's buffer, headroom to tailroom.
const slotLen = packet.Headroom + packet.MaxFrame + packet.Headroom

// NewPort returns a port over captures.
func NewPort(o Options) (*Port, error) {
	o.MTU = cmp.Or(o.MTU, 1500)
	p := &Port{opts: o, slab: make([]byte, packet.BatchSize*slotLen)}
	if o.Out == nil {
		return p, nil
	}
	typ := Ethernet
	if o.L3 {
		typ = RawIP
	}
	var err error
	p.iface, err = o.Out.AddInterface(o.Name, typ)
	return p, err
}

func (p *Port) Info() link.Info {
	return link.Info{MAC: p.opts.MAC, MTU: p.opts.MTU, L3: p.opts.L3, Up: !p.closed}
}

// Queues returns the port itself, its own only queue.
func (p *Port) Queues() []link.Queue { return []link.Queue{p} }

func (p *Port) Stats() (s link.Stats) {
	p.count.AddTo(&s)
	return s
}

// SetTime says what time it is, for frames sent that have no time of their own, in
// nanoseconds since 1970. Receiving sets it to the time of the last frame.
func (p *Port) SetTime(now int64) { p.now = now }

// Rx returns io.EOF after the last frame, and other errors of the capture where
// they are, after the frames before them.
func (p *Port) Rx(b *packet.Batch) error {
	b.N = 0
	if p.closed {
		return os.ErrClosed
	}
	if p.opts.In == nil {
		return io.EOF
	}
	bytes, missed := 0, 0
	var err error
	for b.N < packet.BatchSize && err == nil {
		var r *Record
		if r, err = p.opts.In.Next(); err != nil {
			break
		}
		if !p.receive(&b.P[b.N], r, b.N) {
			missed++
			continue
		}
		bytes += b.P[b.N].Len()
		b.N++
	}
	p.count.Rx(b.N, bytes)
	p.count.Missed(missed)
	if b.N > 0 {
		return nil // the next call finds the error again
	}
	return err
}

// receive makes pk the frame of r, in buffer i.
func (p *Port) receive(pk *packet.Packet, r *Record, i int) bool {
	buf := p.slab[i*slotLen : (i+1)*slotLen : (i+1)*slotLen]
	if len(r.Data)+header.EthernetLen > packet.MaxFrame {
		return false
	}
	frame, ok := r.AppendFrame(buf[:packet.Headroom], p.opts.L3, p.opts.MAC)
	if !ok {
		return false
	}
	p.now = r.Time
	*pk = packet.Packet{Buf: buf, Start: packet.Headroom, End: uint32(len(frame)), Time: r.Time}
	return true
}

// Tx writes the frames to the capture, at their own time or, if they have none,
// the port's.
func (p *Port) Tx(ps []*packet.Packet) (sent int, err error) {
	if p.closed {
		return 0, os.ErrClosed
	}
	bytes := 0
	for i, pk := range ps {
		if !p.takes(pk) {
			continue
		}
		if p.opts.Out != nil {
			if err = p.opts.Out.Write(p.iface, cmp.Or(pk.Time, p.now), pk.Bytes(), pk.Len(), ""); err != nil {
				break
			}
		}
		bytes += pk.Len()
		ps[sent], ps[i] = pk, ps[sent]
		sent++
	}
	p.count.Tx(sent, bytes, len(ps)-sent)
	return sent, err
}

// takes says whether the packet could be sent: finished and not too long.
func (p *Port) takes(pk *packet.Packet) bool {
	longest := p.opts.MTU
	if !p.opts.L3 {
		longest += header.EthernetLen + 2*header.VLANLen
	}
	return pk.Len() > 0 && pk.Len() <= longest &&
		pk.Offload.GSOType == packet.GSONone && pk.Offload.Flags&packet.NeedsChecksum == 0
}

// FD returns -1: a file is always ready.
func (p *Port) FD() int { return -1 }

// Reattach has nothing to open again.
func (p *Port) Reattach() error { return nil }

// Close writes out and closes the captures.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	var err error
	if p.opts.Out != nil {
		err = p.opts.Out.Close()
	}
	if p.opts.In != nil {
		err = cmp.Or(err, p.opts.In.Close())
	}
	return err
}
