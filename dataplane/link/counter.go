package link

import "sync/atomic"

// Counter counts for one queue; drivers sum theirs into Stats. Its owner adds
// once a batch, anybody may read.
type Counter struct {
	rxPackets, rxBytes, rxMissed  atomic.Uint64
	txPackets, txBytes, txRefused atomic.Uint64
	_                             [16]byte // a cache line of its own
}

// Rx adds received packets and bytes.
func (c *Counter) Rx(packets, bytes int) {
	if packets > 0 {
		c.rxPackets.Add(uint64(packets))
		c.rxBytes.Add(uint64(bytes))
	}
}

// Missed adds frames there was no room for.
func (c *Counter) Missed(packets int) {
	if packets > 0 {
		c.rxMissed.Add(uint64(packets))
	}
}

// Tx adds sent packets and bytes, and refused packets.
func (c *Counter) Tx(packets, bytes, refused int) {
	if packets > 0 {
		c.txPackets.Add(uint64(packets))
		c.txBytes.Add(uint64(bytes))
	}
	if refused > 0 {
		c.txRefused.Add(uint64(refused))
	}
}

// AddTo adds the counts to s.
func (c *Counter) AddTo(s *Stats) {
	s.RxPackets += c.rxPackets.Load()
	s.RxBytes += c.rxBytes.Load()
	s.RxMissed += c.rxMissed.Load()
	s.TxPackets += c.txPackets.Load()
	s.TxBytes += c.txBytes.Load()
	s.TxRefused += c.txRefused.Load()
}
