package dataplane

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"testing"

	"openvra/dataplane/checksum"
	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

// noDecider has no address of its own.
type noDecider struct{ Decider }

func (noDecider) Own(uint32) bool { return false }

// plainFrame is a whole UDP or TCP packet of n bytes of payload, to MAC 02:00:00:00:00:01.
func plainFrame(proto byte, n int) []byte {
	l4 := map[byte]int{6: header.TCPLen, 17: header.UDPLen}[proto] + n
	f := make([]byte, header.EthernetLen+header.IPv4Len+l4)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45})
	ip := header.IPv4(f[header.EthernetLen:])
	ip.SetTotalLen(len(ip))
	ip.SetTTL(64)
	ip.SetProtocol(proto)
	ip.SetSrc(0x0a000001)
	ip.SetDst(0xc6336401)
	t := ip[header.IPv4Len:]
	binary.BigEndian.PutUint16(t, 4000)
	binary.BigEndian.PutUint16(t[2:], 53)
	if proto == 17 {
		header.UDP(t).SetLength(len(t))
	} else {
		t[12], t[13] = 5<<4, header.ACK
	}
	finishIP(ip)
	return f
}

// TestParsePlain holds the short way through parse against the long one: what it takes it
// takes to the same end, and it does take what it is for.
func TestParsePlain(t *testing.T) {
	w := NewWorker(WorkerOptions{Of: 1, Sessions: 16, Secret: [3]uint64{1, 2, 3}, Log: slog.New(slog.DiscardHandler)})
	w.plan = &Plan{Decider: noDecider{}, Ports: []Port{{Kind: PortEthernet, MAC: 0x020000000001, Realm: 7}}}
	w.growPorts(1)
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 200_000 {
		f := plainFrame([2]byte{6, 17}[random.IntN(2)], random.IntN(40))
		for range random.IntN(4) { // 0 to 3 changes, in the headers
			i := random.IntN(min(len(f), 56))
			f[i] = byte(random.Uint32())
			if random.IntN(2) == 0 { // often with a right checksum all the same
				ip := f[header.EthernetLen:]
				ip[10], ip[11] = 0, 0
				binary.BigEndian.PutUint16(ip[10:], checksum.Of(ip[:header.IPv4Len]))
			}
		}
		if random.IntN(8) == 0 {
			f = f[:random.IntN(len(f)+1)]
		}
		var p, q packet.Packet
		p.Set(make([]byte, 256), f)
		q.Set(make([]byte, 256), f)
		var m, n meta
		m.cand, m.handed, m.broadcast, m.laterFragment = 9, 9, true, true // of the packet before
		before := p
		if !w.parsePlain(&p, &m, &w.plan.Ports[0]) {
			if p.L3 != before.L3 || p.L4 != before.L4 || p.L3End != before.L3End || m.class != classDone {
				t.Fatalf("% x: changed although it was not taken", f)
			}
			continue
		}
		taken++
		w.parse(&q, &n)
		m.cand = 0
		if p.L3 != q.L3 || p.L4 != q.L4 || p.L3End != q.L3End || m != n {
			t.Fatalf("% x:\n short way %+v %d %d %d\n long way  %+v %d %d %d", f, m, p.L3, p.L4, p.L3End, n, q.L3, q.L4, q.L3End)
		}
	}
	if taken < 50_000 {
		t.Errorf("got %d frames of 200,000 taken; want a quarter at least", taken)
	}
}
