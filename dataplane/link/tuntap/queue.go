package tuntap

// Hot path: no allocation, lock, clock or log per packet.

import (
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"openvra/dataplane/link"
	"openvra/dataplane/link/virtio"
	"openvra/dataplane/packet"
)

// bufferLen is the length in bytes of a frame's buffer, headroom to tailroom.
const bufferLen = packet.Headroom + packet.MaxFrame + packet.Headroom

// headerAt is where the virtio header is in a buffer: right before the frame.
const headerAt = packet.Headroom - virtio.HeaderLen

// queue is one descriptor of the device. device owns it.
type queue struct {
	device *water.Interface // nil when closed
	fd     int
	gone   bool // the device was deleted
	count  link.Counter
	// slab holds the frames of a batch. Small packets touch its first pages only.
	slab []byte
}

func newQueue() *queue {
	return &queue{fd: -1, slab: make([]byte, packet.BatchSize*bufferLen)}
}

// attach makes the descriptor the queue's.
func (q *queue) attach(d *water.Interface, fd int) {
	if q.device != nil {
		q.device.Close() // of a device that is gone
	}
	q.device, q.fd, q.gone = d, fd, false
}

func (q *queue) close() error {
	if q.device == nil {
		return nil
	}
	d := q.device
	q.device, q.fd = nil, -1
	return d.Close()
}

func (q *queue) FD() int { return q.fd }

func (q *queue) Rx(b *packet.Batch) error {
	b.N = 0
	if q.device == nil {
		return os.ErrClosed
	}
	if q.gone {
		return link.ErrDown
	}
	bytes, missed := 0, 0
	for b.N < packet.BatchSize {
		buf := q.slab[b.N*bufferLen : (b.N+1)*bufferLen : (b.N+1)*bufferLen]
		n, err := unix.Read(q.fd, buf[headerAt:bufferLen-packet.Headroom])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			q.checkGone(err)
			break
		}
		p := &b.P[b.N]
		*p = packet.Packet{Buf: buf, Start: packet.Headroom}
		p.End = uint32(headerAt + max(n, virtio.HeaderLen))
		// A frame longer than the buffer comes cut: it filled it.
		if p.Len() == 0 || p.Len() >= packet.MaxFrame || !virtio.Decode(p, buf[headerAt:]) {
			missed++
			continue
		}
		bytes += p.Len()
		b.N++
	}
	q.count.Rx(b.N, bytes)
	q.count.Missed(missed)
	if q.gone && b.N == 0 {
		return link.ErrDown
	}
	return nil
}

// checkGone notes that the device was deleted. The descriptor of such a device
// polls as an error forever; a quiet one takes its place, number and all, so that
// nobody who still waits on it spins.
func (q *queue) checkGone(err error) {
	if err != unix.EBADFD && err != unix.EFAULT && err != unix.EIO {
		return
	}
	q.gone = true
	quiet, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	_ = unix.Dup3(quiet, q.fd, unix.O_CLOEXEC) // where it fails, waiting costs turns
	unix.Close(quiet)
}

func (q *queue) Tx(ps []*packet.Packet) (sent int, err error) {
	if q.device == nil {
		return 0, os.ErrClosed
	}
	if q.gone {
		q.count.Tx(0, 0, len(ps))
		return 0, link.ErrDown
	}
	bytes := 0
send:
	for i, p := range ps {
		switch e := q.write(p); e {
		case nil:
			bytes += p.Len()
			ps[sent], ps[i] = p, ps[sent]
			sent++
		case unix.EIO, unix.EBADFD:
			err = link.ErrDown
			break send
		case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
			break send // full
		}
	}
	q.count.Tx(sent, bytes, len(ps)-sent)
	return sent, err
}

// write sends p with its virtio header, which it puts into the headroom.
func (q *queue) write(p *packet.Packet) error {
	if p.Start < virtio.HeaderLen || p.Len() == 0 {
		return unix.EINVAL
	}
	b := p.Buf[p.Start-virtio.HeaderLen : p.End]
	if !virtio.Encode(b, p) {
		return unix.EINVAL
	}
	for {
		if _, err := unix.Write(q.fd, b); err != unix.EINTR {
			return err
		}
	}
}
