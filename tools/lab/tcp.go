package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Transfer is what one exchange over TCP carries, in bytes each way. Both
// directions are pseudo-random bytes of Seed and are checked by SHA-256.
type Transfer struct {
	Up, Down int64
	Seed     uint64
}

// exchange timeouts: how long either side waits for the other to go on.
const stall = 15 * time.Second

// A TCPServer serves Exchange. Safe for concurrent use.
type TCPServer struct {
	mu      sync.Mutex
	remotes map[netip.Addr]int
}

// Remotes counts the connections that came from each address.
func (s *TCPServer) Remotes() map[netip.Addr]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.remotes)
}

// ServeTCP serves Exchange at an address of the host until the lab is closed.
func (l *Lab) ServeTCP(h *Host, at netip.AddrPort) (*TCPServer, error) {
	listener, err := h.ListenTCP(at)
	if err != nil {
		return nil, fmt.Errorf("listen in %s: %w", h.Name, err)
	}
	s := &TCPServer{remotes: map[netip.Addr]int{}}
	l.running.Go(func() {
		var conns sync.WaitGroup
		defer conns.Wait()
		defer context.AfterFunc(l.ctx, func() { listener.Close() })()
		for {
			c, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			conns.Go(func() { s.serve(l.ctx, c) })
		}
	})
	return s, nil
}

func (s *TCPServer) serve(ctx context.Context, c *net.TCPConn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	s.mu.Lock()
	s.remotes[c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()]++
	s.mu.Unlock()
	for answer(c) == nil {
	}
}

// answer serves one exchange: a request (24 bytes: up, down, seed), the upload,
// the hash of what came, the download.
func answer(c net.Conn) error {
	var head [24]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	up, down, seed := binary.BigEndian.Uint64(head[0:]), binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint64(head[16:])
	got := sha256.New()
	if _, err := io.CopyN(got, patient{c}, int64(up)); err != nil {
		return err
	}
	if _, err := c.Write(got.Sum(nil)); err != nil {
		return err
	}
	_, err := io.CopyN(patient{c}, content(seed, 1), int64(down))
	return err
}

// Exchange does t over c, an open connection to ServeTCP, and reports the first
// wrong byte count, hash or error.
func Exchange(c net.Conn, t Transfer) error {
	var head [24]byte
	binary.BigEndian.PutUint64(head[0:], uint64(t.Up))
	binary.BigEndian.PutUint64(head[8:], uint64(t.Down))
	binary.BigEndian.PutUint64(head[16:], t.Seed)
	sent := sha256.New()
	out := io.MultiReader(bytes.NewReader(head[:]), io.TeeReader(io.LimitReader(content(t.Seed, 0), t.Up), sent))
	if _, err := io.Copy(patient{c}, out); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	var hash [sha256.Size]byte
	if _, err := io.ReadFull(patient{c}, hash[:]); err != nil {
		return fmt.Errorf("read hash of the upload: %w", err)
	}
	if !bytes.Equal(hash[:], sent.Sum(nil)) {
		return errors.New("upload arrived with another hash")
	}
	got, want := sha256.New(), sha256.New()
	if _, err := io.CopyN(got, patient{c}, t.Down); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if _, err := io.CopyN(want, content(t.Seed, 1), t.Down); err != nil {
		return err
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return errors.New("download arrived with another hash")
	}
	return nil
}

// content returns endless bytes that seed and direction decide.
func content(seed uint64, direction byte) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	key[8] = direction
	return rand.NewChaCha8(key)
}

// patient gives each read and write its own deadline, stall from its start.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// TCP connects from a host, and from source if that is valid, does one exchange
// and closes.
func (h *Host) TCP(ctx context.Context, source netip.Addr, to netip.AddrPort, t Transfer) error {
	c, err := h.DialTCP(ctx, source, to)
	if err != nil {
		return err
	}
	defer c.Close()
	return Exchange(c, t)
}
