package pcap

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"openvra/dataplane/link"
	"openvra/dataplane/link/linktest"
	"openvra/dataplane/packet"
)

// capture returns a capture of the frames, a microsecond apart from 1 s on.
func capture(t testing.TB, typ LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if _, err := w.AddInterface("x", typ); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if err := w.Write(0, 1e9+int64(i)*1000, f, len(f), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read returns copies of all records, with the error that ended them, nil at the
// file's end.
func read(t testing.TB, file []byte) ([]Record, error) {
	t.Helper()
	r, err := NewReader("test", bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var rs []Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rs, nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("Next after an error: got %v; want %v again", again, err)
			}
			return rs, err
		}
		c := *rec
		c.Data = bytes.Clone(rec.Data)
		rs = append(rs, c)
	}
}

func driver(l3 bool) linktest.Driver {
	return linktest.Driver{
		L3: l3,
		Open: func(t *testing.T, arriving []linktest.Frame) (link.Port, func(int) []linktest.Frame) {
			typ := Ethernet
			if l3 {
				typ = RawIP
			}
			var frames [][]byte
			for _, f := range arriving {
				frames = append(frames, f.Bytes)
			}
			in, err := NewReader("in", bytes.NewReader(capture(t, typ, frames...)))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			out.Grow(1 << 20)
			w := NewWriter(&out)
			p, err := NewPort(Options{Name: "p", In: in, Out: w, L3: l3})
			if err != nil {
				t.Fatal(err)
			}
			return p, func(int) (fs []linktest.Frame) {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				rs, err := read(t, out.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rs {
					fs = append(fs, linktest.Frame{Bytes: r.Data})
				}
				return fs
			}
		},
	}
}

func TestContract(t *testing.T) {
	t.Run("ethernet", func(t *testing.T) { linktest.Run(t, driver(false)) })
	t.Run("l3", func(t *testing.T) { linktest.Run(t, driver(true)) })
}

func TestPortEndsWithEOFAndKeepsTime(t *testing.T) {
	in, err := NewReader("in", bytes.NewReader(capture(t, Ethernet,
		linktest.UDP(0, 20, false).Bytes, []byte("short"), linktest.UDP(2, 20, false).Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := NewPort(Options{In: in, Out: NewWriter(&out)})
	if err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	if err := p.Rx(&b); err != nil || b.N != 2 || b.P[0].Time != 1e9 || b.P[1].Time != 1e9+2000 {
		t.Fatalf("Rx: got %d, %v, times %d and %d; want 2 at 1 s and 2 us later", b.N, err, b.P[0].Time, b.P[1].Time)
	}
	if s := p.Stats(); s.RxMissed != 1 {
		t.Errorf("Stats: got %+v; want 1 missed", s)
	}
	for range 2 {
		if err := p.Rx(&b); err != io.EOF || b.N != 0 {
			t.Errorf("Rx at the end: got %d, %v; want %v", b.N, err, io.EOF)
		}
	}
	own := linktest.UDP(3, 20, false).Packet()
	if _, err := p.Tx([]*packet.Packet{own}); err != nil {
		t.Fatal(err)
	}
	p.SetTime(7e9)
	if _, err := p.Tx([]*packet.Packet{own}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	rs, err := read(t, out.Bytes())
	if err != nil || len(rs) != 2 || rs[0].Time != 1e9+2000 || rs[1].Time != 7e9 {
		t.Errorf("sent: got %+v, %v; want the time of the last frame, then the one set", rs, err)
	}
}

func TestPortReportsABrokenCapture(t *testing.T) {
	file := capture(t, Ethernet, linktest.UDP(0, 20, false).Bytes, linktest.UDP(1, 20, false).Bytes)
	in, err := NewReader("in", bytes.NewReader(file[:len(file)-9]))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPort(Options{In: in})
	if err != nil {
		t.Fatal(err)
	}
	var b packet.Batch
	if err := p.Rx(&b); err != nil || b.N != 1 {
		t.Errorf("Rx: got %d, %v; want the frame before the break", b.N, err)
	}
	if err := p.Rx(&b); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		t.Errorf("Rx: got %v; want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestPortRefusesHalfMadeFrames(t *testing.T) {
	p, err := NewPort(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ps := []*packet.Packet{
		linktest.HalfUDP(1, 20, false).Packet(), linktest.SuperTCP(1400, 700, false).Packet(),
		linktest.UDP(1, 20, false).Packet(),
	}
	if n, err := p.Tx(ps); n != 1 || err != nil {
		t.Errorf("Tx: got %d, %v; want 1", n, err)
	}
}
