package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"openvra/tools/lab"
)

// Ports of the sink's servers.
const (
	echoPort    = 7
	discardPort = 9
)

// latencies are round trips of 64 bytes, in microseconds.
type latencies struct {
	TCP50, TCP99, UDP50, UDP99 float64
}

// serve starts the sink's servers: TCP and UDP echo, and a TCP discard.
func serve(b *bed) error {
	any := netip.IPv4Unspecified()
	echo, err := b.sink.ListenTCP(netip.AddrPortFrom(any, echoPort))
	if err != nil {
		return err
	}
	discard, err := b.sink.ListenTCP(netip.AddrPortFrom(any, discardPort))
	if err != nil {
		return err
	}
	go accept(echo, func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	go accept(discard, func(c net.Conn) {
		buf := make([]byte, 1<<20)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	// Bound to an address, so that the answer comes from it.
	return errors.Join(
		b.ServeUDP(b.sink, netip.AddrPortFrom(sinkAddr, echoPort)),
		b.ServeUDP(b.sink, netip.AddrPortFrom(directAddr, echoPort)))
}

// accept serves the connections of a listener, which lives as long as the process.
func accept(l *net.TCPListener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { defer c.Close(); serve(c) }()
	}
}

// endToEnd measures what kernel stacks at both ends get.
func endToEnd(ctx context.Context, b *bed, to netip.Addr) (s sample, err error) {
	const trips = 3000
	if s.latency.TCP50, s.latency.TCP99, err = pingPongTCP(ctx, b.gen, netip.AddrPortFrom(to, echoPort), trips); err != nil {
		return s, fmt.Errorf("TCP round trips: %w", err)
	}
	if s.latency.UDP50, s.latency.UDP99, err = pingPongUDP(b.gen, netip.AddrPortFrom(to, echoPort), trips); err != nil {
		return s, fmt.Errorf("UDP round trips: %w", err)
	}
	if s.gbps, err = throughput(ctx, b.gen, netip.AddrPortFrom(to, discardPort), time.Second); err != nil {
		return s, fmt.Errorf("TCP throughput: %w", err)
	}
	return s, nil
}

func pingPongTCP(ctx context.Context, h *lab.Host, to netip.AddrPort, trips int) (p50, p99 float64, err error) {
	c, err := h.DialTCP(ctx, netip.Addr{}, to)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	buf := make([]byte, 64)
	return times(trips, func() error {
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
		_, err := io.ReadFull(c, buf)
		return err
	})
}

func pingPongUDP(h *lab.Host, to netip.AddrPort, trips int) (p50, p99 float64, err error) {
	c, err := h.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	buf := make([]byte, 64)
	lost := 0
	return times(trips, func() error {
		if _, err := c.WriteToUDPAddrPort(buf, to); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		if _, _, err := c.ReadFromUDPAddrPort(buf); err != nil {
			if lost++; lost > trips/100 {
				return fmt.Errorf("%d datagrams lost: %w", lost, err)
			}
		}
		return nil
	})
}

// times runs f again and again and returns the median and the 99th percentile of
// how long it took, in microseconds. The first tenth warms up.
func times(n int, f func() error) (p50, p99 float64, err error) {
	var took []float64
	for i := range n {
		start := time.Now()
		if err := f(); err != nil {
			return 0, 0, err
		}
		if i >= n/10 {
			took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
		}
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], nil
}

// throughput is what one TCP connection carries, in Gbit/s of payload.
func throughput(ctx context.Context, h *lab.Host, to netip.AddrPort, during time.Duration) (float64, error) {
	c, err := h.DialTCP(ctx, netip.Addr{}, to)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	var sent int
	start := time.Now()
	if err := c.SetWriteDeadline(start.Add(during)); err != nil {
		return 0, err
	}
	for {
		n, err := c.Write(buf)
		sent += n
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return float64(sent) * 8 / 1e9 / time.Since(start).Seconds(), nil
		}
		if err != nil {
			return 0, err
		}
	}
}
