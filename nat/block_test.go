package nat

import (
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// blocks gives 252 hosts 512 ports each, of two addresses.
func blocks() Source {
	s := pool("198.51.100.8", "198.51.100.9")
	s.From = pfx("10.0.0.0/25", "10.0.1.0/26", "10.0.2.0/27", "10.0.3.0/28", "10.0.4.0/29", "10.0.5.0/30")
	s.Ports = PortRange{1024, 65535}
	s.Block = 512
	return s
}

func TestN55DeterministicBlocksNeedNoLog(t *testing.T) {
	st, r := newTest(t, sourceOnly(blocks()))
	type span struct {
		addr  uint32
		block uint16
	}
	owners := map[span]uint32{}
	hosts := 0
	for _, from := range blocks().From {
		for inside := prefixSpan(from).first; inside <= prefixSpan(from).last; inside++ {
			hosts++
			for n := range uint16(4) {
				f := udp(inside, 100+n, server, 53)
				if n == 0 {
					f = icmp(inside, 100, server)
				}
				tr := mapFlow(t, st, r, f, 0)
				rule := r.Source(f, outsidePort)
				if got, ok := rule.Subscriber(tr.Addr, tr.Port); !ok || got != inside {
					t.Fatalf("subscriber of %08x:%d: got %08x, %v; want %08x", tr.Addr, tr.Port, got, ok, inside)
				}
				k := span{tr.Addr, (tr.Port - 1024) / 512}
				if o, ok := owners[k]; ok && o != inside {
					t.Fatalf("hosts %08x and %08x share a block", o, inside)
				}
				owners[k] = inside
			}
		}
	}
	if len(owners) != hosts || hosts != 252 {
		t.Errorf("got %d blocks for %d hosts; want 252", len(owners), hosts)
	}
}

func TestBlockIsTheHostsLimit(t *testing.T) {
	st, r := newTest(t, sourceOnly(blocks()))
	for n := range uint16(512) {
		mapFlow(t, st, r, udp(alice, 2000+n, server, 53), 0)
	}
	if _, reason := tryMap(t, st, r, udp(alice, 9000, server, 53), 0); reason != drop.NATPortsExhausted {
		t.Errorf("513th port: got %v; want %v", reason, drop.NATPortsExhausted)
	}
	mapFlow(t, st, r, udp(bob, 9000, server, 53), 0)
	a, b := mapFlow(t, st, r, other(flow.GRE, alice, server), 0), mapFlow(t, st, r, tcp(alice, 1, server, 1), 0)
	if a.Addr != b.Addr {
		t.Errorf("got addresses %08x and %08x for one host", a.Addr, b.Addr)
	}
}

func TestSubscriberOfForeignTuples(t *testing.T) {
	_, r := newTest(t, sourceOnly(blocks()))
	rule := r.All()[0]
	for _, x := range []struct {
		addr string
		port uint16
	}{{"198.51.100.7", 2000}, {"198.51.100.8", 1023}} {
		if got, ok := rule.Subscriber(ip(x.addr), x.port); ok {
			t.Errorf("%s:%d: got %08x; want nobody", x.addr, x.port, got)
		}
	}
	_, r = newTest(t, sourceOnly(pool("198.51.100.8", "198.51.100.9")))
	if got, ok := r.All()[0].Subscriber(ip("198.51.100.8"), 2000); ok {
		t.Errorf("got %08x of a rule without blocks", got)
	}
}
