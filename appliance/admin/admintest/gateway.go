// Package admintest is a gateway of fixed answers, for tests of what shows one.
package admintest

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"openvra/appliance/admin"
)

// A Gateway answers with its fields. Tests set them before it is asked. Sessions
// are filtered as a real gateway does. Safe for concurrent use.
type Gateway struct {
	StatusView   admin.Status
	PortList     []admin.Port
	RouteList    []admin.Route
	NeighborList []admin.Neighbor
	TunnelList   []admin.Tunnel
	SessionItems []admin.Session
	DropList     []admin.Drop
	ConfigText   string
	// OnReload makes the result of a reload; nil applies.
	OnReload func(context.Context) admin.ReloadResult

	mu      sync.Mutex
	reloads int
}

// Reloads is how often Reload was called.
func (g *Gateway) Reloads() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reloads
}

func (g *Gateway) Status() admin.Status        { return g.StatusView }
func (g *Gateway) Ports() []admin.Port         { return g.PortList }
func (g *Gateway) Routes() []admin.Route       { return g.RouteList }
func (g *Gateway) Neighbors() []admin.Neighbor { return g.NeighborList }
func (g *Gateway) Tunnels() []admin.Tunnel     { return g.TunnelList }
func (g *Gateway) Drops() []admin.Drop         { return g.DropList }
func (g *Gateway) Config() []byte              { return []byte(g.ConfigText) }

func (g *Gateway) Reload(ctx context.Context) admin.ReloadResult {
	g.mu.Lock()
	g.reloads++
	g.mu.Unlock()
	if g.OnReload != nil {
		return g.OnReload(ctx)
	}
	return admin.ReloadResult{OK: true, Generation: 2}
}

func (g *Gateway) Sessions(f admin.SessionFilter, limit int) (shown []admin.Session, total int) {
	for i := range g.SessionItems {
		if !f.Match(&g.SessionItems[i]) {
			continue
		}
		if total++; len(shown) < limit {
			shown = append(shown, g.SessionItems[i])
		}
	}
	return shown, total
}

// Edge returns a small edge gateway: two ports, a tunnel to two workers, a pod's
// masqueraded HTTPS, a published service and a ping to the gateway.
func Edge() *Gateway {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Gateway{
		StatusView: admin.Status{
			Version: "0.1.0", PID: 4711, Started: start, UptimeSeconds: 3723, Generation: 3,
			ConfigFile: "/etc/vra/vra.yaml", ConfigHash: "0b5f",
			LastReload: admin.ReloadResult{
				Time: start.Add(time.Hour), TookMillis: 4, Generation: 3,
				Errors: []string{"/etc/vra/vra.yaml:4: ports[0].mtu: got 12; want 68..65535"},
			},
			Reloads: admin.ReloadCount{Applied: 2, Refused: 1},
			Workers: []admin.Worker{
				{Worker: 0, CPU: 2, Packets: admin.Packets{In: 100, Out: 80, Local: 5, Held: 1, Dropped: 14, Made: 3}, HandedOver: 6, Sessions: 2},
				{Worker: 1, CPU: -1, Packets: admin.Packets{In: 10, Out: 10}, Panics: 1, Sessions: 1},
			},
			Sessions: admin.Usage{Used: 3, Limit: 1048576}, Neighbors: admin.Usage{Used: 2, Limit: 8192},
			Fragments: admin.Usage{Used: 1, Limit: 4096}, Routes: 3,
			Packets: admin.Packets{In: 110, Out: 90, Local: 5, Held: 1, Dropped: 14, Made: 3}, Conserved: true,
		},
		PortList: []admin.Port{
			{
				Name: "outside", Device: "eth0", Driver: "af_packet", Zone: "internet", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true,
				Addresses: prefixes("203.0.113.2/24", "203.0.113.80/32"),
				RxPackets: 60, RxBytes: 6000, TxPackets: 40, TxBytes: 4000, RxMissed: 1, TxRefused: 2, Dropped: 14, Source: "/etc/vra/vra.yaml:2",
			},
			{Name: "vpn", Driver: "tun", Zone: "vpn", MTU: 1400, Addresses: []netip.Prefix{}},
		},
		RouteList: []admin.Route{
			{Table: "main", Prefix: prefix("0.0.0.0/0"), Kind: "via", Source: "/etc/vra/vra.yaml:9", Hops: []admin.Hop{
				{Port: "outside", Via: addr("203.0.113.1"), Weight: 2, Neighbor: "reachable"},
				{Port: "outside", Via: addr("203.0.113.3"), Weight: 1},
			}},
			{Table: "main", Prefix: prefix("172.30.0.0/16"), Kind: "via", Hops: []admin.Hop{{Tunnel: "pods", Weight: 1}}},
			{Table: "main", Prefix: prefix("198.51.100.0/24"), Kind: "blackhole", Source: "/etc/vra/vra.yaml:12"},
		},
		NeighborList: []admin.Neighbor{
			{Port: "outside", Address: addr("203.0.113.1"), MAC: "02:00:00:00:00:09", State: "reachable", AgeSeconds: 7},
			{Port: "outside", Address: addr("203.0.113.3"), MAC: "02:00:00:00:00:0a", State: "static", Static: true},
		},
		TunnelList: []admin.Tunnel{{
			Name: "pods", Local: addr("10.0.0.1"), Mode: "CrossSubnet", Source: "/etc/vra/vra.yaml:15",
			Workers: []admin.TunnelWorker{
				{Name: "w1", Address: addr("10.0.0.11"), Blocks: prefixes("172.30.1.0/26"), Reachable: true, RxPackets: 1, TxPackets: 2},
				{Name: "w2", Address: addr("10.0.1.12"), Blocks: prefixes("172.30.2.0/26", "172.30.1.9/32"), MTU: 1480, Dropped: 3},
			},
		}},
		SessionItems: sessions(),
		DropList: []admin.Drop{
			{Reason: "ttl_exceeded", Text: "time to live ran out here", RFC: "RFC 1812 5.3.1", Count: 4},
			{Reason: "blackhole", Text: "the route is a blackhole", Count: 10},
			{Reason: "no_route", Text: "no route to the destination", RFC: "RFC 1812 5.2.7.1"},
		},
		ConfigText: "ports:\n  - name: outside\n    mtu: 1500\n",
	}
}

func sessions() []admin.Session {
	return []admin.Session{
		{
			ID: 1, Worker: 0, Protocol: 6, State: "established", In: "inside", Out: "outside", InZone: "cluster", OutZone: "internet",
			Original:   admin.Direction{Src: addr("172.30.1.10"), SrcPort: 40000, Dst: addr("198.51.100.7"), DstPort: 443, Packets: 10, Bytes: 1000},
			Reply:      admin.Direction{Src: addr("198.51.100.7"), SrcPort: 443, Dst: addr("203.0.113.2"), DstPort: 1024, Packets: 9, Bytes: 9000},
			AgeSeconds: 65, IdleSeconds: 2, ExpiresSeconds: 7438, Generation: 3,
			Why: []admin.Reason{
				{Kind: "route", Name: "0.0.0.0/0", Source: "/etc/vra/vra.yaml:9"},
				{Kind: "source-nat", Name: "pods-out", Source: "/etc/vra/vra.yaml:20"},
			},
		},
		{
			ID: 2, Worker: 1, Protocol: 17, State: "unreplied", In: "outside", Out: "inside", InZone: "internet", OutZone: "cluster",
			Original:       admin.Direction{Src: addr("198.51.100.9"), SrcPort: 5353, Dst: addr("203.0.113.2"), DstPort: 53, Packets: 1, Bytes: 80},
			Reply:          admin.Direction{Src: addr("172.30.2.10"), SrcPort: 53, Dst: addr("198.51.100.9"), DstPort: 5353},
			ExpiresSeconds: 300, Generation: 2,
			Why: []admin.Reason{
				{Kind: "destination-nat", Name: "dns", Source: "/etc/vra/vra.yaml:30"},
				{Kind: "tunnel", Name: "pods", Source: "/etc/vra/vra.yaml:15"},
			},
		},
		{
			ID: 3, Protocol: 1, State: "replied", In: "outside", InZone: "internet",
			Original:       admin.Direction{Src: addr("198.51.100.9"), Dst: addr("203.0.113.2"), Packets: 1, Bytes: 84},
			Reply:          admin.Direction{Src: addr("203.0.113.2"), Dst: addr("198.51.100.9"), Packets: 1, Bytes: 84},
			ExpiresSeconds: 60, Generation: 3,
		},
	}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, prefix(s))
	}
	return ps
}
