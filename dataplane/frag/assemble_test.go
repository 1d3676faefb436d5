package frag

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"openvra/dataplane/header"
	"openvra/dataplane/packet"
)

func TestAssemble(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		tr := tracker(t, func(c *Config) { c.Fragments = 400 })
		parts := split(5, 100+rnd.IntN(3000), 8*(6+rnd.IntN(60)))
		rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var ps []*packet.Packet
		for i, f := range parts {
			p := f.packet()
			ps = append(ps, p)
			v := tr.Assemble(p, 0, 0)
			if i < len(parts)-1 {
				if !v.Held || v.Whole != nil {
					t.Fatalf("fragment %d of %d: got %v; want held", i, len(parts), v)
				}
				continue
			}
			if v.Whole == nil || v.Merged != len(parts) || v.Held || tr.Len() != 0 {
				t.Fatalf("the last: got %v; want the whole of %d", v, len(parts))
			}
			h := header.IPv4(v.Whole.Bytes())
			if !valid(h) || h.IsFragment() || v.Whole.L3 != v.Whole.Start || int(v.Whole.L4-v.Whole.L3) != 20 || v.Whole.L3End != v.Whole.End {
				t.Fatalf("malformed: % x", h[:20])
			}
			if !bytes.Equal(payload(v.Whole), join(ps)) {
				t.Fatal("another payload than the slow way's")
			}
		}
	}
}

func TestAssembleRefusals(t *testing.T) {
	rows := []struct {
		name  string
		steps []step
	}{
		{"a mark that not all can carry (RFC 3168 5.3)", []step{
			{part{n: 8, more: true, tos: 3}, "held"}, {part{from: 8, n: 8}, "fragment_malformed lost 1 fragment_malformed"}}},
		{"overlap", []step{
			{part{n: 16, more: true}, "held"}, {part{from: 8, n: 16}, "fragment_overlap lost 1 fragment_overlap"}}},
		{"too long with its first header is told by each part", []step{{part{from: 65528, n: 1}, "fragment_malformed"}}},
	}
	for _, r := range rows {
		tr := tracker(t, func(*Config) {})
		for i, s := range r.steps {
			if got := tr.Assemble(s.packet(), 0, 0).String(); got != s.want {
				t.Errorf("%s: fragment %d: got %q; want %q", r.name, i, got, s.want)
			}
		}
	}
	tr := tracker(t, func(*Config) {})
	tr.Assemble(part{n: 8, more: true, tos: 3}.packet(), 0, 0)
	v := tr.Assemble(part{from: 8, n: 8, tos: 2}.packet(), 0, 0)
	if v.Whole == nil || header.IPv4(v.Whole.Bytes()).TOS() != 3 {
		t.Errorf("a mark on one of two: got %v", v)
	}
	if got := tr.Track(part{id: 9, n: 8, more: true}.packet(), 0, 0).String(); got != "pass 1009>53" {
		t.Errorf("got %q", got)
	}
	if got := tr.Assemble(part{id: 9, from: 8, n: 8}.packet(), 0, 0).String(); got != "held" {
		t.Errorf("what is tracked is not assembled: got %q", got)
	}
}
