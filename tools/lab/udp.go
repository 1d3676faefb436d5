package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ServeUDP answers every datagram to an address of the host with its own content,
// until the lab is closed.
func (l *Lab) ServeUDP(h *Host, at netip.AddrPort) error {
	c, err := h.ListenUDP(at)
	if err != nil {
		return fmt.Errorf("listen in %s: %w", h.Name, err)
	}
	c.SetReadBuffer(4 << 20) // as much as the kernel grants
	l.running.Go(func() {
		defer c.Close()
		defer context.AfterFunc(l.ctx, func() { c.Close() })()
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], from) // a lost answer is the asker's to see
		}
	})
	return nil
}

// Echoes is what came of a number of echoed datagrams.
type Echoes struct {
	Sent, Received int
	// Wrong counts answers that were no datagram of ours.
	Wrong int
	// From is who answered, as the sender saw it.
	From netip.AddrPort
}

// UDP sends count datagrams of size bytes, at least 8, to a ServeUDP, each after
// the answer to the one before it or after wait.
func (h *Host) UDP(ctx context.Context, source netip.Addr, to netip.AddrPort, count, size int, wait time.Duration) (Echoes, error) {
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
	}
	var e Echoes
	c, err := h.ListenUDP(netip.AddrPortFrom(source, 0))
	if err != nil {
		return e, err
	}
	defer c.Close()
	out, in := make([]byte, max(size, 8)), make([]byte, 65536)
	for i := range count {
		if ctx.Err() != nil {
			return e, ctx.Err()
		}
		binary.BigEndian.PutUint64(out, uint64(i)+0x5555)
		if _, err := c.WriteToUDPAddrPort(out, to); err != nil {
			return e, err
		}
		e.Sent++
		if e.receive(c, in, out, time.Now().Add(wait)) {
			e.Received++
		}
	}
	return e, nil
}

// receive reports whether want came back before the deadline.
func (e *Echoes) receive(c *net.UDPConn, buf, want []byte, deadline time.Time) bool {
	if err := c.SetReadDeadline(deadline); err != nil {
		return false
	}
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return false
		}
		e.From = from
		if bytes.Equal(buf[:n], want) {
			return true
		}
		e.Wrong++
	}
}
