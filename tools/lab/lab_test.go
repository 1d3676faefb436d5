package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"
)

// open returns a lab for the test, or skips it where there can be none.
func open(t *testing.T, opts Options) *Lab {
	t.Helper()
	if err := Missing(); err != nil {
		if os.Getenv("VRA_REQUIRE_ROOT") == "1" {
			t.Fatalf("this test must run here, but: %v", err)
		}
		t.Skipf("a lab needs root: %v", err)
	}
	l, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestKernelAsGateway proves the lab: with the kernel in the gateway's place every
// kind of traffic arrives, and pod2's goes by IP-in-IP.
func TestKernelAsGateway(t *testing.T) {
	for name, uplink := range map[string]Uplink{"Tunnel": Tunnel, "Plain": Plain} {
		t.Run(name, func(t *testing.T) {
			l := open(t, Options{Uplink: uplink})
			ctx := t.Context()
			if err := l.StandIn(ctx); err != nil {
				t.Fatal(err)
			}
			if err := l.ServeAll(); err != nil {
				t.Fatal(err)
			}
			checkTCP(t, l) // pod1 to pod2 goes by IP-in-IP whatever the uplink
			before := l.Worker2Counters()
			checkUDP(t, l)
			checkPing(t, l)
			after := l.Worker2Counters()
			if after.Decapsulated == before.Decapsulated {
				t.Error("nothing reached worker2 by IP-in-IP")
			}
			if (after.Encapsulated > before.Encapsulated) != (uplink == Tunnel) {
				t.Errorf("worker2 encapsulated %d packets", after.Encapsulated-before.Encapsulated)
			}
		})
	}
}

func checkTCP(t *testing.T, l *Lab) {
	t.Helper()
	ctx := t.Context()
	for _, f := range []struct {
		name   string
		h      *Host
		source netip.Addr
		to     netip.AddrPort
	}{
		{"pod1 to internet", l.Pod1, Pod1Addr, netip.AddrPortFrom(InternetAddr, ServicePort)},
		{"pod2 to internet", l.Pod2, Pod2Addr, netip.AddrPortFrom(InternetAddr, ServicePort)},
		{"pod1 to pod2", l.Pod1, Pod1Addr, netip.AddrPortFrom(Pod2Addr, ServicePort)},
		{"internet to pod1", l.Client, InternetAddr, netip.AddrPortFrom(OutsideAddr, Pod1Port)},
		{"internet to pod2", l.Client, InternetAddr, netip.AddrPortFrom(OutsideAddr, Pod2Port)},
	} {
		if err := f.h.TCP(ctx, f.source, f.to, Transfer{Up: 2 << 20, Down: 2 << 20, Seed: 1}); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

func checkUDP(t *testing.T, l *Lab) {
	t.Helper()
	to := netip.AddrPortFrom(OutsideAddr, Pod2Port)
	e, err := l.Client.UDP(t.Context(), InternetAddr, to, 50, 200, time.Second)
	if err != nil || e.Received != 50 || e.Wrong != 0 || e.From != to {
		t.Errorf("UDP to pod2: %+v, %v; want 50 answers from %v", e, err, to)
	}
}

func checkPing(t *testing.T, l *Lab) {
	t.Helper()
	ctx := t.Context()
	for _, row := range []struct {
		name  string
		h     *Host
		ping  Ping
		reply bool
		mtu   int
		from  netip.Addr
	}{
		{"pod2 to internet", l.Pod2, Ping{Source: Pod2Addr, To: InternetAddr, Size: 56}, true, 0, InternetAddr},
		{"1:1 to pod1, full frame", l.Client, Ping{To: Outside1Static, Size: 1472, DontFragment: true}, true, 0, Outside1Static},
		{"1:1 to pod2, full tunnel", l.Client, Ping{To: Outside2Static, Size: 1452, DontFragment: true}, true, 0, Outside2Static},
		{"1:1 to pod2, a byte too long", l.Client, Ping{To: Outside2Static, Size: 1453, DontFragment: true}, false, 1480, Outside2Static},
	} {
		pong, err := row.h.Ping(ctx, row.ping, time.Second)
		if err != nil || pong.Reply() != row.reply || pong.MTU != row.mtu || pong.From != row.from {
			t.Errorf("ping %s: %v, %v; want reply %v, MTU %d from %v", row.name, pong, err, row.reply, row.mtu, row.from)
		}
	}
	hops, err := l.Pod1.Trace(ctx, Pod1Addr, InternetAddr, 5, time.Second)
	if want := []netip.Addr{Worker1Addr, InsideAddr, InternetAddr}; err != nil || !slices.Equal(hops, want) {
		t.Errorf("trace from pod1: %v, %v; want %v", hops, err, want)
	}
}

// TestLoadLosesNothing proves that a load by itself reports no loss.
func TestLoadLosesNothing(t *testing.T) {
	l := open(t, Options{})
	ctx := t.Context()
	if err := errors.Join(l.StandIn(ctx), l.ServeAll()); err != nil {
		t.Fatal(err)
	}
	load, err := l.StartLoad(ctx, 500, 500)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	r := load.Stop()
	if r.Lost > 0 || r.Slow > 0 || len(r.Errors) > 0 {
		t.Errorf("%v: %v; want no loss", r, r.Errors)
	}
	if r.Exchanges < 100 || r.Connections < 800 || r.Datagrams < 800 {
		t.Errorf("%v; want hundreds of each", r)
	}
	t.Log(r)
}

// TestTrunkIsTagged proves the trunk: what crosses it has the tag, and a kernel
// stack behind it is reached.
func TestTrunkIsTagged(t *testing.T) {
	l := open(t, Options{Trunk: true})
	ctx := t.Context()
	if err := l.StandIn(ctx); err != nil {
		t.Fatal(err)
	}
	capture, err := l.Capture(l.Gateway, "trunk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.ServeTCP(l.Tagged, netip.AddrPortFrom(TaggedAddr, ServicePort)); err != nil {
		t.Fatal(err)
	}
	if err := l.Client.TCP(ctx, netip.Addr{}, netip.AddrPortFrom(TaggedAddr, ServicePort), Transfer{Up: 1 << 20, Down: 1 << 20, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	frames := capture.Stop()
	if len(frames) == 0 {
		t.Fatal("nothing crossed the trunk")
	}
	for _, f := range frames {
		if f.VLAN != TrunkVLAN {
			t.Fatalf("a frame crossed the trunk in VLAN %d; want %d", f.VLAN, TrunkVLAN)
		}
	}
}

func TestCloseRemovesEverything(t *testing.T) {
	l := open(t, Options{Trunk: true})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(netnsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(e.Name()) >= len(l.id) && e.Name()[:len(l.id)] == l.id {
			t.Errorf("namespace %s is still there", e.Name())
		}
	}
	if _, err := os.Stat(l.Dir); !os.IsNotExist(err) {
		t.Errorf("directory %s is still there", l.Dir)
	}
}

// TestSweepRemovesLabsOfDeadProcesses plants a namespace of a process that has
// ended, with a process in it.
func TestSweepRemovesLabsOfDeadProcesses(t *testing.T) {
	l := open(t, Options{})
	dead := l.Gateway.Command(t.Context(), "true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	h := &Host{Name: "left", Namespace: prefix + strconv.Itoa(dead.Process.Pid) + "-1-left"}
	if err := ip(t.Context(), "netns", "add", h.Namespace); err != nil {
		t.Fatal(err)
	}
	sleeper := h.Command(context.Background(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := output(exec.Command("ip", "netns", "pids", h.Namespace), "ip netns pids")
		if err == nil && out != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("sleep did not start in the namespace")
		}
	}
	if err := sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Wait(); err == nil {
		t.Error("the process left in the namespace was not killed")
	}
	if _, err := os.Stat(netnsDir + "/" + h.Namespace); !os.IsNotExist(err) {
		t.Error("the namespace is still there")
	}
	if _, err := l.Gateway.Exec(t.Context(), "true"); err != nil {
		t.Errorf("a lab of a live process was swept: %v", err)
	}
}
