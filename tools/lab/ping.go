package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Ping is one ICMP echo request to send.
type Ping struct {
	// Source is the sender's address; the kernel chooses if it is not valid.
	Source, To netip.Addr
	// Size is the payload in bytes; the packet is 28 longer.
	Size int
	// TTL of the packet; 0 means 64.
	TTL int
	// DontFragment sends with DF whatever the kernel knows of the path.
	DontFragment bool
	// Sequence tells one request from the next.
	Sequence uint16
}

// A Pong is what came back.
type Pong struct {
	// From is who answered.
	From netip.Addr
	// Type and Code are ICMP's: 0 is the echo reply.
	Type, Code uint8
	// MTU is what a type 3 code 4 answer asks for.
	MTU int
	// TTL of the answer as it arrived.
	TTL int
	// Took is the time from request to answer.
	Took time.Duration
}

// Reply says whether the answer is the echo, rather than an error.
func (p Pong) Reply() bool { return p.Type == 0 }

func (p Pong) String() string {
	switch {
	case p.Reply():
		return fmt.Sprintf("reply from %v in %v", p.From, p.Took.Round(time.Microsecond))
	case p.Type == 3 && p.Code == 4:
		return fmt.Sprintf("%v says fragmentation needed, MTU %d", p.From, p.MTU)
	case p.Type == 11:
		return fmt.Sprintf("%v says time exceeded", p.From)
	}
	return fmt.Sprintf("%v says ICMP type %d code %d", p.From, p.Type, p.Code)
}

// Ping sends the request from the host and waits for the answer, an echo reply or
// an ICMP error that quotes it. No answer is os.ErrDeadlineExceeded.
func (h *Host) Ping(ctx context.Context, p Ping, wait time.Duration) (Pong, error) {
	conn, err := h.openPing(p)
	if err != nil {
		return Pong{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	id := uint16(conn.LocalAddr().(*net.IPAddr).IP.To4()[3])<<8 ^ uint16(os.Getpid())
	request := echo(p, id)
	start := time.Now()
	if err := conn.SetDeadline(start.Add(wait)); err != nil {
		return Pong{}, err
	}
	if _, err := conn.WriteToIP(request, &net.IPAddr{IP: p.To.AsSlice()}); err != nil {
		return Pong{}, fmt.Errorf("send echo request: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return Pong{}, err
	}
	buf := make([]byte, 65536)
	for {
		n, err := receivePacket(raw, buf)
		if err != nil {
			return Pong{}, err
		}
		if pong, ok := match(buf[:n], request, p.To); ok {
			pong.Took = time.Since(start)
			return pong, nil
		}
	}
}

func (h *Host) openPing(p Ping) (*net.IPConn, error) {
	var conn *net.IPConn
	return conn, h.Do(func() error {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			cerr := c.Control(func(fd uintptr) { err = pingOptions(int(fd), p) })
			return errors.Join(cerr, err)
		}}
		at := "0.0.0.0"
		if p.Source.IsValid() {
			at = p.Source.String()
		}
		c, err := lc.ListenPacket(context.Background(), "ip4:icmp", at)
		if err == nil {
			conn = c.(*net.IPConn)
		}
		return err
	})
}

func pingOptions(fd int, p Ping) error {
	ttl, discover := p.TTL, unix.IP_PMTUDISC_DONT
	if ttl == 0 {
		ttl = 64
	}
	if p.DontFragment {
		discover = unix.IP_PMTUDISC_PROBE // DF, and no cached path MTU
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover))
}

// receivePacket reads a whole IP packet: the net package would cut its header.
func receivePacket(c syscall.RawConn, buf []byte) (n int, err error) {
	rerr := c.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), buf, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if rerr != nil {
		return 0, rerr // the deadline, say; err is EAGAIN then
	}
	return n, err
}

// echo returns the ICMP message of p.
func echo(p Ping, id uint16) []byte {
	m := make([]byte, 8+p.Size)
	m[0] = 8
	binary.BigEndian.PutUint16(m[4:], id)
	binary.BigEndian.PutUint16(m[6:], p.Sequence)
	for i := range m[8:] {
		m[8+i] = byte(i) ^ byte(i>>8)
	}
	var sum uint32
	for i := 0; i+1 < len(m); i += 2 {
		sum += uint32(m[i])<<8 | uint32(m[i+1])
	}
	if len(m)%2 == 1 {
		sum += uint32(m[len(m)-1]) << 8
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum>>16+sum))
	return m
}

// match reports whether the packet answers request, which was sent to to: an echo
// reply must carry the same payload, an error must quote the same header.
func match(packet, request []byte, to netip.Addr) (pong Pong, ok bool) {
	if len(packet) < 28 {
		return pong, false
	}
	header := int(packet[0]&15) * 4
	if len(packet) < header+8 {
		return pong, false
	}
	m := packet[header:]
	pong = Pong{From: netip.AddrFrom4([4]byte(packet[12:16])), Type: m[0], Code: m[1], TTL: int(packet[8])}
	switch pong.Type {
	case 0:
		return pong, bytes.Equal(m[4:], request[4:])
	case 3, 11, 12:
		if pong.Type == 3 && pong.Code == 4 {
			pong.MTU = int(binary.BigEndian.Uint16(m[6:]))
		}
		quote := m[8:]
		if len(quote) < 28 || len(quote) < int(quote[0]&15)*4+8 {
			return pong, false
		}
		return pong, bytes.Equal(quote[16:20], to.AsSlice()) && bytes.Equal(quote[int(quote[0]&15)*4:][:8], request[:8])
	}
	return pong, false
}

// Trace sends echo requests with TTL 1, 2, … and returns who answered each, up to
// the one that the destination answered; an address that is not valid stands for
// silence. It stops after limit hops.
func (h *Host) Trace(ctx context.Context, source, to netip.Addr, limit int, wait time.Duration) ([]netip.Addr, error) {
	var hops []netip.Addr
	for ttl := 1; ttl <= limit; ttl++ {
		pong, err := h.Ping(ctx, Ping{Source: source, To: to, TTL: ttl, Size: 32, Sequence: uint16(ttl)}, wait)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return hops, err
		}
		hops = append(hops, pong.From)
		if err == nil && pong.Reply() {
			return hops, nil
		}
	}
	return hops, fmt.Errorf("%v not reached within %d hops", to, limit)
}
