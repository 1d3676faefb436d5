package dataplane

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/neigh"
	"openvra/dataplane/session"
	"openvra/dataplane/tunnel"
)

// NoPort is the index of no port.
const NoPort = 0xffff

// PortKind says what is at the other end of a logical port.
type PortKind uint8

const (
	// PortAbsent is an index whose port a reload has removed. It stays so that
	// indexes never change their meaning.
	PortAbsent PortKind = iota
	// PortEthernet is a device, or a VLAN of one, with neighbors.
	PortEthernet
	// PortPoint is a device of bare IP packets.
	PortPoint
	// PortHost leads to the kernel of the gateway itself.
	PortHost
	// PortTunnel is an IP-in-IP tunnel: its packets come in by decap, and leave by
	// encap and another port.
	PortTunnel
)

// ReversePath is how the source of a new flow is checked (RFC 3704).
type ReversePath uint8

const (
	ReversePathOff ReversePath = iota
	ReversePathLoose
	ReversePathStrict
)

// Port is a logical port of a plan: a physical one, a VLAN of it, or a tunnel.
// Immutable.
type Port struct {
	// MAC is the own address in the low 48 bits, 0 where there is none.
	MAC uint64
	// Tags are the VLAN tags, outermost first, as TPID<<16|VLAN ID. Zero is none.
	Tags [2]uint32
	// Physical is the index of the device it sends by; NoPort for a tunnel.
	Physical uint16
	// Realm is the number of the zone: flows with equal keys in different realms
	// are different flows.
	Realm uint16
	// MTU in bytes of layer 3.
	MTU  uint32
	Kind PortKind
	Up   bool
	// AnyMAC takes frames for every unicast address: of captures taken elsewhere.
	AnyMAC bool
	// ReversePath applies to new flows, and to old ones that change port.
	ReversePath ReversePath
	// MSS to which TCP SYNs are clamped when they leave here; 0 leaves them.
	MSS uint16
	// Tunnel is the index of the tunnel, -1 for others.
	Tunnel int16

	Name, Zone string
	// Addresses with the prefix of their subnet. The first is the one that the
	// gateway's own packets use.
	Addresses []netip.Prefix
	// VLANs maps tags (TPIDs left out) of a physical port to its sub-ports.
	// Read only; hot for tagged frames.
	VLANs map[[2]uint16]uint16
	// Line is where the configuration describes it, 0 where it does not.
	Line int
}

// A Way is how packets leave, whole and precomputed: the adjacency. Immutable.
type Way struct {
	// Port is the logical port by which it leaves, Physical its device.
	Port, Physical uint16
	// MTU is the longest packet, in bytes before encapsulation.
	MTU uint32
	// MSS to which SYNs are clamped, 0 for none.
	MSS uint16
	// Kind is the port's.
	Kind PortKind
	// Encap says that the packet gets an outer header from OuterSrc to OuterDst.
	Encap              bool
	Tunnel             int16
	Peer               uint16 // the tunnel's number of it
	OuterSrc, OuterDst uint32
	// NextHop is the neighbor's address.
	NextHop uint32
	// SrcMAC and tags, as in Port.
	SrcMAC uint64
	Tags   [2]uint32
}

// Ways is the plan's growing list of ways. An index, once given, stays. Safe for
// concurrent use; All is read once per batch.
type Ways struct {
	mu    sync.Mutex
	index map[Way]uint32
	list  atomic.Pointer[[]Way]
	// refs are the neighbors of the ways' next hops. Unlike the rest of a way
	// they change, as neighbors come and go.
	refs []atomic.Uint32
	// recent saves most flows the lock: they leave by few ways.
	recent [256]atomic.Pointer[recentWay]
}

type recentWay struct {
	way   Way
	index uint32
}

// slot is the place of a way among the recent ones.
func (w *Way) slot() uint32 {
	return (w.NextHop ^ w.OuterDst ^ uint32(w.Port)<<8) * 0x9e3779b1 >> 24
}

// ref returns the neighbor of a way.
func (w *Ways) ref(way uint32) neigh.Ref { return neigh.Ref(w.refs[way].Load()) }

func (w *Ways) setRef(way uint32, r neigh.Ref) { w.refs[way].Store(uint32(r)) }

// All returns the ways so far. Way 0 leads nowhere.
func (w *Ways) All() []Way { return *w.list.Load() }

// maxWays bounds the list: one per neighbor and tunnel peer in use, and some.
const maxWays = 1 << 17

// Add returns the index of a way, and 0 if there is no room.
func (w *Ways) Add(way Way) uint32 {
	recent := &w.recent[way.slot()]
	if r := recent.Load(); r != nil && r.way == way {
		return r.index
	}
	i := w.add(way)
	if i != 0 {
		recent.Store(&recentWay{way, i})
	}
	return i
}

func (w *Ways) add(way Way) uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, ok := w.index[way]; ok {
		return i
	}
	old := *w.list.Load()
	if len(old) >= maxWays {
		return 0
	}
	// Appending in place is safe: readers only look below their own length.
	list := append(old, way)
	w.list.Store(&list)
	w.index[way] = uint32(len(old))
	return uint32(len(old))
}

// Tunnel is a tunnel of a plan.
type Tunnel struct {
	*tunnel.Tunnel
	// Soft is what is known of the paths to its peers.
	Soft *tunnel.SoftState
	// Port is its logical port: the realm and zone of what comes out.
	Port uint16
	// Via are the ports by which the routes lead to each peer, by its index: the
	// only ones on which its packets are taken, but for ports that check no
	// reverse path.
	Via  [][]uint16
	Line int
}

// A Query asks what is to become of a flow that has no session, or whose session
// was decided under another plan.
type Query struct {
	// Key of the packet as it came in.
	Key flow.Key
	// Port it came in by.
	Port uint16
	// Dir is Original unless an old session is asked about again.
	// Old is that session, nil for a new flow. Read only.
	Old *session.Session[flow.Key]
	// SYN says that the packet may open a TCP session.
	SYN bool
	Now int64
}

// Reject says what, if anything, the sender is told of a refusal.
type Reject uint8

const (
	RejectSilent     Reject = iota
	RejectNet               // ICMP 3/0
	RejectHost              // ICMP 3/1
	RejectPort              // ICMP 3/3, or RST for TCP
	RejectProhibited        // ICMP 3/13
)

// A Decision is the answer to a Query.
type Decision struct {
	// Drop is why there is no session. None if there is one.
	Drop   drop.Reason
	Reject Reject
	// Self says that the gateway itself answers (ping to an own address);
	// there is no session then.
	Self bool
	// Kernel says that the packet is for the host's kernel, which has it already.
	Kernel bool
	// Reply is the key of the answers as they will come in.
	Reply flow.Key
	// Way by which the original and the reply direction leave; 0 for the reply
	// if that is not known yet.
	Way [2]uint32
	// Local, OneWayRefresh and the reasons, as in session.Session.
	Local, OneWayRefresh bool
	Route                uint32
	Rule                 [2]uint16
	Mapping              uint32
}

// A Decider is the slow path: policy, services, NAT and routing in their order.
// Called by several workers at once.
type Decider interface {
	// Decide answers q. It must not keep it.
	Decide(q *Query, d *Decision)
	// Reverse says whether a packet from src may come in by port.
	Reverse(src uint32, port uint16) bool
	// WayTo returns the way of a packet of the gateway's own to dst, or 0.
	WayTo(dst uint32, in uint16) uint32
	// Own says whether addr is an address of the gateway.
	Own(addr uint32) bool
	// OwnOn says whether the gateway answers ARP for addr on the port.
	OwnOn(port uint16, addr uint32) bool
	// Subnet says whether addr is in a subnet of the port.
	Subnet(port uint16, addr uint32) bool
	// Release gives back a mapping, 0 for none, that a session with a remote host
	// held. Closed says that both ends are known to have finished with the flow.
	Release(mapping, remote uint32, now int64, closed bool)
}

// Plan is what one generation of the configuration has come to. Immutable, but for
// its ways, which grow; shared by all workers.
type Plan struct {
	Decider
	Generation uint32
	// Ports by logical index. The first ones are the physical ports, at the
	// index of their device.
	Ports   []Port
	Tunnels []Tunnel
	// HostPort is the logical port to the host, NoPort without one.
	HostPort  uint16
	Ways      *Ways
	Neighbors *neigh.Table
	Timeouts  *[session.States]uint32
	Limits    Limits
}

// NewWays returns an empty list: way 0 and nothing else.
func NewWays() *Ways {
	w := &Ways{index: map[Way]uint32{}, refs: make([]atomic.Uint32, maxWays)}
	list := make([]Way, 1, 64)
	w.list.Store(&list)
	return w
}
