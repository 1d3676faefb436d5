// Package link says what a port driver is. The drivers are the folders below it;
// one contract test (linktest) runs over each of them.
//
// A port has one or more queues. A queue belongs to one worker, which alone calls
// Rx and Tx on it, from one thread. Nothing here may be called per packet: Rx and
// Tx take batches.
package link

import (
	"errors"

	"openvra/dataplane/packet"
)

// ErrDown says that the device is there but cannot send now, or is gone: the
// driver stays open, and works again when the device does.
var ErrDown = errors.New("link is down")

// Stats are a port's counts since it was opened, summed over its queues.
type Stats struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	// RxMissed counts frames the kernel or the device had no room for.
	RxMissed uint64
	// TxRefused counts frames given to Tx that the device did not take.
	TxRefused uint64
}

// Info is what a driver knows of its device.
type Info struct {
	// Device is the kernel's name of it, empty for files and memory.
	Device string
	// Index is the kernel's interface index, 0 where there is none.
	Index int
	// MAC is all zero where L3 is true.
	MAC [6]byte
	// MTU in bytes of layer 3.
	MTU int
	// L3 says that frames are bare IP packets, without an Ethernet header.
	L3 bool
	// Segments says that Tx takes super-packets (GSOType set) and frames with
	// NeedsChecksum as they are.
	Segments bool
	// Up says that the device carries frames now.
	Up bool
}

// Queue is one receive and send side of a port.
type Queue interface {
	// Rx fills b from the start and sets b.N, at most packet.BatchSize. It
	// never waits: 0 packets and no error means that nothing is there. The
	// frames are borrowed until the next Rx on this queue. Each has Headroom
	// free bytes before it and its Offload and VLANs set; Port is left to the
	// worker. io.EOF means that there will be no more, ever.
	Rx(b *packet.Batch) error

	// Tx sends ps in order and returns how many of them, from the front, the
	// device took; the rest is lost and counted in Stats.TxRefused. One that is
	// refused for itself, being too long say, is moved behind those that are
	// taken after it. Tx is done with the bytes when it returns. VLANs are already in the frame (the
	// worker wrote them). It may change Offload and bytes before Start.
	Tx(ps []*packet.Packet) (int, error)

	// FD returns a descriptor that polls readable when Rx has something, or -1
	// where there is none (memory, files): such a queue is polled by turns.
	FD() int
}

// Port is an open device or file.
type Port interface {
	Info() Info
	// Queues returns the same queues at each call, as many as were asked for.
	Queues() []Queue
	// Stats is safe for concurrent use.
	Stats() Stats
	// Reattach opens the device again after it was deleted and recreated under
	// the same name, keeping the Queue values. Called while no worker is inside
	// Rx or Tx. Drivers without a kernel device return nil.
	Reattach() error
	// Close is idempotent. Called while no worker is inside Rx or Tx. What the
	// driver made (its TUN, its filters) is gone afterwards.
	Close() error
}
