package admin

import (
	"net/netip"
	"time"
)

// Units of all views: counters are packets or bytes since the gateway started, ages
// and other spans are whole seconds. Source says where in the configuration an item
// stands, as FILE:LINE, and is empty for what the gateway made itself.

// Status is the gateway as a whole.
type Status struct {
	Version       string    `json:"version"`
	PID           int       `json:"pid"`
	Started       time.Time `json:"started"`
	UptimeSeconds int64     `json:"uptimeSeconds"`

	// Generation is the number of the configuration in force; the first is 1.
	Generation uint64 `json:"generation"`
	ConfigFile string `json:"configFile"`
	// ConfigHash is the SHA-256 of the file in force, in hexadecimal.
	ConfigHash string       `json:"configHash"`
	LastReload ReloadResult `json:"lastReload"`
	// Reloads counts those since the start, by their result.
	Reloads ReloadCount `json:"reloads"`

	Workers   []Worker `json:"workers"`
	Sessions  Usage    `json:"sessions"`
	Neighbors Usage    `json:"neighbors"`
	// Fragments counts datagrams whose fragments are tracked now.
	Fragments Usage `json:"fragments"`
	// Routes counts those of all tables.
	Routes int `json:"routes"`

	// Packets is the sum over the workers. Conserved is what Packets.Conserved says
	// of it; the server fills it in.
	Packets   Packets `json:"packets"`
	Conserved bool    `json:"conserved"`
}

// Packets counts what became of the packets that came in.
type Packets struct {
	In    uint64 `json:"in"`
	Out   uint64 `json:"out"`
	Local uint64 `json:"local"`
	// Held is how many wait now, for a neighbor or for fragments.
	Held    uint64 `json:"held"`
	Dropped uint64 `json:"dropped"`
	// Made counts packets of the gateway's own: ARP, ICMP, fragments cut from
	// larger ones. They are part of In, so that the sum holds.
	Made uint64 `json:"made"`
}

// Conserved says whether every packet is accounted for: In is the sum of the rest.
// A reading taken while packets move may be off by those under way.
func (p Packets) Conserved() bool { return p.Unaccounted() == 0 }

// Unaccounted is how many packets came in of which no count says what became. Less
// than 0: more went than came.
func (p Packets) Unaccounted() int64 { return int64(p.In - p.Out - p.Local - p.Held - p.Dropped) }

// Worker is one thread of the path.
type Worker struct {
	Worker  int     `json:"worker"`
	CPU     int     `json:"cpu"` // -1 where it is not pinned
	Packets Packets `json:"packets"`
	// HandedOver counts packets given to the worker that owns their flow.
	HandedOver uint64 `json:"handedOver"`
	Panics     uint64 `json:"panics"`
	Sessions   int    `json:"sessions"`
}

// Usage is how much of a bounded thing is taken. Limit 0 means no limit.
type Usage struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

// ReloadCount counts reloads by result.
type ReloadCount struct {
	Applied uint64 `json:"applied"`
	Refused uint64 `json:"refused"`
}

// ReloadResult is what a reload came to. A zero Time means that there was none.
type ReloadResult struct {
	OK   bool      `json:"ok"`
	Time time.Time `json:"time"`
	// TookMillis is how long reading, checking, building and swapping took.
	TookMillis int64 `json:"tookMillis"`
	// Generation is the configuration in force after it.
	Generation uint64 `json:"generation"`
	// Errors are the reasons of a refusal, one a line of the file, as
	// "FILE:LINE: path: got …; want …".
	Errors []string `json:"errors,omitempty"`
	// Warnings are about a reload that was applied, but not in all its parts:
	// keys that count from the next start only.
	Warnings []string `json:"warnings,omitempty"`
}

// Port is one port or VLAN sub-port.
type Port struct {
	Name   string `json:"name"`
	Device string `json:"device,omitempty"`
	Driver string `json:"driver"`
	Zone   string `json:"zone"`
	// Labels are those of the configuration.
	Labels map[string]string `json:"labels,omitempty"`
	// MAC is empty on a port of layer 3.
	MAC string `json:"mac,omitempty"`
	// MTU is in bytes of layer 3.
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up"`
	Addresses []netip.Prefix `json:"addresses"`
	RxPackets uint64         `json:"rxPackets"`
	RxBytes   uint64         `json:"rxBytes"`
	TxPackets uint64         `json:"txPackets"`
	TxBytes   uint64         `json:"txBytes"`
	// RxMissed counts frames for which the kernel or the device had no room.
	RxMissed uint64 `json:"rxMissed"`
	// TxRefused counts frames that the device did not take.
	TxRefused uint64 `json:"txRefused"`
	// Dropped counts packets that came in here and were given up.
	Dropped uint64 `json:"dropped"`
	Source  string `json:"source,omitempty"`
}

// Route is one entry of a table.
type Route struct {
	Table  string       `json:"table"`
	Prefix netip.Prefix `json:"prefix"`
	// Kind is connected, via, local, blackhole or unreachable.
	Kind   string `json:"kind"`
	Hops   []Hop  `json:"hops,omitempty"`
	Source string `json:"source,omitempty"`
}

// Hop is one way that a route offers.
type Hop struct {
	Port string `json:"port,omitempty"`
	// Via is the zero Addr where the destination itself is on the port.
	Via    netip.Addr `json:"via,omitzero"`
	Tunnel string     `json:"tunnel,omitempty"`
	Weight int        `json:"weight"`
	// Neighbor is the state of Via's neighbor, empty where there is none yet.
	Neighbor string `json:"neighbor,omitempty"`
}

// Neighbor is one ARP entry.
type Neighbor struct {
	Port    string     `json:"port"`
	Address netip.Addr `json:"address"`
	// MAC is empty until it is known.
	MAC string `json:"mac,omitempty"`
	// State is incomplete, reachable, stale, probe, failed or static.
	State string `json:"state"`
	// AgeSeconds is the time since the neighbor last confirmed its address.
	AgeSeconds int64 `json:"ageSeconds"`
	Static     bool  `json:"static"`
}

// Tunnel is one set of IP-in-IP peers.
type Tunnel struct {
	Name  string     `json:"name"`
	Local netip.Addr `json:"local"`
	// Mode is Always, CrossSubnet or Never.
	Mode    string         `json:"mode"`
	Workers []TunnelWorker `json:"workers"`
	Source  string         `json:"source,omitempty"`
}

// TunnelWorker is one peer: a Kubernetes worker and the pod blocks behind it.
type TunnelWorker struct {
	Name    string         `json:"name"`
	Address netip.Addr     `json:"address"`
	Blocks  []netip.Prefix `json:"blocks"`
	// MTU is what was learned of the way to it, in bytes of the outer packet.
	// 0 means that nothing narrower than the port was met.
	MTU int `json:"mtu"`
	// Reachable is false after the way to it was reported broken.
	Reachable bool   `json:"reachable"`
	RxPackets uint64 `json:"rxPackets"`
	TxPackets uint64 `json:"txPackets"`
	Dropped   uint64 `json:"dropped"`
}

// Drop is one reason and how often it was the reason.
type Drop struct {
	Reason string `json:"reason"`
	Text   string `json:"text"`
	// RFC names who asks for the drop; empty where it is ours.
	RFC   string `json:"rfc,omitempty"`
	Count uint64 `json:"count"`
}
