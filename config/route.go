package config

import (
	"net/netip"
	"time"
)

// Route is a static route. Exactly one of Via, Tunnel, Blackhole, Unreachable and a lone Port says
// where its packets go.
type Route struct {
	Line int          `yaml:"-"`
	To   netip.Prefix `yaml:"to" need:"yes" doc:"destination prefix; 0.0.0.0/0 is the default route"`
	Via  []Hop        `yaml:"via" many:"yes" doc:"next hops; several share the flows by hash (ECMP)"`
	// Port alone makes an on-link route; with Via it is the port of hops that name none.
	Port        string `yaml:"port" match:"name" doc:"port of the next hops, or alone: destinations are neighbors on this port"`
	Tunnel      string `yaml:"tunnel" match:"name" doc:"tunnel whose workers hold the destinations"`
	Blackhole   bool   `yaml:"blackhole" default:"false" doc:"drop silently"`
	Unreachable bool   `yaml:"unreachable" default:"false" doc:"drop and answer with ICMP host unreachable"`
	Table       string `yaml:"table" default:"main" match:"name" doc:"routing table"`
}

// Hop is a next hop.
type Hop struct {
	Line    int        `yaml:"-" short:"address"`
	Address netip.Addr `yaml:"address" need:"yes" doc:"next hop, in a subnet of its port"`
	Port    string     `yaml:"port" computed:"the port whose subnet holds the address" match:"name" doc:"port the next hop is on"`
	Weight  int        `yaml:"weight" default:"1" range:"1..255" doc:"share of the flows, relative to the other hops"`
}

// Mode says when a tunnel encapsulates (Calico's ipipMode).
type Mode string

// Modes.
const (
	Always      Mode = "Always"
	CrossSubnet Mode = "CrossSubnet"
	Never       Mode = "Never"
)

// DF says what the outer header's don't-fragment bit is.
type DF string

// DF choices.
const (
	DFCopy DF = "copy"
	DFSet  DF = "set"
)

// Inherit is the TTL, and InheritDSCP the DSCP, that are copied from the inner header.
const (
	Inherit     = 0
	InheritDSCP = -1
)

// Tunnel reaches the pods of a cluster (RFC 2003; Calico's IP-in-IP).
type Tunnel struct {
	Line    int            `yaml:"-"`
	Name    string         `yaml:"name" need:"yes" match:"name" doc:"name of the tunnel"`
	Type    string         `yaml:"type" default:"ipip" enum:"ipip" doc:"encapsulation"`
	Local   netip.Addr     `yaml:"local" need:"yes" doc:"outer address of this end, one of the gateway's own"`
	Mode    Mode           `yaml:"mode" default:"CrossSubnet" enum:"Always|CrossSubnet|Never" doc:"when to encapsulate: CrossSubnet only to workers outside the subnet of local"`
	Zone    string         `yaml:"zone" computed:"the tunnel's name" match:"name" doc:"zone of packets that come out of the tunnel"`
	Pools   []netip.Prefix `yaml:"pools" need:"yes" many:"yes" doc:"addresses behind the tunnel: the only inner sources accepted"`
	Workers []Worker       `yaml:"workers" doc:"the cluster's workers, the only outer sources accepted"`
	// MTU in bytes of inner packet; 0 means the port's less 20, lowered by what the path reports.
	MTU int `yaml:"mtu" default:"auto" words:"auto=0" range:"68..65515" unit:"bytes" doc:"largest inner packet; auto is the port's MTU less 20, lowered by what the path reports"`
	TTL int `yaml:"ttl" default:"inherit" words:"inherit=0" range:"1..255" doc:"TTL of the outer header; inherit copies the inner one"`
	// DSCP is -1 to copy the inner one.
	DSCP     int           `yaml:"dscp" default:"0" words:"inherit=-1" range:"0..63" doc:"DSCP of the outer header; inherit copies the inner one; ECN follows RFC 6040"`
	DF       DF            `yaml:"df" default:"copy" enum:"copy|set" doc:"don't-fragment bit of the outer header: that of the inner one (RFC 2003, 3.1), or always set"`
	MSSClamp int           `yaml:"mssClamp" default:"auto" words:"off=0,auto=-1" range:"88..65495" unit:"bytes" doc:"largest TCP segment offered through the tunnel; auto is its MTU less 40"`
	RPF      RPF           `yaml:"rpf" default:"loose" enum:"strict|loose|off" doc:"source address check of inner packets (RFC 3704)"`
	PMTUAge  time.Duration `yaml:"pmtuAge" default:"10m" range:"1m..1d" doc:"time after which a smaller path MTU is forgotten (RFC 1191)"`
	// PeerRate is in packets per second; 0 means no limit.
	PeerRate int `yaml:"peerRate" default:"0" range:"0..100000000" unit:"packets per second" doc:"packets taken from one worker; 0 is no limit"`
}

// Worker is one node of the cluster.
type Worker struct {
	Line    int            `yaml:"-"`
	Name    string         `yaml:"name" need:"yes" match:"name" doc:"name of the worker"`
	Address netip.Addr     `yaml:"address" need:"yes" doc:"the worker's own address, outer address of its end"`
	Blocks  []netip.Prefix `yaml:"blocks" many:"yes" doc:"pod addresses on the worker; the longest prefix wins, so a /32 moves a borrowed address"`
}
