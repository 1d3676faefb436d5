package netlab

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// retransmitAfter is how long TCP waits for an answer.
const retransmitAfter = 200 * time.Millisecond

// connKey is a connection as a host sees it.
type connKey struct {
	port uint16
	peer netip.AddrPort
}

// A Conn is one end of a TCP connection that says a line, waits for the echo, and says
// the next: one segment is under way at a time, and sent again until it is answered.
type Conn struct {
	host *Host
	key  connKey
	// Said are the lines that were echoed, in order; of the serving end, those heard.
	Said []string
	// Peer is whom the serving end believes to be connected to.
	Peer netip.AddrPort
	// Closed says that both ends have said FIN, Reset that one has said RST.
	Closed, Reset bool
	// Retransmits counts segments that were sent again.
	Retransmits int

	serving   bool
	seq, ack  uint32
	lines     []string
	last      *layers.TCP // under way
	lastData  string
	sentAt    int64
	connected bool
	finished  bool // we have said FIN
}

// Serve makes the host take connections to a port and echo what it hears.
func (h *Host) Serve(port uint16) { h.serve[port] = true }

// Dial connects to a serving host, says the lines and closes.
func (h *Host) Dial(to netip.AddrPort, lines ...string) *Conn {
	h.port++
	c := &Conn{host: h, key: connKey{h.port, to}, Peer: to, lines: lines, seq: uint32(h.port) << 16}
	h.conns[c.key] = c
	c.say(&layers.TCP{SYN: true}, "")
	return c
}

// Conns returns the connections that the host serves or has dialed, in a fixed order.
func (h *Host) Conns() (list []*Conn) {
	for _, k := range h.sortedConns() {
		list = append(list, h.conns[k])
	}
	return list
}

func (h *Host) sortedConns() []connKey {
	keys := make([]connKey, 0, len(h.conns))
	for k := range h.conns {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b connKey) int {
		return cmp.Or(cmp.Compare(a.port, b.port), a.peer.Compare(b.peer))
	})
	return keys
}

// say sends a segment that the other end is to answer.
func (c *Conn) say(t *layers.TCP, data string) {
	t.Seq, t.Ack, t.Window = c.seq, c.ack, 64000
	t.SrcPort, t.DstPort = layers.TCPPort(c.key.port), layers.TCPPort(c.key.peer.Port())
	c.last, c.lastData, c.sentAt = t, data, c.host.lab.now
	c.seq += uint32(len(data))
	if t.SYN || t.FIN {
		c.seq++
	}
	c.put()
}

// put sends the last segment.
func (c *Conn) put() {
	t := *c.last
	c.host.send(c.host.ipv4(c.key.peer.Addr(), layers.IPProtocolTCP, 64), &t, gopacket.Payload(c.lastData))
}

// timer sends the segment under way again if it is not answered.
func (c *Conn) timer() {
	if c.serving || c.last == nil || c.Closed || c.Reset {
		return
	}
	if c.host.lab.now-c.sentAt >= int64(retransmitAfter) {
		c.sentAt = c.host.lab.now
		c.Retransmits++
		c.put()
	}
}

func (h *Host) receiveTCP(from netip.Addr, t *layers.TCP) {
	key := connKey{uint16(t.DstPort), netip.AddrPortFrom(from, uint16(t.SrcPort))}
	c := h.conns[key]
	if c == nil && t.SYN && !t.ACK && h.serve[key.port] {
		c = &Conn{host: h, key: key, Peer: key.peer, serving: true, seq: 1 << 20, ack: t.Seq}
		h.conns[key] = c
	}
	switch {
	case c == nil:
	case t.RST:
		c.Reset = true
	case c.serving:
		c.serveSegment(t)
	default:
		c.hear(t)
	}
}

// serveSegment echoes a segment: SYN, data or FIN. One that it has heard it answers as
// before.
func (c *Conn) serveSegment(t *layers.TCP) {
	if !t.SYN && !t.FIN && len(t.Payload) == 0 {
		return // an acknowledgment
	}
	if t.Seq != c.ack {
		if c.last != nil {
			c.put()
		}
		return
	}
	c.ack += uint32(len(t.Payload))
	if t.SYN || t.FIN {
		c.ack++
	}
	if len(t.Payload) > 0 {
		c.Said = append(c.Said, string(t.Payload))
	}
	c.Closed = t.FIN
	c.say(&layers.TCP{SYN: t.SYN, FIN: t.FIN, ACK: true, PSH: len(t.Payload) > 0}, string(t.Payload))
}

// hear takes an echo, acknowledges it and says the next line, or FIN.
func (c *Conn) hear(t *layers.TCP) {
	if c.Closed || t.Ack != c.seq || c.connected && t.Seq != c.ack {
		return // of a segment before
	}
	c.ack = t.Seq + uint32(len(t.Payload))
	if t.SYN || t.FIN {
		c.ack++
	}
	switch {
	case t.FIN:
		c.Closed = true
	case !c.connected:
		c.connected = true
	default:
		c.Said = append(c.Said, string(t.Payload))
		c.lines = c.lines[1:]
	}
	switch {
	case c.Closed:
		c.say(&layers.TCP{ACK: true}, "")
	case len(c.lines) > 0:
		c.say(&layers.TCP{ACK: true, PSH: true}, c.lines[0])
	case !c.finished:
		c.finished = true
		c.say(&layers.TCP{ACK: true, FIN: true}, "")
	}
}
