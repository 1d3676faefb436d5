package afpacket

import (
	"testing"

	"openvra/dataplane/header"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// The limit that the package comment tells of: the kernel refuses, and what comes
// after is sent all the same.
func TestSuperPacketsInTunnelsAreRefused(t *testing.T) {
	linktest.Namespace(t)
	linktest.Veth(t, "vra-a", "vra-b")
	p, err := Open(Options{Device: "vra-a"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	w := linktest.NewWire(t, "vra-b")
	f := linktest.SuperTCP(20000, 1400, false)
	f.Bytes = linktest.IPIP(f.Bytes, false)
	f.Offload.CsumStart += header.IPv4Len
	ps := []*packet.Packet{f.Packet(), linktest.UDP(1, 20, false).Packet()}
	if n, err := p.Queues()[0].Tx(ps); n != 1 || err != nil {
		t.Errorf("Tx: got %d, %v; want 1: the super-packet refused, the other one sent", n, err)
	}
	if s := p.Stats(); s.TxRefused != 1 {
		t.Errorf("Stats: got %+v; want 1 refused", s)
	}
	if got := w.Receive(1); len(got) != 1 || len(got[0].Bytes) != 62 {
		t.Errorf("%d frames left; want the ordinary one", len(got))
	}
}
