package nat

import (
	"testing"

	"openvra/dataplane/drop"
)

func overload() Source {
	s := masquerade()
	s.Overload = true
	return s
}

func TestOverloadSharesAPortBetweenRemotes(t *testing.T) {
	s := overload()
	s.Ports = PortRange{40000, 40001}
	st, r := newTest(t, sourceOnly(s))
	for n := range uint32(100) {
		got := mapFlow(t, st, r, udp(alice+n, 40000, server+n, 53), 0)
		wantOutside(t, got, wan, 40000)
	}
	a := mapFlow(t, st, r, udp(alice, 40000, server, 53), 0)
	if again := mapFlow(t, st, r, udp(alice, 40000, server, 99), 0); again != a {
		t.Errorf("got %+v to another port of the remote; want %+v", again, a)
	}
	wantOutside(t, mapFlow(t, st, r, udp(bob, 40000, server, 53), 0), wan, 40001)
	if _, reason := tryMap(t, st, r, udp(bob, 40001, server, 53), 0); reason != drop.NATPortsExhausted {
		t.Errorf("third endpoint to one remote on two ports: got %v", reason)
	}
	before := st.Stats().WordsLooked
	for range 1000 {
		tryMap(t, st, r, udp(bob, 40001, server, 53), 0)
	}
	if n := st.Stats().WordsLooked - before; n > 1000*maxShares {
		t.Errorf("got %d ports tried for 1,000 refused flows", n)
	}
}

func TestOverloadAndOthersDoNotShareAPort(t *testing.T) {
	plain := masquerade()
	plain.Name, plain.From = "plain", pfx("10.0.0.1/32")
	st, r := newTest(t, Section{Sources: []Source{plain, overload()}})
	wantOutside(t, mapFlow(t, st, r, udp(alice, 40000, server, 53), 0), wan, 40000)
	if b := mapFlow(t, st, r, udp(bob, 40000, server2, 53), 0); b.Port == 40000 {
		t.Error("an overloaded mapping took the port of another")
	}
	wantOutside(t, mapFlow(t, st, r, udp(bob, 41000, server2, 53), 0), wan, 41000)
	if a := mapFlow(t, st, r, udp(alice, 41000, server, 53), 0); a.Port == 41000 {
		t.Error("a mapping took a port that overloaded ones share")
	}
}

func TestOverloadIsTakenBackByReload(t *testing.T) {
	st, r := newTest(t, sourceOnly(overload()))
	f := udp(alice, 40000, server, 53)
	tr := mapFlow(t, st, r, f, 0)
	if !st.Keep(tr.Handle, r.Source(f, outsidePort), f, wan) {
		t.Error("a mapping is not kept under the same rule")
	}
	r2 := compileFor(t, st, sourceOnly(masquerade()))
	if st.Keep(tr.Handle, r2.Source(f, outsidePort), f, wan) {
		t.Error("an overloaded mapping is kept under a rule that does not overload")
	}
	open := masquerade()
	open.Filtering = EndpointIndependent
	compileFor(t, st, sourceOnly(open))
	if got, _ := st.Inbound(udp(server2, 53, tr.Addr, tr.Port)); got.Handle != 0 {
		t.Errorf("a stranger gets %+v by an overloaded mapping", got)
	}
	st.Release(tr.Handle, server, 0, false)
	wantEmpty(t, st)
}

func TestMappingStaysWhenItsRuleComesToOverload(t *testing.T) {
	st, r := newTest(t, sourceOnly(masquerade()))
	f := udp(alice, 40000, server, 53)
	tr := mapFlow(t, st, r, f, 0)
	r = compileFor(t, st, sourceOnly(overload()))
	if !st.Keep(tr.Handle, r.Source(f, outsidePort), f, wan) {
		t.Error("the session of a mapping for all remotes is cut")
	}
}
