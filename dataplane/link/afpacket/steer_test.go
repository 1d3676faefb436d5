package afpacket

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/bpf"

	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// runSteer runs the fanout program on an Ethernet frame as the kernel would: one
// tag taken off, behind the Ethernet header, with the type in the metadata.
func runSteer(t testing.TB, frame []byte) uint16 {
	t.Helper()
	typ, data := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	if (typ == header.TypeVLAN || typ == header.TypeQinQ) && len(data) >= 4 {
		typ, data = binary.BigEndian.Uint16(data[2:]), data[4:]
	}
	prog := steerProgram()
	if prog[0] != (bpf.LoadExtension{Num: bpf.ExtProto}) {
		t.Fatal("the program does not start with the type")
	}
	prog[0] = bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(typ)} // the VM has no metadata
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatalf("program: %v", err)
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return uint16(got)
}

func checkSteer(t testing.TB, frame []byte) {
	t.Helper()
	if got, want := runSteer(t, frame), link.Steer(frame, false); got != want {
		t.Errorf("frame %x: the program says %d; want %d", frame[:min(len(frame), 80)], got, want)
	}
}

func TestSteerProgramEqualsSteer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		f := linktest.UDP(r.IntN(1<<16), 20, false)
		ip := header.IPv4(f.Bytes[14:])
		ip.SetSrc(r.Uint32())
		ip.SetDst(r.Uint32())
		ip.SetProtocol([]uint8{flow.UDP, flow.TCP, flow.ICMP, flow.IPIP, flow.ESP}[r.IntN(5)])
		if r.IntN(4) == 0 {
			ip.SetFragment(uint16(r.Uint32()))
		}
		ip[0] = byte(0x40 + r.IntN(32))
		b := f.Bytes
		for range r.IntN(3) {
			b = linktest.IPIP(b, false)
		}
		f.Bytes = b[:len(b)-r.IntN(len(b)-14+1)]
		for range r.IntN(3) {
			f = f.Tagged([]uint32{0x8100_0001, 0x88a8_0002, 0x9100_0003}[r.IntN(3)])
		}
		checkSteer(t, f.Bytes)
	}
}

func FuzzSteerProgram(f *testing.F) {
	f.Add(linktest.UDP(1, 20, false).Tagged(0x8100_0001).Bytes)
	f.Add(linktest.IPIP(linktest.UDP(1, 20, false).Bytes, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 14 {
			checkSteer(t, b)
		}
	})
}

func TestQueuesAreSteeredByTheKernel(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a", Queues: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-b")
	const n = 60
	for i := range n {
		f := linktest.UDP(i, 20, false)
		switch i % 3 {
		case 1:
			f = f.Tagged(0x8100_0007)
		case 2:
			f = linktest.Frame{Bytes: linktest.IPIP(f.Bytes, false)}.Tagged(0x8100_0007).Tagged(0x88a8_0008)
		}
		w.Send(f)
	}
	total := 0
	var b packet.Batch
	for i, q := range p.Queues() {
		if err := q.Rx(&b); err != nil {
			t.Fatal(err)
		}
		if b.N == 0 {
			t.Errorf("queue %d: got nothing", i)
		}
		for j := range b.P[:b.N] {
			if got := int(link.Steer(linktest.Whole(&b.P[j]).Bytes, false)) % 3; got != i {
				t.Errorf("queue %d: got a frame of queue %d", i, got)
			}
		}
		total += b.N
	}
	if total != n {
		t.Errorf("got %d frames; want %d, each once", total, n)
	}
	if n, err := p.Queues()[2].Tx([]*packet.Packet{linktest.UDP(1, 20, false).Packet()}); n != 1 || err != nil {
		t.Errorf("Tx: got %d, %v; want 1", n, err)
	}
	for i, q := range p.Queues() {
		if err := q.Rx(&b); err != nil || b.N != 0 {
			t.Errorf("queue %d: got %d frames that the port sent itself, %v", i, b.N, err)
		}
	}
}
