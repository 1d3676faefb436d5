package config

import (
	"crypto/sha256"
	"time"
)

// Struct tags, read by fields.go:
//
//	yaml      the key
//	alias     another accepted spelling of the key
//	default   value of an absent key, in the file's own spelling
//	computed  words for a default that depends on other keys; resolve.go fills it in
//	need      the key must be there
//	range     LOW..HIGH, both included, in the file's own spelling
//	floor     least value unless timeouts.allowShort is set, and the RFC that asks for it
//	words     WORD=NUMBER,...: words accepted in place of a number
//	enum      A|B|C: the accepted words
//	match     the pattern of a string: name, device, path, group or label
//	host      set: a prefix is an interface address; its host bits are kept
//	many      a single value is accepted for a list of one
//	short     in a struct: a bare value is taken for this key
//	unit      unit of a bare number
//	reload    live (when absent), port (the port is opened anew) or restart
//	doc       one sentence for reference.yaml and schema.json

// Config is one file, checked, with every default filled in. It is frozen: nobody changes it after
// Parse returned it. Safe for concurrent use.
type Config struct {
	// File is the name the file was read under; with an item's Line it says why a decision was made.
	File string `yaml:"-"`
	// Hash is the SHA-256 of the bytes that were read.
	Hash [sha256.Size]byte `yaml:"-"`

	Ports     []Port     `yaml:"ports" need:"yes" doc:"network ports the gateway owns"`
	Zones     []Zone     `yaml:"zones" doc:"policy routing: zones whose packets are looked up in a table of their own first, then in main"`
	Routes    []Route    `yaml:"routes" doc:"static routes; subnets of port addresses are routed without being listed"`
	Neighbors []Neighbor `yaml:"neighbours" alias:"neighbors" doc:"static neighbors, never overwritten by ARP"`
	Tunnels   []Tunnel   `yaml:"tunnels" doc:"IP-in-IP tunnels to the workers of a cluster, as Calico builds them"`
	NAT       NAT        `yaml:"nat" doc:"address translation; within a list the first rule that matches decides"`
	Policy    Policy     `yaml:"policy" doc:"which flows may pass; established ones do not ask again until a reload"`
	Host      Host       `yaml:"host" doc:"the Linux host behind the gateway: which packets to own addresses are handed to its kernel"`
	// Workers is the number of forwarding threads; 0 means one per CPU.
	Workers  int      `yaml:"workers" default:"auto" words:"auto=0" range:"1..64" reload:"restart" doc:"forwarding threads; auto is one per CPU"`
	Limits   Limits   `yaml:"limits" doc:"bounds of memory and of rates"`
	Timeouts Timeouts `yaml:"timeouts" doc:"idle timers"`
	Admin    Admin    `yaml:"admin" doc:"control socket and metrics"`
	Log      Log      `yaml:"log" doc:"logging"`
}

// Limits bounds memory and rates. Counts are for the whole gateway unless said otherwise.
type Limits struct {
	Sessions                 int  `yaml:"sessions" default:"1048576" range:"1024..67108864" reload:"restart" doc:"live sessions; a new flow above it is dropped, a live one is never evicted"`
	HalfOpenPercent          int  `yaml:"halfOpenPercent" default:"50" range:"1..100" unit:"percent of sessions" doc:"share that half-open TCP may fill; the oldest is shed for the next"`
	Fragments                int  `yaml:"fragments" default:"4096" range:"16..65536" unit:"datagrams" doc:"fragmented datagrams tracked at once"`
	FragmentBytes            Size `yaml:"fragmentBytes" default:"4MiB" range:"64KiB..1GiB" doc:"memory for fragments that came before their first one"`
	FragmentsPerDatagram     int  `yaml:"fragmentsPerDatagram" default:"64" range:"2..4096" doc:"fragments of one datagram; more drop the datagram"`
	Neighbors                int  `yaml:"neighbours" alias:"neighbors" default:"8192" range:"16..65536" reload:"restart" doc:"neighbors known or asked for"`
	NeighborQueue            int  `yaml:"neighbourQueue" alias:"neighborQueue" default:"3" range:"1..64" unit:"packets" doc:"packets that wait for one unresolved neighbor"`
	HeldPackets              int  `yaml:"heldPackets" default:"4096" range:"64..1048576" unit:"packets" doc:"packets that wait for all unresolved neighbors"`
	ICMPErrorsPerSecond      int  `yaml:"icmpErrorsPerSecond" default:"1000" range:"0..1000000" unit:"per second" doc:"ICMP errors the gateway sends (RFC 1812, 4.3.2.8); 0 sends none"`
	ICMPErrorBurst           int  `yaml:"icmpErrorBurst" default:"50" range:"1..100000" doc:"ICMP errors sent at once before the rate binds"`
	ICMPErrorsPerDestination int  `yaml:"icmpErrorsPerDestination" default:"1" range:"1..1000000" unit:"per second" doc:"ICMP errors the gateway sends to one address"`
	ARPPerSecond             int  `yaml:"arpPerSecond" default:"1000" range:"1..1000000" unit:"per second" doc:"ARP requests taken from one port"`
	LogLinesPerSecond        int  `yaml:"logLinesPerSecond" default:"20" range:"1..100000" unit:"per second" doc:"log lines about packets; how many were left out is said by the next"`
}

// Timeouts are idle times after which state is forgotten. Those with a floor are refused below it
// unless AllowShort is set.
type Timeouts struct {
	AllowShort     bool          `yaml:"allowShort" default:"false" doc:"accept timers below the least that the RFCs allow"`
	UDP            time.Duration `yaml:"udp" default:"300s" range:"1s..7d" floor:"120s RFC 4787, REQ-5" doc:"UDP session"`
	TCPEstablished time.Duration `yaml:"tcpEstablished" default:"7440s" range:"1s..30d" floor:"7440s RFC 5382, REQ-5" doc:"established TCP session"`
	TCPTransitory  time.Duration `yaml:"tcpTransitory" default:"240s" range:"1s..7d" floor:"240s RFC 5382, REQ-5" doc:"TCP session that is closing"`
	TCPSYN         time.Duration `yaml:"tcpSyn" default:"240s" range:"1s..7d" floor:"240s RFC 5382, REQ-5" doc:"TCP session whose SYN is not answered"`
	TCPReset       time.Duration `yaml:"tcpReset" default:"240s" range:"1s..7d" floor:"240s RFC 7857, 2.2" doc:"TCP session after a reset"`
	ICMP           time.Duration `yaml:"icmp" default:"60s" range:"1s..7d" floor:"60s RFC 5508, REQ-2" doc:"ICMP query session"`
	Other          time.Duration `yaml:"other" default:"300s" range:"1s..7d" doc:"session of any other protocol"`
	Fragment       time.Duration `yaml:"fragment" default:"30s" range:"2s..60s" doc:"fragmented datagram, from its first fragment seen"`
	PortRest       time.Duration `yaml:"portRest" default:"120s" range:"0s..1h" reload:"restart" doc:"outside port after its last session, before another inside endpoint gets it (RFC 6888, REQ-8)"`
	Neighbor       time.Duration `yaml:"neighbour" alias:"neighbor" default:"30s" range:"1s..1d" doc:"neighbor held reachable without being confirmed (RFC 4861)"`
}

// Admin is the control side.
type Admin struct {
	Socket string `yaml:"socket" default:"/run/vra/admin.sock" match:"path" reload:"restart" doc:"unix socket of the vra command"`
	// Group may open Socket beside root. Empty means root alone.
	Group string `yaml:"group" match:"group" reload:"restart" doc:"Unix group that may open the socket beside root"`
	// Metrics is not valid when the listener is off.
	Metrics       Listener `yaml:"metrics" default:"127.0.0.1:9478" reload:"restart" doc:"address and port of the Prometheus listener, or off"`
	MetricsPublic bool     `yaml:"metricsPublic" default:"false" reload:"restart" doc:"accept a metrics address that is not loopback"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `yaml:"level" default:"info" enum:"debug|info|warn|error" doc:"least severe line that is written"`
	Format string `yaml:"format" default:"text" enum:"text|json" reload:"restart" doc:"form of a line"`
}
