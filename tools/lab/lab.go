package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"openvra/tools/ipip"
)

// A Lab is the network of the package comment, or one of AddHost's hosts. Safe for
// concurrent use once it is built.
type Lab struct {
	Client, Gateway, LAN, Worker1, Pod1, Router, Worker2, Pod2 *Host
	// Tagged is nil unless Options.Trunk.
	Tagged *Host
	// Dir is a directory of the lab's own, removed by Close.
	Dir string

	opts    Options
	id      string
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	worker1 *ipip.Endpoint
	worker2 *ipip.Endpoint
}

// New builds a lab. The caller must Close it.
func New(ctx context.Context, opts Options) (*Lab, error) {
	l, err := Bare(ctx)
	if err != nil {
		return nil, err
	}
	l.opts = opts
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build lab: %w", err), l.Close())
	}
	return l, nil
}

// Bare returns a lab without hosts; AddHost adds them. What labs of processes that
// are no more have left behind is removed first. The caller must Close it.
func Bare(ctx context.Context) (*Lab, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	if err := sweep(ctx); err != nil {
		return nil, fmt.Errorf("remove leftovers: %w", err)
	}
	dir, err := os.MkdirTemp("", "vralab-")
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, id: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), strings.TrimPrefix(filepath.Base(dir), prefix))}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return l, nil
}

// Close ends everything that runs in the lab and removes it. Idempotent.
func (l *Lab) Close() error {
	l.cancel()
	l.running.Wait()
	names, err := filepath.Glob(filepath.Join(netnsDir, l.id+"-*"))
	for _, name := range names {
		err = errors.Join(err, remove(context.Background(), filepath.Base(name)))
	}
	return errors.Join(err, os.RemoveAll(l.Dir))
}

// Worker1Counters and Worker2Counters are those of the workers' ends of IP-in-IP.
func (l *Lab) Worker1Counters() ipip.Counters { return l.worker1.Counters() }
func (l *Lab) Worker2Counters() ipip.Counters { return l.worker2.Counters() }

func (l *Lab) build(ctx context.Context) error {
	hosts := []struct {
		at   **Host
		name string
	}{
		{&l.Client, "client"}, {&l.Gateway, "gateway"}, {&l.LAN, "lan"},
		{&l.Worker1, "worker1"}, {&l.Pod1, "pod1"},
		{&l.Router, "router"}, {&l.Worker2, "worker2"}, {&l.Pod2, "pod2"},
		{&l.Tagged, "tagged"},
	}
	for _, h := range hosts {
		if h.name == "tagged" && !l.opts.Trunk {
			continue
		}
		var err error
		if *h.at, err = l.AddHost(ctx, h.name); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{l.connect, l.address, l.tunnels, l.trunk} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// AddHost makes a namespace whose kernel speaks no IPv6, believes any source and
// answers every expired packet.
func (l *Lab) AddHost(ctx context.Context, name string) (*Host, error) {
	h := &Host{Name: name, Namespace: l.id + "-" + name}
	if err := ip(ctx, "netns", "add", h.Namespace); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"ipv6/conf/all/disable_ipv6":     "1",
		"ipv6/conf/default/disable_ipv6": "1",
		"ipv4/conf/all/rp_filter":        "0",
		"ipv4/conf/default/rp_filter":    "0",
		"ipv4/icmp_ratelimit":            "0",
		"ipv4/tcp_no_metrics_save":       "1",
	} {
		if err := h.Sysctl(name, value); err != nil {
			return nil, err
		}
	}
	return h, h.IP(ctx, "link set lo up")
}

func (l *Lab) connect(ctx context.Context) error {
	pairs := []struct {
		a     *Host
		aName string
		b     *Host
		bName string
	}{
		{l.Gateway, "outside", l.Client, "eth0"},
		{l.Gateway, "inside", l.LAN, "gateway"},
		{l.LAN, "worker1", l.Worker1, "eth0"},
		{l.LAN, "router", l.Router, "eth0"},
		{l.Router, "eth1", l.Worker2, "eth0"},
		{l.Worker1, "cali0", l.Pod1, "eth0"},
		{l.Worker2, "cali0", l.Pod2, "eth0"},
		{l.Gateway, "trunk", l.Tagged, "eth0"},
	}
	for _, p := range pairs {
		if p.b == nil {
			continue
		}
		if err := p.a.Connect(ctx, p.aName, p.b, p.bName); err != nil {
			return err
		}
	}
	return l.LAN.IP(ctx, `link add br0 type bridge
		link set gateway master br0
		link set worker1 master br0
		link set router master br0
		link set br0 up`)
}

// Connect makes a veth pair between h and b, both ends up.
func (h *Host) Connect(ctx context.Context, name string, b *Host, bName string) error {
	err := ip(ctx, "link", "add", name, "netns", h.Namespace, "type", "veth", "peer", "name", bName, "netns", b.Namespace)
	if err != nil {
		return err
	}
	return errors.Join(h.IP(ctx, "link set "+name+" up"), b.IP(ctx, "link set "+bName+" up"))
}

func (l *Lab) address(ctx context.Context) error {
	for _, h := range []*Host{l.Worker1, l.Worker2, l.Router} {
		if err := h.Sysctl("ipv4/ip_forward", "1"); err != nil {
			return err
		}
	}
	return errors.Join(
		l.Client.IP(ctx, `addr add 203.0.113.1/24 dev eth0
			addr add 198.51.100.10/32 dev lo`),
		l.Router.IP(ctx, `addr add 10.0.0.254/24 dev eth0
			addr add 10.0.1.254/24 dev eth1
			route add default via 10.0.0.1`),
		l.Worker1.IP(ctx, `addr add 10.0.0.11/24 dev eth0
			route add default via 10.0.0.1
			route add 10.0.1.0/24 via 10.0.0.254`),
		l.Worker2.IP(ctx, `addr add 10.0.1.12/24 dev eth0
			route add default via 10.0.1.254`),
		pod(ctx, l.Worker1, Worker1Addr.String(), l.Pod1, Pod1Addr.String(), Pod1Static.String()),
		pod(ctx, l.Worker2, Worker2Addr.String(), l.Pod2, Pod2Addr.String(), Pod2Static.String()),
	)
}

// pod gives a pod its addresses and, as Calico does, a link-local next hop.
func pod(ctx context.Context, worker *Host, workerAddr string, pod *Host, addrs ...string) error {
	var routes, own strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&routes, "route add %s/32 dev cali0 src %s\n", a, workerAddr)
		fmt.Fprintf(&own, "addr add %s/32 dev eth0\n", a)
	}
	return errors.Join(
		worker.IP(ctx, "addr add 169.254.1.1/32 dev cali0 scope link\n"+routes.String()),
		pod.IP(ctx, own.String()+`route add 169.254.1.1 dev eth0
			route add default via 169.254.1.1`))
}
