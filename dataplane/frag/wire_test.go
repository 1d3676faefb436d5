package frag

import (
	"fmt"
	"slices"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

const (
	client = 0xc6336407 // 198.51.100.7
	server = 0xcb007109 // 203.0.113.9
	sec    = int64(1e9)
)

// part describes a fragment.
type part struct {
	id    uint16
	proto uint8 // UDP if 0
	from  int   // in bytes
	n     int   // bytes of payload
	more  bool
	src   uint32 // client if 0
	tos   uint8
	fill  byte
	cut   bool // leave a TCP header's data offset past the end
}

// packet returns the parsed packet, with link padding. The payload begins with
// ports 1000+id and 53 if it is the first.
func (f part) packet() *packet.Packet {
	h := header.IPv4(make([]byte, header.IPv4Len+f.n))
	h[0] = 0x45
	h.SetTOS(f.tos)
	h.SetTotalLen(len(h))
	h.SetID(f.id)
	h.SetTTL(64)
	h.SetProtocol(f.proto)
	if f.proto == 0 {
		h.SetProtocol(flow.UDP)
	}
	field := uint16(f.from / 8)
	if f.more {
		field |= header.MoreFragments
	}
	h.SetFragment(field)
	h.SetSrc(f.src)
	if f.src == 0 {
		h.SetSrc(client)
	}
	h.SetDst(server)
	body := h[header.IPv4Len:]
	for i := range body {
		body[i] = f.fill + byte(f.from+i)
	}
	if f.from == 0 && f.n >= 8 {
		header.UDP(body).SetSrcPort(1000 + f.id)
		header.UDP(body).SetDstPort(53)
		if f.proto == flow.ICMP {
			header.ICMP(body).SetType(header.ICMPEcho)
			header.ICMP(body).SetID(77)
		}
		if f.proto == flow.TCP && f.n >= header.TCPLen {
			body[12] = 5 << 4
			if f.cut {
				body[12] = 15 << 4
			}
		}
	}
	seal(h)
	return parsed(h)
}

// parsed returns the packet of an IPv4 packet, framed and padded.
func parsed(ip header.IPv4) *packet.Packet {
	frame := append(make([]byte, header.EthernetLen), ip...)
	frame = append(frame, 1, 2, 3)
	p := new(packet.Packet)
	p.Set(make([]byte, packet.Headroom+len(frame)), frame)
	p.L3 = p.Start + header.EthernetLen
	p.L4 = p.L3 + uint32(ip.HeaderLen())
	p.L3End = p.L3 + uint32(len(ip))
	return p
}

func tracker(t testing.TB, change func(*Config)) *Tracker {
	t.Helper()
	c := DefaultConfig()
	change(&c)
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, tr) })
	return tr
}

// check holds the tracker's counts and lists against each other.
func check(t testing.TB, tr *Tracker) {
	t.Helper()
	n, held, bytes, prev := 0, 0, 0, int32(-1)
	for i := tr.oldest; i >= 0; i = tr.datagrams[i].next {
		d := &tr.datagrams[i]
		if tr.index[d.key] != i || d.prev != prev {
			t.Fatalf("datagram %d is not linked or indexed right", i)
		}
		if d.dead != 0 && len(d.held) != 0 {
			t.Fatalf("datagram %d is dead and holds %d fragments", i, len(d.held))
		}
		for _, p := range d.held {
			held++
			bytes += len(p.Buf)
		}
		n, prev = n+1, i
	}
	if n != tr.Len() || n+len(tr.free) != len(tr.datagrams) || prev != tr.newest {
		t.Fatalf("got %d datagrams on the list, %d in the index, %d free", n, tr.Len(), len(tr.free))
	}
	if held != tr.Held() || bytes != tr.bytes || bytes > tr.conf.Bytes {
		t.Fatalf("got %d fragments in %d bytes; counted %d in %d", held, bytes, tr.Held(), tr.bytes)
	}
}

// String says in one line what a verdict is.
func (v Verdict) String() string {
	s := "pass"
	switch {
	case v.Reason != 0:
		s = v.Reason.String()
	case v.Held:
		s = "held"
	case v.Whole != nil:
		s = fmt.Sprintf("whole of %d", v.Merged)
	default:
		s += fmt.Sprintf(" %d>%d", v.SrcPort, v.DstPort)
	}
	for _, p := range v.Ready {
		s += fmt.Sprintf(" +%d", offset(p)*8)
	}
	if v.Lost != 0 {
		s += fmt.Sprintf(" lost %d %v", v.Lost, v.LostReason)
	}
	return s
}

// join is the slow twin of Assemble: it puts the payloads of packets together and
// returns nil if a byte is missing or there twice.
func join(ps []*packet.Packet) []byte {
	bytes, end := map[int]byte{}, -1
	for _, p := range ps {
		h := header.IPv4(p.Buf[p.L3:p.L3End])
		for i, b := range payload(p) {
			at := offset(p)*8 + i
			if _, ok := bytes[at]; ok {
				return nil
			}
			bytes[at] = b
		}
		if h.Fragment()&header.MoreFragments == 0 {
			end = offset(p)*8 + len(payload(p))
		}
	}
	if len(bytes) != end {
		return nil
	}
	out := make([]byte, end)
	for at, b := range bytes {
		if at >= end {
			return nil
		}
		out[at] = b
	}
	return slices.Clip(out)
}

func valid(h header.IPv4) bool {
	return h.TotalLen() == len(h) && checksum.Of(h[:h.HeaderLen()]) == 0
}
