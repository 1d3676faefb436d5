// Package bench measures the gateway's whole path in memory: frames from a port that
// writes them, through every step of the line, to a port that takes them.
//
//	go test ./tests/bench -bench Line -benchtime 2s
package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"openvra/appliance"
	"openvra/config"
	"openvra/dataplane/checksum"
	"openvra/dataplane/link"
	"openvra/dataplane/packet"
	"openvra/tools/cloop"
)

const gateway = `
ports:
  - {name: outside, driver: memory, addresses: [203.0.113.2/24]}
  - {name: inside, driver: memory, addresses: [10.0.0.1/8]}
routes:
  - {to: 0.0.0.0/0, via: [203.0.113.1]}
  - {to: 192.0.2.0/24, via: [10.255.0.2]}
neighbours:
  - {port: outside, address: 203.0.113.1, mac: "02:00:00:00:01:01"}
  - {port: inside, address: 10.255.0.2, mac: "02:00:00:00:01:02"}
tunnels:
  - name: pods
    local: 10.0.0.1
    mode: Always
    pools: [172.16.0.0/12]
    workers: [{name: w1, address: 192.0.2.1, blocks: [172.16.0.0/12]}]
nat:
  source:
    - {name: out, out: [outside], translate: {addresses: 203.0.113.64-203.0.113.127}}
limits: {sessions: 1100000}
timeouts: {allowShort: true}
`

const (
	buffers  = 4096
	slot     = 256
	frameLen = 64
)

// source writes a frame of the next flow into the next of its buffers for each packet
// of a batch, as the C loop does. It never ends.
type source struct {
	info     link.Info
	buf      []byte
	at       int
	template []byte
	order    []uint32
	next     int
	// stop is how many packets are left to hand out.
	left int
	flow func(frame []byte, flow uint32)
	// record, if not nil, gets source address and port of each frame sent.
	record *[]endpoint
}

// endpoint is an address with a port.
type endpoint struct {
	addr uint32
	port uint16
}

func (s *source) Info() link.Info      { return s.info }
func (s *source) Queues() []link.Queue { return []link.Queue{s} }
func (s *source) Stats() link.Stats    { return link.Stats{} }
func (s *source) Reattach() error      { return nil }
func (s *source) Close() error         { return nil }
func (s *source) FD() int              { return -1 }

func (s *source) Rx(b *packet.Batch) error {
	n := min(packet.BatchSize, s.left)
	s.left -= n
	for i := range n {
		buf := s.buf[s.at*slot : (s.at+1)*slot : (s.at+1)*slot]
		s.at = (s.at + 1) % buffers
		f := buf[packet.Headroom : packet.Headroom+len(s.template)]
		copy(f, s.template)
		s.flow(f, s.order[s.next])
		if s.next++; s.next == len(s.order) {
			s.next = 0
		}
		p := &b.P[i]
		p.Buf, p.Start, p.End = buf, packet.Headroom, packet.Headroom+uint32(len(f))
		p.Offload, p.VLANs = packet.Offload{}, [2]uint32{}
	}
	b.N = n
	return nil
}

func (s *source) Tx(ps []*packet.Packet) (int, error) {
	if s.record != nil {
		for _, p := range ps {
			ip := p.Buf[p.L3:]
			*s.record = append(*s.record, endpoint{binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint16(ip[20:])})
		}
	}
	return len(ps), nil
}

// template is a UDP frame of 64 bytes without a UDP checksum, with an outer header
// before it if outer is given.
func template(src, dst uint32, outer bool) []byte {
	f := make([]byte, 0, 128)
	f = append(f, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9, 9, 8, 0)
	if outer {
		f = append(f, ipv4(4, frameLen-14+20, 0xc0000201, 0x0a000001)...)
	}
	f = append(f, ipv4(17, frameLen-14, src, dst)...)
	f = append(f, 0, 0, 1, 187, 0, frameLen-34, 0, 0)
	for len(f) < frameLen {
		f = append(f, 0)
	}
	if outer {
		f = append(f, make([]byte, 20)...)
	}
	return f
}

func ipv4(proto byte, total int, src, dst uint32) []byte {
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(total))
	binary.BigEndian.PutUint32(h[12:], src)
	binary.BigEndian.PutUint32(h[16:], dst)
	binary.BigEndian.PutUint16(h[10:], checksum.Of(h))
	return h
}

// setFlow makes the IPv4 packet at off that of a flow: source base + f/16.
func setFlow(off int, base uint32) func([]byte, uint32) {
	h := template(base, 0xc6336401, false)[14:34]
	clear(h[10:12])
	clear(h[12:16])
	partial := checksum.Sum(h, 0)
	return func(frame []byte, f uint32) {
		src := base + f/16
		ip := frame[off:]
		binary.BigEndian.PutUint32(ip[12:], src)
		binary.BigEndian.PutUint16(ip[10:], ^checksum.Fold(partial+uint64(src>>16)+uint64(src&0xffff)))
		binary.BigEndian.PutUint16(ip[20:], uint16(1024+f%16*3000))
	}
}

// setReply makes the packet an answer from the remote to a flow's outside endpoint.
func setReply(outside []endpoint) func([]byte, uint32) {
	h := template(0xc6336401, 0, false)[14:34]
	clear(h[10:12])
	partial := checksum.Sum(h, 0)
	return func(frame []byte, f uint32) {
		to := outside[f]
		ip := frame[14:]
		binary.BigEndian.PutUint32(ip[16:], to.addr)
		binary.BigEndian.PutUint16(ip[10:], ^checksum.Fold(partial+uint64(to.addr>>16)+uint64(to.addr&0xffff)))
		binary.BigEndian.PutUint16(ip[20:], 443)
		binary.BigEndian.PutUint16(ip[22:], to.port)
	}
}

// rig is a gateway between two sources, of which one is silent.
type rig struct {
	off             *appliance.Offline
	inside, outside *source
	now             int64
}

func newRig(tb testing.TB, flows int, outer bool) *rig {
	c, err := config.Parse("bench.yaml", []byte(gateway))
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{inside: newSource(1), outside: newSource(2), now: 1e9}
	base, off := uint32(0x0a100000), 14
	if outer {
		base, off = 0xac100000, 34
	}
	r.inside.template = template(base, 0xc6336401, outer)
	r.inside.flow = setFlow(off, base)
	// Random order, as in the C loop.
	random := rand.New(rand.NewPCG(1, 2))
	r.inside.order = make([]uint32, max(flows, 1<<16))
	for i := range r.inside.order {
		r.inside.order[i] = uint32(random.IntN(flows))
	}
	r.off, err = appliance.NewOffline(c, appliance.OfflineOptions{Ports: map[string]link.Port{"inside": r.inside, "outside": r.outside}})
	if err != nil {
		tb.Fatal(err)
	}
	// Each flow once, so that all sessions are there.
	random2 := r.inside.order
	all := make([]uint32, flows)
	for i := range all {
		all[i] = uint32(i)
	}
	r.inside.order = all
	var outside []endpoint
	r.outside.record = &outside
	r.send(tb, r.inside, flows)
	r.outside.record = nil
	r.inside.order, r.inside.next = random2, 0
	r.outside.template = template(0xc6336401, 0, false)
	r.outside.template[5] = 2 // the outside port's MAC address
	// The answers in the same order, laid out so that writing a frame costs no
	// cache miss: that would be the generator's.
	inOrder := make([]endpoint, len(random2))
	r.outside.order = make([]uint32, len(random2))
	for i, f := range random2 {
		inOrder[i], r.outside.order[i] = outside[f], uint32(i)
	}
	r.outside.flow = setReply(inOrder)
	return r
}

func newSource(n byte) *source {
	return &source{buf: make([]byte, buffers*slot), info: link.Info{MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: 1500, Up: true, Segments: true}}
}

// send takes n packets of a source through the path.
func (r *rig) send(tb testing.TB, from *source, n int) {
	from.left = n
	for from.left > 0 {
		r.now += 1000
		if _, err := r.off.Poll(r.now); err != nil && !errors.Is(err, io.EOF) {
			tb.Fatal(err)
		}
	}
	w := r.off.Workers()[0]
	if d := w.Counters.Dropped(); d != 0 {
		tb.Fatalf("dropped %d packets", d)
	}
}

// BenchmarkLine measures the path with a session hit: NAT alone, NAT of what comes out of
// IP-in-IP, and NAT of the answers that go into it. The C loop's figures stand beside when gcc is there (VRA_CLOOP=1).
func BenchmarkLine(b *testing.B) {
	best := map[int]float64{}
	if os.Getenv("VRA_CLOOP") != "" {
		rs, err := cloop.Run(context.Background(), 1, 10_000, 1_000_000)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range rs {
			best[r.Sessions] = r.Best()
		}
	}
	for _, kind := range []struct {
		name  string
		outer bool
		reply bool
	}{{"nat", false, false}, {"decap+nat", true, false}, {"nat+encap", true, true}} {
		for _, flows := range []int{1, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/flows=%d", kind.name, flows), func(b *testing.B) {
				r := newRig(b, flows, kind.outer)
				from := r.inside
				if kind.reply {
					from = r.outside
				}
				b.ReportAllocs()
				b.ResetTimer()
				r.send(b, from, b.N)
				b.StopTimer()
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(1e3/ns, "Mpps")
				if c := best[flows]; c != 0 {
					b.ReportMetric(c/ns, "of-C")
				}
			})
		}
	}
}

// BenchmarkNewSession measures the slow path: every packet is a flow's first, and gets
// a session and a NAT mapping. An operation is a million flows.
func BenchmarkNewSession(b *testing.B) {
	const flows = 1_000_000
	all := make([]uint32, flows)
	for i := range all {
		all[i] = uint32(i + 16)
	}
	var took time.Duration
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, 1, false)
		r.inside.order, r.inside.next = all, 0
		b.StartTimer()
		begun := time.Now()
		r.send(b, r.inside, flows)
		took += time.Since(begun)
	}
	b.ReportMetric(flows*float64(b.N)/took.Seconds()/1e6, "Msessions/s")
}

// BenchmarkSessionMemory reports what a session takes, all indexes included, and what a
// NAT mapping adds, with a million of each.
func BenchmarkSessionMemory(b *testing.B) {
	for b.Loop() {
		r := newRig(b, 1_000_000, false)
		b.ReportMetric(r.off.Workers()[0].Sessions().Bytes(), "B/session")
	}
}
