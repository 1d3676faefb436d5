package afpacket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openvra/dataplane/gso"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// host runs f for a host of its own: a goroutine on a thread in a namespace of its
// own, with the device, which is moved there, at 192.0.2.number.
func host(t *testing.T, device string, number int, f func() error) (done <-chan error) {
	t.Helper()
	tid, moved, result := make(chan int), make(chan bool), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace goes with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make namespace: %v", err)
		}
		tid <- unix.Gettid()
		<-moved
		linktest.IP(t, "link set "+device+" up")
		linktest.IP(t, fmt.Sprintf("addr add 192.0.2.%d/24 dev %s", number, device))
		linktest.AwaitUp(t, device)
		result <- f()
	}()
	linktest.IP(t, fmt.Sprintf("link set %s netns %d", device, <-tid))
	close(moved)
	return result
}

// wirePorts joins two ports to a wire: what one receives the other sends, as send
// makes it. It returns when stop is closed, or a host is gone and its device with it.
func wirePorts(t *testing.T, a, b *Port, stop <-chan struct{}, send func(p *packet.Packet, to *Port)) {
	var batch packet.Batch
	for {
		select {
		case <-stop:
			return
		default:
		}
		n := 0
		for i, p := range []*Port{a, b} {
			if err := p.Queues()[0].Rx(&batch); errors.Is(err, link.ErrDown) {
				return
			} else if err != nil {
				t.Errorf("Rx: %v", err)
				return
			}
			for j := range batch.P[:batch.N] {
				send(&batch.P[j], []*Port{b, a}[i])
			}
			n += batch.N
		}
		if n == 0 {
			_, _ = unix.Poll([]unix.PollFd{
				{Fd: int32(a.Queues()[0].FD()), Events: unix.POLLIN},
				{Fd: int32(b.Queues()[0].FD()), Events: unix.POLLIN},
			}, 20)
		}
	}
}

// Two real stacks talk TCP and UDP over two ports: their frames come half-made and
// as super-packets, and leave as they came, or finished and cut.
func TestBetweenRealStacks(t *testing.T) {
	for _, row := range []struct {
		name string
		send func(p *packet.Packet, to *Port)
	}{
		{"whole", func(p *packet.Packet, to *Port) { _, _ = to.Queues()[0].Tx([]*packet.Packet{p}) }},
		{"finished and cut in software", cutAndSend},
	} {
		t.Run(row.name, func(t *testing.T) {
			linktest.Namespace(t)
			a, b := openPair(t, "vra-x"), openPair(t, "vra-y")
			var super, half int
			stop := make(chan struct{})
			var wire sync.WaitGroup
			ready := make(chan struct{})
			server := host(t, "vra-y1", 2, func() error { return serve(ready) })
			<-ready
			wire.Go(func() {
				wirePorts(t, a, b, stop, func(p *packet.Packet, to *Port) {
					switch o := p.Offload; {
					case o.GSOType != packet.GSONone:
						super++
					case o.Flags&packet.NeedsChecksum != 0:
						half++
					}
					row.send(p, to)
				})
			})
			if err := <-host(t, "vra-x1", 1, talk); err != nil {
				t.Error(err)
			}
			if err := <-server; err != nil {
				t.Error(err)
			}
			close(stop)
			wire.Wait()
			if super == 0 || half == 0 {
				t.Errorf("got %d super-packets, %d half-made checksums; want some of both, or nothing was tested", super, half)
			}
		})
	}
}

// openPair makes a veth pair, name0 and name1, and opens the first.
func openPair(t *testing.T, name string) *Port {
	t.Helper()
	linktest.Veth(t, name+"0", name+"1")
	p, err := Open(Options{Device: name + "0", Guarded: true, Promiscuous: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// cutAndSend leaves nothing to the device.
func cutAndSend(p *packet.Packet, to *Port) {
	q := to.Queues()[0]
	if p.Offload.GSOType == packet.GSONone {
		gso.Complete(p)
		_, _ = q.Tx([]*packet.Packet{p})
		return
	}
	var c gso.Cutter
	if !c.Reset(p, p.Start+header.EthernetLen) {
		return // the transfer then stands still, which the test sees
	}
	out := packet.Packet{Buf: make([]byte, packet.Headroom+c.Longest())}
	for c.Next(&out) {
		_, _ = q.Tx([]*packet.Packet{&out})
	}
}

const transfer = 4 << 20

// serve sends one TCP connection and one datagram back as they came.
func serve(ready chan<- struct{}) error {
	tcp, err := net.Listen("tcp4", "192.0.2.2:5000")
	if err != nil {
		close(ready)
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "192.0.2.2:5000")
	close(ready)
	if err != nil {
		return err
	}
	defer udp.Close()
	deadline := time.Now().Add(20 * time.Second)
	if err := udp.SetDeadline(deadline); err != nil {
		return err
	}
	b := make([]byte, 2048)
	n, from, err := udp.ReadFrom(b)
	if err != nil {
		return err
	}
	if _, err := udp.WriteTo(b[:n], from); err != nil {
		return err
	}
	c, err := tcp.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	_, err = io.Copy(c, io.LimitReader(c, transfer))
	return err
}

// talk sends a datagram, then a stream, and compares what comes back.
func talk() error {
	want := make([]byte, transfer)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	for _, row := range []struct {
		network string
		n       int
	}{{"udp4", 1000}, {"tcp4", transfer}} {
		c, err := net.DialTimeout(row.network, "192.0.2.2:5000", 10*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(want[:row.n])
			sent <- err
		}()
		got := make([]byte, row.n)
		if _, err := io.ReadFull(c, got); err != nil {
			return fmt.Errorf("%s: read: %w", row.network, err)
		}
		if err := <-sent; err != nil {
			return err
		}
		if !bytes.Equal(got, want[:row.n]) {
			return fmt.Errorf("%s: %d bytes came back changed", row.network, row.n)
		}
	}
	return nil
}
