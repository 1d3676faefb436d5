package appliance

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"time"

	"openvra/appliance/admin"
	"openvra/config"
	"openvra/dataplane"
	"openvra/dataplane/drop"
	"openvra/dataplane/fib"
	"openvra/dataplane/flow"
	"openvra/dataplane/neigh"
	"openvra/dataplane/session"
)

// Version of the program, set by the linker; see README.
var Version = "development"

func adminOptions(c *config.Config, log *slog.Logger) admin.Options {
	o := admin.Options{Socket: c.Admin.Socket, Group: c.Admin.Group, Log: log}
	if c.Admin.Metrics.IsValid() {
		o.Metrics = c.Admin.Metrics.String()
	}
	return o
}

// Status implements admin.Gateway.
func (g *Gateway) Status() admin.Status {
	d := g.decider.Load()
	s := admin.Status{
		Version: Version, PID: os.Getpid(), Started: g.start.UTC(), UptimeSeconds: int64(time.Since(g.start).Seconds()),
		Generation: uint64(d.plan.Generation), ConfigFile: g.opt.ConfigPath, Routes: routeCount(d.tables),
	}
	for i, w := range g.workers {
		v := admin.Worker{Worker: i, CPU: -1, HandedOver: w.Counters.HandedOver.Load(), Panics: w.Counters.Panics.Load()}
		w.Do(func() {
			v.Packets = packets(&w.Counters)
			v.Sessions = w.Sessions().Used()
			s.Sessions.Limit += w.Sessions().Limit()
			used, limit := w.Fragments()
			s.Fragments.Used += used
			s.Fragments.Limit += limit
		})
		s.Sessions.Used += v.Sessions
		s.Packets = sum(s.Packets, v.Packets)
		s.Workers = append(s.Workers, v)
	}
	s.Neighbors = admin.Usage{Used: len(g.state.neighbors.Entries(0)), Limit: d.config.Limits.Neighbors}
	g.view.mu.Lock()
	defer g.view.mu.Unlock()
	s.ConfigHash, s.LastReload, s.Reloads = g.view.hash, g.view.last, g.view.counts
	return s
}

// packets reads a worker's counts; on its thread, between batches, they add up.
func packets(c *dataplane.Counters) admin.Packets {
	return admin.Packets{
		In:  c.Received.Load() + c.Made.Load(),
		Out: c.Sent.Load(), Local: c.Local.Load(), Made: c.Made.Load(), Dropped: c.Dropped(),
		Held: c.Held.Load() - c.Resumed.Load(),
	}
}

func sum(a, b admin.Packets) admin.Packets {
	return admin.Packets{In: a.In + b.In, Out: a.Out + b.Out, Local: a.Local + b.Local, Held: a.Held + b.Held, Dropped: a.Dropped + b.Dropped, Made: a.Made + b.Made}
}

// source says where something stands in the configuration.
func (t *decider) source(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", t.config.File, line)
}

// Ports implements admin.Gateway.
func (g *Gateway) Ports() []admin.Port {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.decider.Load()
	var list []admin.Port
	add := func(name, device, driver string, labels map[string]string) {
		i := g.state.ports.number[name]
		p := &d.plan.Ports[i]
		v := admin.Port{Name: name, Device: device, Driver: driver, Zone: p.Zone, Labels: labels, MTU: int(p.MTU), Up: p.Up, Addresses: p.Addresses, Source: d.source(p.Line)}
		if p.MAC != 0 {
			v.MAC = mac(p.MAC)
		}
		for _, w := range g.workers {
			if c := w.PortCount(int(i)); c != nil {
				v.RxPackets += c.Rx.Load()
				v.RxBytes += c.RxBytes.Load()
				v.TxPackets += c.Tx.Load()
				v.TxBytes += c.TxBytes.Load()
				v.Dropped += c.Dropped.Load()
			}
		}
		if o := g.ports[name]; o != nil {
			s := o.Stats()
			v.RxMissed, v.TxRefused = s.RxMissed, s.TxRefused
		}
		list = append(list, v)
	}
	for i := range d.config.Ports {
		p := &d.config.Ports[i]
		add(p.Name, p.Device, string(p.Driver), p.Labels)
		for j := range p.VLANs {
			add(p.VLANs[j].Name, p.Device, "vlan", p.VLANs[j].Labels)
		}
	}
	for i := range d.config.Tunnels {
		add(d.config.Tunnels[i].Name, "", d.config.Tunnels[i].Type, nil)
	}
	if d.config.Host.Enabled {
		add(hostPort, d.config.Host.Device, "tun", nil)
	}
	return list
}

func mac(m uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], m)
	return config.MAC(b[2:]).String()
}

// Routes implements admin.Gateway.
func (g *Gateway) Routes() []admin.Route {
	d := g.decider.Load()
	states := map[uint64]string{}
	for _, n := range g.state.neighbors.Entries(g.clock()) {
		states[uint64(n.Port)<<32|uint64(n.IP)] = n.State.String()
	}
	var list []admin.Route
	table := func(name string, t *fib.Table) {
		for r := range t.All() {
			v := admin.Route{Table: name, Prefix: r.Prefix, Kind: r.Kind.String(), Source: d.source(r.Line)}
			for _, h := range r.Hops {
				hop := admin.Hop{Port: d.plan.Ports[h.Port].Name, Via: h.Via, Weight: max(int(h.Weight), 1)}
				if h.Tunnel != fib.NoTunnel {
					hop.Port, hop.Tunnel = "", d.plan.Tunnels[h.Tunnel].Name
				}
				if h.Via.Is4() {
					hop.Neighbor = states[uint64(h.Port)<<32|uint64(u32(h.Via))]
				}
				v.Hops = append(v.Hops, hop)
			}
			list = append(list, v)
		}
	}
	table(config.MainTable, d.tables.Main())
	for _, name := range d.tables.Names() {
		table(name, d.tables.Table(name))
	}
	return list
}

// Neighbors implements admin.Gateway.
func (g *Gateway) Neighbors() []admin.Neighbor {
	d := g.decider.Load()
	now := g.clock()
	var list []admin.Neighbor
	for _, n := range g.state.neighbors.Entries(now) {
		v := admin.Neighbor{
			Address: ip4(n.IP), State: n.State.String(), Static: n.State == neigh.Static, AgeSeconds: n.Age / 1e9,
		}
		if int(n.Port) < len(d.plan.Ports) {
			v.Port = d.plan.Ports[n.Port].Name
		}
		if n.MAC != 0 {
			v.MAC = n.MAC.String()
		}
		list = append(list, v)
	}
	return list
}

// Tunnels implements admin.Gateway.
func (g *Gateway) Tunnels() []admin.Tunnel {
	d := g.decider.Load()
	now := g.clock()
	counts := g.peerCounts(d)
	var list []admin.Tunnel
	for i := range d.config.Tunnels {
		c, t := &d.config.Tunnels[i], &d.plan.Tunnels[i]
		v := admin.Tunnel{Name: c.Name, Local: c.Local, Mode: string(c.Mode), Source: d.source(c.Line)}
		for j, peer := range t.Peers() {
			w := admin.TunnelWorker{Name: peer.Name, Address: ip4(peer.Addr), Blocks: c.Workers[j].Blocks, Reachable: !t.Soft.Down(j, now)}
			if m := t.Soft.MTU(j, 1<<16, now); m+overhead < 1<<16 {
				w.MTU = m + overhead
			}
			w.RxPackets, w.TxPackets, w.Dropped = counts[i][j].Rx, counts[i][j].Tx, counts[i][j].Dropped
			v.Workers = append(v.Workers, w)
		}
		list = append(list, v)
	}
	return list
}

// peerCounts adds up what the workers count of each tunnel's peers.
func (g *Gateway) peerCounts(d *decider) [][]dataplane.PeerCount {
	sums := make([][]dataplane.PeerCount, len(d.plan.Tunnels))
	for i := range sums {
		sums[i] = make([]dataplane.PeerCount, len(d.plan.Tunnels[i].Peers()))
	}
	for _, w := range g.workers {
		w.Do(func() {
			for i, peers := range w.PeerCounts() {
				for j, n := range peers {
					if i < len(sums) && j < len(sums[i]) { // else of a plan that came meanwhile
						sums[i][j].Rx += n.Rx
						sums[i][j].Tx += n.Tx
						sums[i][j].Dropped += n.Dropped
					}
				}
			}
		})
	}
	return sums
}

// Drops implements admin.Gateway.
func (g *Gateway) Drops() []admin.Drop {
	list := make([]admin.Drop, 0, drop.Count-1)
	for r := drop.None + 1; r < drop.Count; r++ {
		text := r.Describe()
		v := admin.Drop{Reason: text.Label, Text: text.Text, RFC: text.RFC}
		for _, w := range g.workers {
			v.Count += w.Counters.Drops[r].Load()
		}
		list = append(list, v)
	}
	return list
}

// Config implements admin.Gateway.
func (g *Gateway) Config() []byte {
	g.view.mu.Lock()
	defer g.view.mu.Unlock()
	return append([]byte(nil), g.view.yaml...)
}

// scan is how many slots of a table a worker looks through between two batches.
const scan = 8192

// Sessions implements admin.Gateway. It copies the tables piece by piece, so that no
// worker waits for long; a session that comes or goes meanwhile may be missed.
func (g *Gateway) Sessions(f admin.SessionFilter, limit int) (shown []admin.Session, total int) {
	d := g.decider.Load()
	var copied []session.Session[flow.Key]
	var ids []session.ID
	for i, w := range g.workers {
		for from := session.ID(1); from != 0; {
			copied, ids = copied[:0], ids[:0]
			var now uint32
			w.Do(func() {
				now = session.Ticks(g.clock())
				from = w.Sessions().Scan(from, scan, func(id session.ID, s *session.Session[flow.Key]) {
					copied, ids = append(copied, *s), append(ids, id)
				})
			})
			for j := range copied {
				v := d.session(&copied[j], now)
				v.ID, v.Worker = uint64(i)<<32|uint64(ids[j]), i
				if !f.Match(&v) {
					continue
				}
				if total++; len(shown) < limit {
					shown = append(shown, v)
				}
			}
		}
	}
	return shown, total
}

// session describes a session, and why it is so.
func (t *decider) session(s *session.Session[flow.Key], now uint32) admin.Session {
	v := admin.Session{
		Protocol: admin.Protocol(s.Key[0].Proto()), State: s.State.String(), Generation: uint64(s.Gen),
		Original: direction(s, session.Original), Reply: direction(s, session.Reply),
		AgeSeconds: seconds(now - s.Created), IdleSeconds: seconds(s.Idle(now)),
		ExpiresSeconds: seconds(t.plan.Timeouts[s.State] - min(s.Idle(now), t.plan.Timeouts[s.State])),
	}
	v.In, v.InZone = t.portName(s.Port[0])
	if s.Gen != t.plan.Generation {
		v.Out, v.OutZone = t.portName(s.Port[1])
		return v // its reasons are of another plan: its next packet asks anew
	}
	v.Out, v.OutZone = t.portName(t.portOf(s.Way[0]))
	for i, n := range s.Rule {
		if n != 0 {
			r := t.rules.All()[n-1]
			kind := r.Kind.String()
			if kind != "one-to-one" {
				kind = [2]string{"destination-nat", "source-nat"}[i]
			}
			v.Why = append(v.Why, admin.Reason{Kind: kind, Name: r.Name, Source: t.source(r.Line)})
		}
	}
	t.whyAllowed(s, &v)
	t.whyThere(s, &v)
	return v
}

// whyThere adds the reasons for the way of the original direction.
func (t *decider) whyThere(s *session.Session[flow.Key], v *admin.Session) {
	way := &t.plan.Ways.All()[s.Way[0]]
	if way.Kind == dataplane.PortHost {
		name := t.config.Host.Device
		for _, svc := range t.services {
			if svc.Line == int(s.Route) {
				name += " for " + svc.Name
				break
			}
		}
		v.Why = append(v.Why, admin.Reason{Kind: "host", Name: name, Source: t.source(int(s.Route))})
		return
	}
	if r := t.lookup(s.Key[1].Src(), s.Port[0]); r != nil {
		v.Why = append(v.Why, admin.Reason{Kind: "route", Name: r.Prefix.String() + " " + r.Source, Source: t.source(r.Line)})
	}
	if way.Encap {
		tun := &t.plan.Tunnels[way.Tunnel]
		peer := tun.Peers()[way.Peer]
		v.Why = append(v.Why, admin.Reason{Kind: "tunnel", Name: tun.Name + " to " + peer.Name, Source: t.source(peer.Line)})
	}
}

func (t *decider) portName(i uint16) (name, zone string) {
	if int(i) >= len(t.plan.Ports) {
		return "", ""
	}
	return t.plan.Ports[i].Name, t.plan.Ports[i].Zone
}

func direction(s *session.Session[flow.Key], d session.Dir) admin.Direction {
	k := s.Key[d]
	return admin.Direction{
		Src: ip4(k.Src()), Dst: ip4(k.Dst()), SrcPort: k.SrcPort(), DstPort: k.DstPort(),
		Packets: uint64(s.Packets[d]), Bytes: s.Bytes[d],
	}
}

func seconds(ticks uint32) int64 { return session.Nanoseconds(ticks) / 1e9 }

var _ admin.Gateway = (*Gateway)(nil)
