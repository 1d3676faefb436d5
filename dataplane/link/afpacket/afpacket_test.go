package afpacket

import (
	"testing"

	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
)

func TestContract(t *testing.T) {
	linktest.Run(t, linktest.Driver{
		Segments: true,
		Open: func(t *testing.T, arriving []linktest.Frame) (link.Port, func(int) []linktest.Frame) {
			linktest.Namespace(t)
			linktest.Veth(t, "vra-a", "vra-b")
			p, err := Open(Options{Device: "vra-a", Guarded: true})
			if err != nil {
				t.Fatal(err)
			}
			w := linktest.NewWire(t, "vra-b")
			w.Send(arriving...)
			return p, w.Receive
		},
	})
}
