package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Load is traffic in the background: long TCP flows, hash-checked again and again,
// and new flows all the time. ServeAll must have been called.
type Load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	report LoadReport
}

// LoadReport is what came of a Load.
type LoadReport struct {
	// Exchanges counts the hash-checked exchanges of the long flows.
	Exchanges int
	// Connections and Datagrams count the new TCP and UDP flows.
	Connections, Datagrams int
	// Lost counts datagrams that were not answered within two seconds.
	Lost int
	// Slow counts connections that took half a second or more, as after the loss
	// of a SYN.
	Slow int
	// Errors are the first failures, at most 20.
	Errors []error
}

func (r LoadReport) String() string {
	return fmt.Sprintf("%d exchanges, %d connections (%d slow), %d datagrams (%d lost), %d errors",
		r.Exchanges, r.Connections, r.Slow, r.Datagrams, r.Lost, len(r.Errors))
}

// ServeAll serves TCP and UDP at ServicePort of the internet and of both pods.
func (l *Lab) ServeAll() error {
	var errs []error
	for _, s := range []struct {
		host *Host
		addr netip.Addr
	}{{l.Client, InternetAddr}, {l.Pod1, Pod1Addr}, {l.Pod2, Pod2Addr}} {
		at := netip.AddrPortFrom(s.addr, ServicePort)
		_, err := l.ServeTCP(s.host, at)
		errs = append(errs, err, l.ServeUDP(s.host, at))
	}
	return errors.Join(errs...)
}

// StartLoad opens four long flows, from and to each pod, and new flows at the given
// rates per second: connections from the internet to the pods, datagrams from the
// pods to the internet.
func (l *Lab) StartLoad(ctx context.Context, connections, datagrams int) (*Load, error) {
	ctx, cancel := context.WithCancel(ctx)
	load := &Load{cancel: cancel}
	internet := netip.AddrPortFrom(InternetAddr, ServicePort)
	web1, web2 := netip.AddrPortFrom(OutsideAddr, Pod1Port), netip.AddrPortFrom(OutsideAddr, Pod2Port)
	for i, f := range []struct {
		from   *Host
		source netip.Addr
		to     netip.AddrPort
	}{{l.Pod1, Pod1Addr, internet}, {l.Pod2, Pod2Addr, internet}, {l.Client, InternetAddr, web1}, {l.Client, InternetAddr, web2}} {
		c, err := f.from.DialTCP(ctx, f.source, f.to)
		if err != nil {
			load.Stop()
			return nil, fmt.Errorf("open long flow %d: %w", i, err)
		}
		load.done.Go(func() { load.exchange(ctx, c, uint64(i)) })
	}
	for _, to := range []netip.AddrPort{web1, web2} {
		load.done.Go(func() { load.connect(ctx, l.Client, to, connections/2) })
	}
	load.done.Go(func() { load.send(ctx, l.Pod1, Pod1Addr, internet, datagrams/2) })
	load.done.Go(func() { load.send(ctx, l.Pod2, Pod2Addr, internet, datagrams/2) })
	return load, nil
}

// Stop ends the load, waits for what is under way and returns the report.
func (ld *Load) Stop() LoadReport {
	ld.cancel()
	ld.done.Wait()
	ld.mu.Lock()
	defer ld.mu.Unlock()
	return ld.report
}

func (ld *Load) count(f func(*LoadReport), err error) {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	f(&ld.report)
	if err != nil && len(ld.report.Errors) < 20 {
		ld.report.Errors = append(ld.report.Errors, err)
	}
}

// exchange does 32 KiB each way a hundred times a second.
func (ld *Load) exchange(ctx context.Context, c net.Conn, seed uint64) {
	defer c.Close()
	for ctx.Err() == nil {
		seed += 4
		if err := Exchange(c, Transfer{Up: 32 << 10, Down: 32 << 10, Seed: seed}); err != nil {
			ld.count(func(*LoadReport) {}, fmt.Errorf("long flow %v: %w", c.LocalAddr(), err))
			return
		}
		ld.count(func(r *LoadReport) { r.Exchanges++ }, nil)
		time.Sleep(10 * time.Millisecond)
	}
}

// pace calls f rate times a second until ctx ends, on a thread inside the host.
func pace(ctx context.Context, h *Host, rate int, f func(i int)) error {
	if rate == 0 {
		return nil
	}
	return h.Do(func() error {
		start := time.Now()
		for i := 0; ctx.Err() == nil; i++ {
			due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(due))
			f(i)
		}
		return nil
	})
}

// connect opens connections, each for one small exchange.
func (ld *Load) connect(ctx context.Context, h *Host, to netip.AddrPort, rate int) {
	err := pace(ctx, h, rate, func(i int) {
		start := time.Now()
		c, err := net.DialTimeout("tcp4", to.String(), stall)
		if err != nil {
			ld.count(func(r *LoadReport) { r.Connections++ }, fmt.Errorf("new connection to %v: %w", to, err))
			return
		}
		ld.done.Go(func() {
			defer c.Close()
			err := Exchange(c, Transfer{Up: 100, Down: 100, Seed: uint64(i)})
			slow := time.Since(start) >= time.Second/2
			ld.count(func(r *LoadReport) {
				r.Connections++
				if slow {
					r.Slow++
				}
			}, err)
		})
	})
	ld.count(func(*LoadReport) {}, err)
}

// send sends datagrams, each from a port of its own.
func (ld *Load) send(ctx context.Context, h *Host, from netip.Addr, to netip.AddrPort, rate int) {
	err := pace(ctx, h, rate, func(i int) {
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
		if err != nil {
			ld.count(func(*LoadReport) {}, fmt.Errorf("new datagram to %v: %w", to, err))
			return
		}
		out := binary.BigEndian.AppendUint64(nil, uint64(i))
		_, err = c.Write(out)
		ld.done.Go(func() {
			defer c.Close()
			in := make([]byte, 64)
			c.SetReadDeadline(time.Now().Add(2 * time.Second))
			n, rerr := c.Read(in)
			lost := rerr != nil || !bytes.Equal(in[:n], out)
			ld.count(func(r *LoadReport) {
				r.Datagrams++
				if lost {
					r.Lost++
				}
			}, err)
		})
	})
	ld.count(func(*LoadReport) {}, err)
}
