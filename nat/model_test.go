package nat

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
)

// outsideOf returns the mapping of f to an outside endpoint.
func outsideOf(rule *Rule, f Flow, addr uint32, port uint16) *entry {
	e := entryFor(f, rule.overload)
	e.outside = addr
	if classOf(f.Proto) != classOther {
		e.outPort = port
	}
	return &e
}

// A model is State in the plainest way: a list of mappings, searched from its
// start. It checks each answer of the State and takes it over.
type model struct {
	t        *testing.T
	mappings []*modelMapping
}

type modelMapping struct {
	f        Flow // of the first session
	tr       Translation
	filter   Filtering
	remotes  map[uint32]int
	sessions int
	unproven bool
	tracked  bool
	// perRemote says that it is for f.Dst only.
	perRemote bool
	// freed is when the last session went, in seconds; it rests if sessions is 0.
	freed int64
}

// perRemote says whether flows of f have a mapping for each remote host.
func perRemote(f Flow, rule *Rule) bool {
	class := classOf(f.Proto)
	return class == classOther || rule.overload && class != classICMP
}

func (m *modelMapping) sameInside(f Flow, rule *Rule) bool {
	return m.f.Src == f.Src && m.f.Proto == f.Proto && m.f.SrcPort == f.SrcPort &&
		m.perRemote == perRemote(f, rule) && (!m.perRemote || m.f.Dst == f.Dst)
}

func (m *modelMapping) sameOutside(f Flow, rule *Rule, tr Translation) bool {
	return m.tr.Addr == tr.Addr && m.tr.Port == tr.Port && m.f.Proto == f.Proto &&
		(!m.perRemote || !perRemote(f, rule) || m.f.Dst == f.Dst)
}

// mapped checks what Map answered for f.
func (m *model) mapped(rule *Rule, f Flow, egress uint32, tr Translation, reason drop.Reason) {
	m.t.Helper()
	var known *modelMapping
	for _, x := range m.mappings {
		if x.sameInside(f, rule) && rule.allows(outsideOf(rule, f, x.tr.Addr, x.tr.Port), egress) {
			known = x
		}
	}
	switch {
	case reason != drop.None && known != nil:
		m.t.Fatalf("%+v: refused as %v; want the mapping %+v", f, reason, known.tr)
	case reason != drop.None:
		m.refused(rule, f, egress, reason)
		return
	case known != nil && known.tr != tr:
		m.t.Fatalf("%+v: got %+v; want the mapping %+v", f, tr, known.tr)
	case known == nil:
		for _, x := range m.mappings {
			if x.sameOutside(f, rule, tr) {
				m.t.Fatalf("%+v: got %+v, which %+v has", f, tr, x.f)
			}
		}
		if !rule.allows(outsideOf(rule, f, tr.Addr, tr.Port), egress) {
			m.t.Fatalf("%+v: got %+v, which rule %q does not allow", f, tr, rule.Name)
		}
		known = &modelMapping{f: f, tr: tr, remotes: map[uint32]int{}, perRemote: perRemote(f, rule), tracked: rule.filtering == AddressDependent}
		m.mappings = append(m.mappings, known)
	}
	if known.sessions == 0 {
		known.unproven = false
	}
	known.filter = rule.filtering
	known.sessions++
	known.remotes[f.Dst]++
}

// refused checks that there was really nothing to give, for rules with one
// address: of a pool a host can be refused by its pairing.
func (m *model) refused(rule *Rule, f Flow, egress uint32, reason drop.Reason) {
	m.t.Helper()
	class := classOf(f.Proto)
	if rule.maxPorts > 0 && reason == drop.NATLimit {
		n := 0
		for _, x := range m.mappings {
			if x.f.Src == f.Src && classOf(x.f.Proto) == class && rule.admits(x.tr.Addr, egress) {
				n++
			}
		}
		if n < int(rule.maxPorts) {
			m.t.Fatalf("%+v: refused with %d of %d mappings", f, n, rule.maxPorts)
		}
		return
	}
	if reason != drop.NATPortsExhausted {
		m.t.Fatalf("%+v: refused as %v", f, reason)
	}
	if rule.Kind != Masquerade || class == classOther || rule.overload {
		return
	}
	taken := map[uint16]bool{}
	for _, x := range m.mappings {
		if x.tr.Addr == egress && x.f.Proto == f.Proto {
			taken[x.tr.Port] = true
		}
	}
	within := rule.portRange(outsideOf(rule, f, egress, 0))
	for p := int(within.First); p <= int(within.Last); p++ {
		if !taken[uint16(p)] && rule.allows(outsideOf(rule, f, egress, uint16(p)), egress) {
			m.t.Fatalf("%+v: refused although port %d is free", f, p)
		}
	}
}

// released ends a session of the i-th mapping.
func (m *model) released(i int, remote uint32, closed bool, now int64) {
	x := m.mappings[i]
	x.remotes[remote]--
	x.unproven = x.unproven || !closed
	if x.sessions--; x.sessions > 0 {
		return
	}
	x.freed = now
	if !x.unproven || x.filter == AddressAndPortDependent || x.perRemote {
		m.drop(i)
	}
}

func (m *model) drop(i int) {
	m.mappings[i] = m.mappings[len(m.mappings)-1]
	m.mappings = m.mappings[:len(m.mappings)-1]
}

// sync drops resting mappings that the State has given up, none before its time.
func (m *model) sync(st *State, now int64) {
	m.t.Helper()
	there := map[Handle]bool{}
	for x := range st.Mappings() {
		there[x.Handle] = true
	}
	for i := len(m.mappings) - 1; i >= 0; i-- {
		x := m.mappings[i]
		if there[x.tr.Handle] {
			continue
		}
		if x.sessions > 0 || now-x.freed < 120 {
			m.t.Fatalf("mapping %+v is gone at %d s: %+v", x.tr, now, x)
		}
		m.drop(i)
	}
	if len(m.mappings) != len(there) {
		m.t.Fatalf("got %d mappings; want %d", len(there), len(m.mappings))
	}
}

func modelSection(filter Filtering) Section {
	small, limited := pool("198.51.100.8", "198.51.100.10"), masquerade()
	small.To, small.Ports, small.Filtering = pfx("203.0.113.80/31"), PortRange{1000, 1040}, filter
	limited.Name, limited.From, limited.MaxPorts = "limited", pfx("10.0.0.1/32"), 5
	shared := masquerade()
	shared.Name, shared.To, shared.Ports, shared.Overload = "shared", pfx("203.0.113.82/32", "203.0.113.84/32"), PortRange{1024, 1026}, true
	rest := masquerade()
	rest.Ports, rest.Filtering = PortRange{1020, 1060}, filter
	return Section{
		Sources:  []Source{small, limited, shared, rest},
		Reserved: []Reserved{{Proto: flow.UDP, Ports: PortRange{1030, 1034}}},
	}
}

func randomFlow(c *rand.Rand) Flow {
	f := udp(alice+c.Uint32N(6), uint16(1015+c.Uint32N(30)), server+c.Uint32N(5), uint16(c.Uint32N(3)))
	switch c.IntN(6) {
	case 0:
		f.Proto = flow.TCP
	case 1:
		return icmp(f.Src, f.SrcPort, f.Dst)
	case 2:
		return other(flow.GRE, f.Src, f.Dst)
	}
	return f
}

func TestStateAgreesWithModel(t *testing.T) {
	for seed := range uint64(12) {
		runModel(t, seed, 4000)
	}
}

func FuzzStateAgreesWithModel(f *testing.F) {
	f.Add(uint64(99))
	f.Fuzz(func(t *testing.T, seed uint64) { runModel(t, seed, 500) })
}

// runModel makes random calls of a State and a model of it.
func runModel(t *testing.T, seed uint64, calls int) {
	c := rand.New(rand.NewPCG(seed, 99))
	st := New(Config{Seed: [32]byte{byte(seed)}})
	r := compileFor(t, st, modelSection(Filtering(seed%3)))
	m := &model{t: t}
	now := int64(1000) // seconds
	for range calls {
		now += int64(c.IntN(4))
		st.Expire(now * second)
		m.sync(st, now)
		switch c.IntN(8) {
		case 0, 1, 2:
			m.releaseOne(st, c, now)
		case 3:
			m.inbound(st, c)
		default:
			f := randomFlow(c)
			rule := r.Source(f, outsidePort)
			tr, reason := st.Map(rule, f, wan, now*second)
			m.mapped(rule, f, wan, tr, reason)
		}
	}
	for len(m.mappings) > 0 {
		m.releaseOne(st, c, now)
		st.Expire((now + 200) * second)
		m.sync(st, now+200)
	}
	wantEmpty(t, st)
}

// releaseOne ends one session of a random mapping.
func (m *model) releaseOne(st *State, c *rand.Rand, now int64) {
	if len(m.mappings) == 0 {
		return
	}
	i := c.IntN(len(m.mappings))
	for remote, n := range m.mappings[i].remotes {
		if n > 0 {
			closed := c.IntN(2) == 0
			st.Release(m.mappings[i].tr.Handle, remote, now*second, closed)
			m.released(i, remote, closed, now)
			return
		}
	}
}

// inbound sends a packet from a random remote to the outside of a mapping.
func (m *model) inbound(st *State, c *rand.Rand) {
	m.t.Helper()
	if len(m.mappings) == 0 {
		return
	}
	x := m.mappings[c.IntN(len(m.mappings))]
	f := Flow{Src: server + c.Uint32N(4), Dst: x.tr.Addr, SrcPort: 53, DstPort: x.tr.Port, Proto: x.f.Proto}
	if classOf(f.Proto) == classOther {
		f.Src, f.SrcPort = x.f.Dst, 0
	}
	tr, reason := st.Inbound(f)
	mayPass := x.filter == EndpointIndependent || x.filter == AddressDependent && x.remotes[f.Src] > 0
	mustPass := x.sessions > 0 && (x.filter == EndpointIndependent || mayPass && x.tracked)
	if tr.Handle == 0 {
		if mustPass {
			m.t.Fatalf("%+v: refused as %v; want inside %+v", f, reason, x.f)
		}
		return
	}
	if !mayPass || x.sessions == 0 || tr.Addr != x.f.Src || tr.Port != x.f.SrcPort {
		m.t.Fatalf("%+v: got %+v by %+v", f, tr, x)
	}
	x.sessions++
	x.remotes[f.Src]++
}

// wantEmpty checks that nothing is left behind.
func wantEmpty(t *testing.T, st *State) {
	t.Helper()
	if got := st.Stats(); got.Mappings != 0 || got.Resting != 0 || got.Stray != 0 || st.mappings.Load() != 0 {
		t.Errorf("got %+v, %d counted; want none", got, st.mappings.Load())
	}
	if n := heldPairs(&st.hosts); n != 0 {
		t.Errorf("got %d subscribers; want 0", n)
	}
	if n := heldPairs(&st.permits); n != 0 {
		t.Errorf("got %d permits; want 0", n)
	}
	for i := range st.outside.parts {
		if n := st.outside.parts[i].held; n != 0 {
			t.Errorf("got %d mappings in the outside index; want 0", n)
		}
	}
	for i := range st.ports.slots {
		if m := st.ports.slots[i].Load(); m != nil && m.used != [1024]uint64{} {
			t.Errorf("address %08x: ports are left taken", m.addr)
		}
	}
	for _, sl := range *st.slots.Load() {
		if n := sl.Active.Load(); n != 0 {
			t.Errorf("rule %q: got %d active mappings; want 0", sl.name, n)
		}
	}
}

// TestWorkersShareState runs workers against reloads and expiry, under the race
// detector; in the end no outside tuple may be with two inside endpoints.
func TestWorkersShareState(t *testing.T) {
	type session struct {
		f  Flow
		tr Translation
	}
	const workers, rounds = 4, 10_000
	st := New(Config{})
	var sessions [workers][]session
	var wg sync.WaitGroup
	for w := range workers {
		r := compileFor(t, st, modelSection(Filtering(w%3)))
		wg.Go(func() {
			c := rand.New(rand.NewPCG(uint64(w), 5))
			own := &sessions[w]
			for n := range rounds {
				now := int64(n) * second / 50
				if len(*own) > 40 || len(*own) > 0 && c.IntN(3) == 0 {
					i := c.IntN(len(*own))
					st.Release((*own)[i].tr.Handle, (*own)[i].f.Dst, now, c.IntN(2) == 0)
					(*own)[i] = (*own)[len(*own)-1]
					*own = (*own)[:len(*own)-1]
					continue
				}
				f := randomFlow(c)
				rule := r.Source(f, outsidePort)
				tr, reason := st.Map(rule, f, wan, now)
				if reason != drop.None {
					continue
				}
				*own = append(*own, session{f, tr})
				if n%500 == 0 {
					st.Bind(mustCompile(modelSection(Filtering(n / 500 % 3))))
					st.Expire(now)
					st.Keep(tr.Handle, rule, f, wan)
				}
			}
		})
	}
	wg.Wait()
	type tuple struct {
		addr, remote uint32
		port         uint16
		proto        uint8
	}
	owners := map[tuple]Flow{}
	for _, s := range slices.Concat(sessions[:]...) {
		k := tuple{addr: s.tr.Addr, port: s.tr.Port, proto: s.f.Proto}
		if classOf(s.f.Proto) == classOther || s.tr.Port <= 1026 && s.f.Dst != server && s.f.Dst != server2 {
			k.remote = s.f.Dst
		}
		if o, ok := owners[k]; ok && (o.Src != s.f.Src || o.SrcPort != s.f.SrcPort) {
			t.Errorf("%+v is with %+v and %+v", k, o, s.f)
		}
		owners[k] = s.f
		st.Release(s.tr.Handle, s.f.Dst, rounds/50*second, true)
	}
	st.Expire(10_000 * second)
	wantEmpty(t, st)
}

func mustCompile(s Section) *Rules {
	r, err := Compile(s)
	if err != nil {
		panic(err)
	}
	return r
}
