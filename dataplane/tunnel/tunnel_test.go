package tunnel

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"openvra/dataplane/drop"
)

func ip(s string) uint32 { return u32(netip.MustParseAddr(s)) }

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// config is a cluster with a worker in the gateway's subnet and one beyond a router,
// which has borrowed an address of the first one's block.
func config() Config {
	return Config{
		Name:  "cluster",
		Local: netip.MustParseAddr("192.0.2.1"),
		Mode:  CrossSubnet,
		Pools: prefixes("172.30.0.0/16"),
		Workers: []Worker{
			{Name: "near", Address: netip.MustParseAddr("192.0.2.10"), Blocks: prefixes("172.30.0.0/26", "172.30.1.0/26"), Line: 10},
			{Name: "far", Address: netip.MustParseAddr("198.51.100.10"), Blocks: prefixes("172.30.2.0/26", "172.30.0.9/32"), Line: 20},
		},
		Extra: prefixes("203.0.113.0/28"),
		Own:   []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("203.0.113.99")},
	}
}

func example(t testing.TB, change func(*Config)) *Tunnel {
	t.Helper()
	c := config()
	change(&c)
	tun, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tun
}

func TestPeerIsTheLongestBlocks(t *testing.T) {
	tun := example(t, func(*Config) {})
	rows := map[string]string{
		"172.30.0.8":  "near",
		"172.30.0.9":  "far", // borrowed
		"172.30.1.63": "near",
		"172.30.1.64": "", // in the pool, on no worker
		"172.30.2.1":  "far",
		"10.0.0.1":    "",
		"192.0.2.10":  "", // the worker itself is no pod
	}
	for dst, want := range rows {
		got := ""
		if p := tun.Peer(ip(dst)); p != nil {
			got = p.Name
		}
		if got != want {
			t.Errorf("%s: got worker %q; want %q", dst, got, want)
		}
	}
	for i, p := range tun.Peers() {
		if p.Index != i || p.Line != 10*(i+1) {
			t.Errorf("peer %d: got %+v", i, p)
		}
	}
}

func TestEncapsulates(t *testing.T) {
	subnet := netip.MustParsePrefix("192.0.2.0/24")
	rows := []struct {
		mode      Mode
		near, far bool
	}{{Never, false, false}, {CrossSubnet, false, true}, {Always, true, true}}
	for _, r := range rows {
		tun := example(t, func(c *Config) { c.Mode = r.mode })
		if got := tun.Encapsulates(ip("192.0.2.10"), subnet); got != r.near {
			t.Errorf("%v, worker in the subnet: got %v; want %v", r.mode, got, r.near)
		}
		if got := tun.Encapsulates(ip("198.51.100.10"), subnet); got != r.far {
			t.Errorf("%v, worker beyond a router: got %v; want %v", r.mode, got, r.far)
		}
	}
	if got := Always.String() + Never.String() + CrossSubnet.String(); got != "AlwaysNeverCrossSubnet" {
		t.Errorf("got %s", got)
	}
}

func TestLoops(t *testing.T) {
	tun := example(t, func(*Config) {})
	far := ip("198.51.100.10")
	rows := []struct {
		name        string
		src, worker uint32
		want        bool
	}{
		{"a client's packet", ip("198.51.100.7"), far, false},
		{"source is our end", ip("192.0.2.1"), far, true},
		{"source is another address of ours", ip("192.0.2.2"), far, true},
		{"source is the other end", far, far, true},
		{"the other end is ours", ip("198.51.100.7"), ip("203.0.113.99"), true},
		{"the other end is our end", ip("198.51.100.7"), ip("192.0.2.1"), true},
	}
	for _, r := range rows {
		if got := tun.Loops(r.src, r.worker); got != r.want {
			t.Errorf("%s: got %v; want %v", r.name, got, r.want)
		}
	}
}

func TestAccepts(t *testing.T) {
	tun := example(t, func(c *Config) { c.Ports = []uint16{3, 5} })
	rows := []struct {
		name     string
		port     uint16
		src, dst string
		peer     string
		want     bool
	}{
		{"a worker", 3, "192.0.2.10", "192.0.2.1", "near", true},
		{"a worker beyond a router", 5, "198.51.100.10", "192.0.2.1", "far", true},
		{"an extra source", 3, "203.0.113.5", "192.0.2.1", "", true},
		{"anybody (VU#636397)", 3, "198.51.100.7", "192.0.2.1", "", false},
		{"a worker, to another address of ours", 3, "192.0.2.10", "192.0.2.2", "", false},
		{"a worker, on a port without the tunnel", 4, "192.0.2.10", "192.0.2.1", "", false},
	}
	for _, r := range rows {
		p, ok := tun.Accepts(r.port, ip(r.src), ip(r.dst))
		got := ""
		if p != nil {
			got = p.Name
		}
		if ok != r.want || got != r.peer {
			t.Errorf("%s: got %q %v; want %q %v", r.name, got, ok, r.peer, r.want)
		}
	}
	if _, ok := example(t, func(*Config) {}).Accepts(77, ip("192.0.2.10"), ip("192.0.2.1")); !ok {
		t.Error("a tunnel without ports refuses a port")
	}
}

func TestAcceptsInner(t *testing.T) {
	loose := example(t, func(*Config) {})
	strict := example(t, func(c *Config) { c.StrictSource = true })
	const okay, src, dst = drop.None, drop.TunnelInnerSource, drop.TunnelInnerDestination
	rows := []struct {
		name          string
		from          int // index of the worker, -1 for an extra source
		src, dst      string
		loose, strict drop.Reason
	}{
		{"its own pod", 0, "172.30.0.8", "198.51.100.7", okay, okay},
		{"the worker itself", 0, "192.0.2.10", "198.51.100.7", okay, okay},
		{"another worker's pod", 0, "172.30.2.1", "198.51.100.7", okay, src},
		{"an address it lent out", 0, "172.30.0.9", "198.51.100.7", okay, src},
		{"an address it borrowed", 1, "172.30.0.9", "198.51.100.7", okay, okay},
		{"another worker's address", 0, "198.51.100.10", "198.51.100.7", okay, src},
		{"a pool address on no worker", 0, "172.30.9.9", "198.51.100.7", okay, src},
		{"a pool address from an extra source", -1, "172.30.9.9", "198.51.100.7", okay, okay},
		{"a source outside (CVE-2020-10136)", 0, "10.0.0.1", "198.51.100.7", src, src},
		{"to our end, which sources are translated to", 0, "172.30.0.8", "192.0.2.1", okay, okay},
		{"to an address of ours", 0, "172.30.0.8", "203.0.113.99", dst, dst},
		{"to loopback", 0, "172.30.0.8", "127.0.0.1", dst, dst},
		{"to this network", 0, "172.30.0.8", "0.0.0.1", dst, dst},
		{"to multicast", 0, "172.30.0.8", "224.0.0.5", dst, dst},
		{"to broadcast", 0, "172.30.0.8", "255.255.255.255", dst, dst},
		{"to a pod", 0, "172.30.0.8", "172.30.2.1", okay, okay},
	}
	for _, r := range rows {
		for _, v := range []struct {
			tun  *Tunnel
			want drop.Reason
		}{{loose, r.loose}, {strict, r.strict}} {
			var from *Peer
			if r.from >= 0 {
				from = v.tun.Peers()[r.from]
			}
			if got := v.tun.AcceptsInner(from, ip(r.src), ip(r.dst)); got != v.want {
				t.Errorf("%s, strict %v: got %v; want %v", r.name, v.tun.strict, got, v.want)
			}
		}
	}
}

func TestManyPools(t *testing.T) {
	tun := example(t, func(c *Config) {
		for i := range 20 {
			c.Pools = append(c.Pools, netip.PrefixFrom(addr(0x0a000000+uint32(i)<<16), 16))
		}
	})
	for i := range uint32(21) {
		want := drop.None
		if i == 20 {
			want = drop.TunnelInnerSource
		}
		if got := tun.AcceptsInner(nil, 0x0a000001+i<<16, client); got != want {
			t.Errorf("pool %d: got %v; want %v", i, got, want)
		}
	}
	all := example(t, func(c *Config) { c.Pools = prefixes("0.0.0.0/0") })
	if got := all.AcceptsInner(nil, client, client); got != drop.None {
		t.Errorf("a pool of everything: got %v", got)
	}
}

func TestHostsAgreeWithAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		h, twin := newHosts(n), map[uint32]*Peer{}
		for i := range n {
			a := []uint32{rnd.Uint32(), 0x0a000000 + uint32(i), uint32(i) << 24}[rnd.IntN(3)]
			p := &Peer{Addr: a}
			h.add(a, p)
			twin[a] = p
		}
		for a, want := range twin {
			if got, ok := h.get(a); !ok || got != want {
				t.Fatalf("%#x: got %v %v", a, got, ok)
			}
		}
		for range 200 {
			a := rnd.Uint32N(1 << 28)
			_, want := twin[a]
			if _, ok := h.get(a); ok != want {
				t.Fatalf("%#x: got %v; want %v", a, ok, want)
			}
		}
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	rows := map[string]func(*Config){
		"local: got invalid IP":           func(c *Config) { c.Local = netip.Addr{} },
		"dscp: got 64":                    func(c *Config) { c.Options.DSCP = 64 },
		"pool: got 172.30.0.1/16":         func(c *Config) { c.Pools = prefixes("172.30.0.1/16") },
		"extra: got 2001:db8::/32":        func(c *Config) { c.Extra = prefixes("2001:db8::/32") },
		"address: got 2001:db8::1":        func(c *Config) { c.Workers[0].Address = netip.MustParseAddr("2001:db8::1") },
		"is that of worker \"near\"":      func(c *Config) { c.Workers[1].Address = c.Workers[0].Address },
		"192.0.2.1 is the gateway's own":  func(c *Config) { c.Workers[0].Address = c.Local },
		"own: got 2001:db8::1":            func(c *Config) { c.Own = []netip.Addr{netip.MustParseAddr("2001:db8::1")} },
		"block: got 172.31.0.0/26":        func(c *Config) { c.Workers[0].Blocks = prefixes("172.31.0.0/26") },
		"block: got 172.0.0.0/8":          func(c *Config) { c.Workers[0].Blocks = prefixes("172.0.0.0/8") },
		"172.30.2.0/26 is that of worker": func(c *Config) { c.Workers[0].Blocks = prefixes("172.30.2.0/26") },
	}
	for want, change := range rows {
		c := config()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v; want one with %q", err, want)
		}
	}
}
