package afpacket

import (
	"fmt"
	"testing"

	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// BenchmarkForward measures a packet's way through the driver and the kernel
// around it, all on one thread: sent into a veth, received at its other end, sent
// into a second veth, dropped at its other end.
func BenchmarkForward(b *testing.B) {
	for _, n := range []int{18, 1400} {
		b.Run(fmt.Sprintf("bytes=%d", n+42), func(b *testing.B) {
			linktest.Namespace(b)
			var ports [3]*Port
			linktest.Veth(b, "vra-x0", "vra-x1")
			linktest.Veth(b, "vra-y0", "vra-y1")
			for i, device := range []string{"vra-x1", "vra-x0", "vra-y0"} {
				p, err := Open(Options{Device: device, Guarded: true})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { p.Close() })
				ports[i] = p
			}
			generator, in, out := ports[0].Queues()[0], ports[1].Queues()[0], ports[2].Queues()[0]
			frames := make([]*packet.Packet, packet.BatchSize)
			for i := range frames {
				frames[i] = linktest.UDP(i, n, false).Packet()
			}
			var batch packet.Batch
			ps := make([]*packet.Packet, packet.BatchSize)
			forwarded := 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := generator.Tx(frames); err != nil {
					b.Fatal(err)
				}
				for {
					if err := in.Rx(&batch); err != nil {
						b.Fatal(err)
					}
					if batch.N == 0 {
						break
					}
					for i := range batch.N {
						ps[i] = &batch.P[i]
					}
					m, err := out.Tx(ps[:batch.N])
					if err != nil {
						b.Fatal(err)
					}
					forwarded += m
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(forwarded, 1)), "ns/pkt")
			if forwarded < b.N*packet.BatchSize/2 {
				b.Errorf("%d packets forwarded of %d", forwarded, b.N*packet.BatchSize)
			}
		})
	}
}
