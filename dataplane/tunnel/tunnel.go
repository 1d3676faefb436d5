package tunnel

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"openvra/dataplane/drop"
	"openvra/dataplane/rate"
)

// Mode says for which workers packets are encapsulated, as Calico's ipipMode does.
type Mode uint8

// Modes. The zero value is Calico's default.
const (
	Never       Mode = iota // plain routing to the worker
	CrossSubnet             // only for workers outside the gateway's own subnet
	Always                  // for every worker
)

// String returns the mode as Calico spells it.
func (m Mode) String() string {
	return [...]string{"Never", "CrossSubnet", "Always"}[min(m, Always)]
}

// A Worker is a node of the cluster and the pods' addresses on it.
type Worker struct {
	Name    string
	Address netip.Addr
	// Blocks are the prefixes of its pods. A longer one, a borrowed /32 say, takes
	// its part out of another worker's block.
	Blocks []netip.Prefix
	Line   int // of the configuration
}

// A Config describes a tunnel. All addresses are IPv4.
type Config struct {
	Name string
	// Local is the outer address of the gateway's end.
	Local netip.Addr
	Mode  Mode
	// Pools are the cluster's IP-in-IP pools. Every block lies in one.
	Pools   []netip.Prefix
	Workers []Worker
	// Extra are outer sources to decapsulate from besides the workers, as Calico's
	// externalNodesList.
	Extra []netip.Prefix
	// Ports are the logical ports to decapsulate on. Empty means all.
	Ports []uint16
	// Own are addresses of the gateway that no tunneled packet may be for. Those
	// that answers of translated flows come back to, Local among them, say, are
	// left out.
	Own []netip.Addr
	// StrictSource asks that an inner source is a pod of the very worker that sent
	// the outer packet, or the worker itself (RFC 3704 section 2.2).
	StrictSource bool
	// PathMTUAge is how long a learned path MTU holds, in nanoseconds. Zero means
	// 10 minutes (RFC 1191 section 6.3).
	PathMTUAge int64
	// PeerRate is how many packets a second SoftState.Admit lets in from one peer;
	// a super-packet is one. Zero means no limit.
	PeerRate int
	Options  Options
}

// A Peer is a worker as the tunnel knows it.
type Peer struct {
	Name string
	Addr uint32
	// Index numbers the tunnel's peers from 0, for SoftState.
	Index int
	Line  int
}

// A Tunnel never changes; safe for concurrent use.
type Tunnel struct {
	Name    string
	Local   uint32
	Mode    Mode
	Options Options

	mtuAge int64
	rate   rate.Limit // of one peer
	ports  []uint16
	strict bool
	peers  []*Peer
	blocks bart.Fast[*Peer]
	hosts  hosts     // the workers' addresses
	extra  bart.Lite // other outer sources
	own    hosts
	pools  []network // the first few
	more   bart.Lite // the rest of them
}

// fewPools is how many pools are looked through one by one.
const fewPools = 8

// New checks the configuration and returns the tunnel.
func New(c Config) (*Tunnel, error) {
	if !c.Local.Is4() {
		return nil, fmt.Errorf("tunnel %q: local: got %v; want an IPv4 address", c.Name, c.Local)
	}
	if c.Options.DSCP > 63 {
		return nil, fmt.Errorf("tunnel %q: dscp: got %d; want 0 to 63", c.Name, c.Options.DSCP)
	}
	t := &Tunnel{Name: c.Name, Local: u32(c.Local), Mode: c.Mode, Options: c.Options,
		mtuAge: cmp.Or(c.PathMTUAge, defaultMTUAge), rate: rate.Per(c.PeerRate, c.PeerRate/peerBurst),
		ports: slices.Clone(c.Ports), strict: c.StrictSource,
		hosts: newHosts(len(c.Workers)), own: newHosts(len(c.Own))}
	for i, p := range c.Pools {
		switch {
		case !isPrefix4(p):
			return nil, fmt.Errorf("tunnel %q: pool: got %v; want an IPv4 prefix without host bits", c.Name, p)
		case i < fewPools:
			t.pools = append(t.pools, network{u32(p.Addr()), ^uint32(0) << (32 - p.Bits())})
		default:
			t.more.Insert(p)
		}
	}
	for _, p := range c.Extra {
		if !isPrefix4(p) {
			return nil, fmt.Errorf("tunnel %q: extra: got %v; want an IPv4 prefix without host bits", c.Name, p)
		}
		t.extra.Insert(p)
	}
	for _, a := range c.Own {
		if !a.Is4() {
			return nil, fmt.Errorf("tunnel %q: own: got %v; want an IPv4 address", c.Name, a)
		}
		t.own.add(u32(a), nil)
	}
	for i := range c.Workers {
		if err := t.add(&c.Workers[i], c.Pools); err != nil {
			return nil, fmt.Errorf("tunnel %q: worker %q: %w", c.Name, c.Workers[i].Name, err)
		}
	}
	return t, nil
}

// add takes a worker in.
func (t *Tunnel) add(w *Worker, pools []netip.Prefix) error {
	if !w.Address.Is4() {
		return fmt.Errorf("address: got %v; want an IPv4 address", w.Address)
	}
	if old, ok := t.hosts.get(u32(w.Address)); ok {
		return fmt.Errorf("address: %v is that of worker %q", w.Address, old.Name)
	}
	peer := &Peer{Name: w.Name, Addr: u32(w.Address), Index: len(t.peers), Line: w.Line}
	if peer.Addr == t.Local {
		return fmt.Errorf("address: %v is the gateway's own end", w.Address)
	}
	for _, b := range w.Blocks {
		within := func(pool netip.Prefix) bool { return pool.Bits() <= b.Bits() && pool.Contains(b.Addr()) }
		if !isPrefix4(b) || !slices.ContainsFunc(pools, within) {
			return fmt.Errorf("block: got %v; want an IPv4 prefix within a pool", b)
		}
		if old, ok := t.blocks.Get(b); ok {
			return fmt.Errorf("block: %v is that of worker %q", b, old.Name)
		}
		t.blocks.Insert(b, peer)
	}
	t.peers = append(t.peers, peer)
	t.hosts.add(peer.Addr, peer)
	return nil
}

// Peers returns the workers in the order of the configuration. Read-only.
func (t *Tunnel) Peers() []*Peer { return t.peers }

// Peer returns the worker that has the pod address dst, or nil if none has.
func (t *Tunnel) Peer(dst uint32) *Peer {
	p, _ := t.blocks.Lookup(addr(dst))
	return p
}

// Encapsulates reports whether packets to the worker are encapsulated, given the
// gateway's own subnet on the port that they leave by.
func (t *Tunnel) Encapsulates(worker uint32, subnet netip.Prefix) bool {
	switch t.Mode {
	case Always:
		return true
	case CrossSubnet:
		return !subnet.Contains(addr(worker))
	}
	return false
}

// Loops reports whether encapsulating a packet for the worker would loop: its
// source, as received, is one of ours or the tunnel's other end, or the other end
// is ours (RFC 2003 section 3.2). A packet of the gateway itself is not received.
func (t *Tunnel) Loops(src, worker uint32) bool {
	_, ourSource := t.own.get(src)
	_, ourWorker := t.own.get(worker)
	return ourSource || ourWorker || src == t.Local || src == worker || worker == t.Local
}

// Accepts reports whether an IP-in-IP packet with these outer addresses may be
// decapsulated, and from which worker it is: nil if from one of Config.Extra.
func (t *Tunnel) Accepts(port uint16, src, dst uint32) (*Peer, bool) {
	if dst != t.Local || len(t.ports) != 0 && !slices.Contains(t.ports, port) {
		return nil, false
	}
	if p, ok := t.hosts.get(src); ok {
		return p, true
	}
	return nil, t.extra.Contains(addr(src))
}

// AcceptsInner returns why a decapsulated packet of the peer that Accepts named is
// refused, or drop.None. Sources may be those of the pools and the workers' own
// addresses (a worker's host sends from its pod block or from itself).
func (t *Tunnel) AcceptsInner(from *Peer, src, dst uint32) drop.Reason {
	if !t.carries(src) {
		return drop.TunnelInnerSource
	}
	if t.strict && from != nil && src != from.Addr && t.Peer(src) != from {
		return drop.TunnelInnerSource
	}
	switch top := dst >> 24; {
	case top == 0, top == 127, top >= 224:
		return drop.TunnelInnerDestination
	}
	if _, ours := t.own.get(dst); ours {
		return drop.TunnelInnerDestination
	}
	return drop.None
}

// carries reports whether the tunnel may carry packets of src.
func (t *Tunnel) carries(src uint32) bool {
	for _, n := range t.pools {
		if n.contains(src) {
			return true
		}
	}
	if _, ok := t.hosts.get(src); ok {
		return true
	}
	return t.more.Size() > 0 && t.more.Contains(addr(src))
}

func isPrefix4(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() && p == p.Masked() }

func addr(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

func u32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
