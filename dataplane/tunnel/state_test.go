package tunnel

import (
	"net/netip"
	"testing"
)

const minute = int64(60e9)

func TestLearnedMTU(t *testing.T) {
	tun := example(t, func(*Config) {})
	s := NewSoftState(tun, nil, nil)
	at := func(now int64, want int) {
		t.Helper()
		if got := s.MTU(1, 1500, now); got != want {
			t.Errorf("at %d min: got %d; want %d", now/minute, got, want)
		}
	}
	at(0, 1480)
	s.Learn(1, 1400, 0)
	at(0, 1380)
	s.Learn(1, 1450, minute) // must not raise it
	at(minute, 1380)
	s.Learn(1, 1300, 2*minute)
	at(2*minute, 1280)
	at(12*minute, 1280)
	at(12*minute+2e6, 1480) // aged
	s.Learn(1, 1450, 13*minute)
	at(13*minute, 1430)
	if got := s.MTU(1, 1200, 13*minute); got != 1180 {
		t.Errorf("a link smaller than the path: got %d; want 1180", got)
	}
	if got := s.MTU(0, 1500, 13*minute); got != 1480 {
		t.Errorf("the other peer: got %d; want 1480", got)
	}
}

func TestLearnedMTUAgesAsConfigured(t *testing.T) {
	s := NewSoftState(example(t, func(c *Config) { c.PathMTUAge = minute }), nil, nil)
	s.Learn(0, 1400, 0)
	if got := s.MTU(0, 1500, minute); got != 1380 {
		t.Errorf("after a minute: got %d; want 1380", got)
	}
	if got := s.MTU(0, 1500, minute+2e6); got != 1480 {
		t.Errorf("after more than a minute: got %d; want 1480", got)
	}
}

func TestAdmitBoundsEachPeer(t *testing.T) {
	s := NewSoftState(example(t, func(c *Config) { c.PeerRate = 100 }), nil, nil)
	admitted := func(peer, n int, now int64) (count int) {
		for range n {
			if s.Admit(peer, now) {
				count++
			}
		}
		return count
	}
	if got := admitted(0, 50, minute); got != 10 {
		t.Errorf("at once: got %d; want a tenth of 100", got)
	}
	if got := admitted(1, 5, minute); got != 5 {
		t.Errorf("the other peer: got %d of 5", got)
	}
	count := 0
	for i := range int64(1000) {
		count += admitted(0, 1, minute+1e9+i*1e6)
	}
	if count < 100 || count > 110 {
		t.Errorf("a thousand packets within a second: got %d; want 100 and the burst", count)
	}
	s = NewSoftState(example(t, func(*Config) {}), nil, nil)
	if got := admitted(0, 1000, minute); got != 1000 {
		t.Errorf("without a rate: got %d of 1000", got)
	}
}

func TestDown(t *testing.T) {
	s := NewSoftState(example(t, func(*Config) {}), nil, nil)
	if s.Down(0, 0) {
		t.Error("down before any failure")
	}
	s.Fail(0, 0)
	if !s.Down(0, 9e9) || s.Down(1, 9e9) {
		t.Error("got the wrong peer down")
	}
	if s.Down(0, 11e9) {
		t.Error("still down after ten seconds")
	}
	s.Fail(0, 20e9)
	s.Heard(0)
	if s.Down(0, 20e9) {
		t.Error("still down after it was heard")
	}
}

func TestSoftStateOutlivesAReload(t *testing.T) {
	before := example(t, func(*Config) {})
	old := NewSoftState(before, nil, nil)
	old.Learn(1, 1400, minute)
	old.Fail(1, minute)
	after := example(t, func(c *Config) {
		c.Workers = []Worker{
			{Name: "new", Address: netip.MustParseAddr("192.0.2.77")}, {Name: "renamed", Address: c.Workers[1].Address},
		}
		c.Workers[0], c.Workers[1] = c.Workers[1], c.Workers[0]
	})
	s := NewSoftState(after, before, old)
	if got := s.MTU(0, 1500, minute); got != 1380 {
		t.Errorf("the peer that stayed: got %d; want 1380", got)
	}
	if !s.Down(0, minute) || s.Down(1, minute) {
		t.Error("reachability did not follow the address")
	}
	if got := s.MTU(1, 1500, minute); got != 1480 {
		t.Errorf("the new peer: got %d; want 1480", got)
	}
}

func TestPathMTU(t *testing.T) {
	rows := []struct {
		name     string
		reported uint16
		length   int
		want     uint16
		ok       bool
	}{
		{"as reported", 1400, 1500, 1400, true},
		{"not smaller than what was sent", 1500, 1500, 0, false},
		{"larger than what was sent", 9000, 1500, 0, false},
		{"below what IPv4 allows", 67, 1500, 0, false},
		{"the least that IPv4 allows is raised", 68, 1500, 576, true},
		{"raised, and what was sent is smaller", 68, 500, 0, false},
		{"an old router, from Ethernet", 0, 1500, 1492, true},
		{"an old router, from a plateau", 0, 1492, 1006, true},
		{"an old router, from a super-packet", 0, 65535, 32000, true},
		{"an old router, from less than any plateau", 0, 576, 0, false},
	}
	for _, r := range rows {
		if got, ok := PathMTU(r.reported, r.length); ok != r.ok || ok && got != r.want {
			t.Errorf("%s: got %d %v; want %d %v", r.name, got, ok, r.want, r.ok)
		}
	}
}
