package nat

import (
	"net/netip"
	"testing"
	"time"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// The network of these tests: port 0 is outside, port 1 inside.
const (
	outsidePort = 0
	insidePort  = 1
)

func ip(s string) uint32 { return addr4(netip.MustParseAddr(s)) }

func pfx(ss ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func addrs(first, last string) AddrRange {
	return AddrRange{netip.MustParseAddr(first), netip.MustParseAddr(last)}
}

// newTest returns a State and the rules bound to it.
func newTest(t testing.TB, s Section) (*State, *Rules) {
	t.Helper()
	st := New(Config{Seed: [32]byte{1}})
	return st, compileFor(t, st, s)
}

func compileFor(t testing.TB, st *State, s Section) *Rules {
	t.Helper()
	r, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	st.Bind(r)
	return r
}

var (
	wan     = ip("198.51.100.1")
	alice   = ip("10.0.0.1")
	bob     = ip("10.0.0.2")
	server  = ip("203.0.113.80")
	server2 = ip("203.0.113.81")
)

func masquerade() Source { return Source{Name: "masq", Out: Links(outsidePort), Kind: Masquerade} }

func pool(first, last string) Source {
	return Source{Name: "pool", Out: Links(outsidePort), Kind: Pool, Addresses: []AddrRange{addrs(first, last)}}
}

func sourceOnly(s Source) Section { return Section{Sources: []Source{s}} }

func udp(src uint32, sport uint16, dst uint32, dport uint16) Flow {
	return Flow{Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Proto: flow.UDP, In: insidePort}
}

func tcp(src uint32, sport uint16, dst uint32, dport uint16) Flow {
	f := udp(src, sport, dst, dport)
	f.Proto = flow.TCP
	return f
}

func icmp(src uint32, id uint16, dst uint32) Flow {
	f := udp(src, id, dst, id)
	f.Proto = flow.ICMP
	return f
}

func other(proto uint8, src, dst uint32) Flow {
	return Flow{Src: src, Dst: dst, Proto: proto, In: insidePort}
}

// mapFlow maps f by the rule that the rules have for it, and fails without one.
func mapFlow(t testing.TB, st *State, r *Rules, f Flow, now int64) Translation {
	t.Helper()
	tr, reason := tryMap(t, st, r, f, now)
	if reason != drop.None {
		t.Fatalf("mapping %+v: dropped as %v", f, reason)
	}
	return tr
}

func tryMap(t testing.TB, st *State, r *Rules, f Flow, now int64) (Translation, drop.Reason) {
	t.Helper()
	rule := r.Source(f, outsidePort)
	if rule == nil {
		t.Fatalf("no source rule for %+v", f)
	}
	return st.Map(rule, f, wan, now)
}

func wantOutside(t *testing.T, got Translation, addr uint32, port uint16) {
	t.Helper()
	if got.Addr != addr || got.Port != port {
		t.Fatalf("got outside %08x:%d; want %08x:%d", got.Addr, got.Port, addr, port)
	}
}

const second = int64(time.Second)

func TestN1EndpointIndependentMapping(t *testing.T) {
	for _, proto := range []uint8{flow.TCP, flow.UDP} {
		st, r := newTest(t, sourceOnly(masquerade()))
		f := udp(alice, 40000, server, 443)
		f.Proto = proto
		first := mapFlow(t, st, r, f, 0)
		f.Dst, f.DstPort = server2, 53
		if again := mapFlow(t, st, r, f, 0); again != first {
			t.Errorf("protocol %d: got %+v to a second server; want %+v", proto, again, first)
		}
		if n := st.Stats().Mappings; n != 1 {
			t.Errorf("protocol %d: got %d mappings; want 1", proto, n)
		}
	}
}

func TestN1HoldsAcrossRulesWithTheSamePool(t *testing.T) {
	web, rest := masquerade(), masquerade()
	web.Name, web.To = "web", pfx("203.0.113.80/32")
	st, r := newTest(t, Section{Sources: []Source{web, rest}})
	first := mapFlow(t, st, r, udp(alice, 40000, server, 443), 0)
	second := mapFlow(t, st, r, udp(alice, 40000, server2, 443), 0)
	if first != second {
		t.Errorf("got %+v and %+v by two masquerade rules; want the same", first, second)
	}
}

func TestN3NoPortOverloading(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	a := mapFlow(t, st, r, udp(alice, 40000, server, 443), 0)
	b := mapFlow(t, st, r, udp(bob, 40000, server2, 443), 0)
	wantOutside(t, a, wan, 40000)
	if b.Port == a.Port {
		t.Errorf("two inside hosts share outside port %d", a.Port)
	}
	c := mapFlow(t, st, r, tcp(bob, 40000, server, 443), 0)
	wantOutside(t, c, wan, 40000)
}

func TestN4RangeClassAndN5Parity(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	for _, port := range []uint16{1, 500, 501, 1023, 1024, 1025, 40000, 65535} {
		for n := range uint32(50) {
			tr := mapFlow(t, st, r, udp(alice+n, port, server, 53), 0)
			if n == 0 && tr.Port != port {
				t.Errorf("port %d: got %d though it was free", port, tr.Port)
			}
			if tr.Port == 0 || tr.Port < 1024 != (port < 1024) {
				t.Errorf("port %d: got %d; want its class", port, tr.Port)
			}
			if tr.Port&1 != port&1 {
				t.Errorf("port %d: got %d; want its parity", port, tr.Port)
			}
		}
	}
}

func TestN4WithTheUsualRangeKeepsLowPortsLow(t *testing.T) {
	s := masquerade()
	for _, row := range []struct {
		ports  PortRange
		lowest uint16
	}{{PortRange{}, 1}, {PortRange{1024, 65535}, 1}, {PortRange{2000, 2999}, 2000}} {
		s.Ports = row.ports
		st, r := newTest(t, sourceOnly(s))
		if got := mapFlow(t, st, r, udp(alice, 123, server, 123), 0).Port; got < row.lowest || row.lowest == 1 && got != 123 {
			t.Errorf("range %v: got port %d for 123", row.ports, got)
		}
	}
}

func TestMapReleaseReuse(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	a := mapFlow(t, st, r, tcp(alice, 40000, server, 443), 0)
	b := mapFlow(t, st, r, tcp(alice, 40000, server2, 443), 0)
	st.Release(a.Handle, server, second, true)
	if n := st.Stats().Mappings; n != 1 {
		t.Fatalf("got %d mappings with one of two sessions left; want 1", n)
	}
	st.Release(b.Handle, server2, second, true)
	if n := st.Stats().Mappings; n != 0 {
		t.Fatalf("got %d mappings after the last session; want 0", n)
	}
	wantOutside(t, mapFlow(t, st, r, tcp(bob, 40000, server, 443), second), wan, 40000)
}

func TestDestinationAndOneToOne(t *testing.T) {
	_, r := newTest(t, Section{
		OneToOne: []OneToOne{{
			Name: "net", Outside: netip.MustParsePrefix("198.51.100.128/28"),
			Inside: netip.MustParsePrefix("10.1.0.16/28"), Links: Links(outsidePort),
		}},
		Destinations: []Destination{
			{
				Name: "web", In: Links(outsidePort), To: pfx("198.51.100.1/32"), Protos: []uint8{flow.TCP},
				Ports: []PortRange{{8000, 8099}}, New: netip.MustParsePrefix("10.0.0.80/32"), NewPorts: PortRange{9000, 9099},
			},
			{
				Name: "rest", In: Links(outsidePort), To: pfx("198.51.100.1/32"),
				New: netip.MustParsePrefix("10.0.0.99/32"),
			},
		},
	})
	in := func(dst string, port uint16) Flow {
		f := tcp(server, 5555, ip(dst), port)
		f.In = outsidePort
		return f
	}
	for _, row := range []struct {
		f    Flow
		rule string
		addr string
		port uint16
	}{
		{in("198.51.100.133", 22), "net", "10.1.0.21", 22},
		{in("198.51.100.1", 8042), "web", "10.0.0.80", 9042},
		{in("198.51.100.1", 8100), "rest", "10.0.0.99", 8100},
	} {
		got, ok := r.Destination(row.f)
		if !ok || got.Rule.Name != row.rule || got.Addr != ip(row.addr) || got.Port != row.port {
			t.Errorf("%+v: got %+v, %v; want %s %s:%d", row.f, got, ok, row.rule, row.addr, row.port)
		}
	}
	if got, ok := r.Destination(in("198.51.100.2", 80)); ok {
		t.Errorf("got %+v for an address of no rule", got)
	}
	st := New(Config{})
	st.Bind(r)
	f := tcp(ip("10.1.0.21"), 22, server, 5555)
	wantOutside(t, mapFlow(t, st, r, f, 0), ip("198.51.100.133"), 22)
}

func TestRulesAreNumberedAsListed(t *testing.T) {
	_, r := newTest(t, Section{
		OneToOne:     []OneToOne{{Name: "one", Outside: pfx("198.51.100.7/32")[0], Inside: pfx("10.0.0.7/32")[0]}},
		Destinations: []Destination{{Name: "web", To: pfx("198.51.100.1/32"), New: pfx("10.0.0.2/32")[0], Log: true}},
		Sources:      []Source{masquerade()},
	})
	want := []string{"one", "web", "masq", HairpinRule}
	for i, rule := range r.All() {
		if i >= len(want) || rule.Name != want[i] || int(rule.Number) != i+1 || rule.Log() != (rule.Name == "web") {
			t.Errorf("rule %d: got %q, number %d, log %v", i, rule.Name, rule.Number, rule.Log())
		}
	}
	to, _ := r.Destination(udp(server, 1, ip("198.51.100.7"), 1))
	if from := r.Source(udp(ip("10.0.0.7"), 1, server, 1), 0); from != to.Rule || from != r.All()[0] {
		t.Error("the two directions of a one-to-one rule are two rules")
	}
	if r.HairpinSource(udp(ip("10.9.9.9"), 1, wan, 1)).Name != "masq" {
		t.Error("a hairpin does not take the source rule")
	}
}
