package pcap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"openvra/dataplane/link/linktest"
)

func info(ns int64, captured, length int) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.Unix(0, ns), CaptureLength: captured, Length: length}
}

// classicFile returns a pcap file by pcapgo, in microseconds or nanoseconds.
func classicFile(t testing.TB, nanos bool, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if nanos {
		w = pcapgo.NewWriterNanos(&b)
	}
	err := w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	for i, f := range frames {
		if err == nil {
			err = w.WritePacket(info(5e9+int64(i)*1001, len(f), len(f)+i), f)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ngFile returns a pcapng file by pcapgo, of two interfaces with different links.
func ngFile(t testing.TB, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err == nil {
		_, err = w.AddInterface(pcapgo.NgInterface{LinkType: layers.LinkTypeLinuxSLL, SnapLength: 100, TimestampResolution: 9})
	}
	for i, f := range frames {
		if err == nil {
			ci := info(5e9+int64(i)*1001, len(f), len(f)+i)
			ci.InterfaceIndex = i % 2
			err = w.WritePacket(ci, f)
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func TestReadsWhatOthersWrite(t *testing.T) {
	frames := [][]byte{[]byte("frame number one"), []byte("two"), make([]byte, 1514)}
	for _, row := range []struct {
		name string
		file []byte
		unit int64 // resolution in nanoseconds
		ng   bool
	}{
		{"pcap", classicFile(t, false, frames...), 1000, false},
		{"pcap in nanoseconds", classicFile(t, true, frames...), 1, false},
		{"pcapng", ngFile(t, frames...), 1, true},
	} {
		for _, gz := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gzip %v", row.name, gz), func(t *testing.T) {
				file := row.file
				if gz {
					file = zipped(t, file)
				}
				rs, err := read(t, file)
				if err != nil || len(rs) != len(frames) {
					t.Fatalf("got %d records, %v; want %d", len(rs), err, len(frames))
				}
				for i, r := range rs {
					at := 5e9 + int64(i)*1001
					if r.Number != i+1 || !bytes.Equal(r.Data, frames[i]) || r.Time != at/row.unit*row.unit ||
						r.Len != len(frames[i])+i || r.Cut() != (i > 0) {
						t.Errorf("record %d: got %+v", i+1, r)
					}
					want, iface := Ethernet, 0
					if row.ng && i%2 == 1 {
						want, iface = LinuxCooked, 1
					}
					if r.Link != want || r.Interface != iface {
						t.Errorf("record %d: got link %d, interface %d; want %d, %d", i+1, r.Link, r.Interface, want, iface)
					}
				}
			})
		}
	}
}

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pcapng")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface("x", Ethernet); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := r.Next(); err != os.ErrClosed {
		t.Errorf("Next after Close: got %v; want %v", err, os.ErrClosed)
	}
	if _, err := Open(path + ".gone"); err == nil {
		t.Error("Open of a missing file: got no error")
	}
}

// block returns a pcapng block.
func block(order binary.AppendByteOrder, typ uint32, body ...byte) []byte {
	b := order.AppendUint32(nil, typ)
	b = order.AppendUint32(b, uint32(len(body)+12))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(len(body)+12))
}

// words returns the body of a block of 32-bit words.
func words(order binary.AppendByteOrder, ws ...uint32) (b []byte) {
	for _, w := range ws {
		b = order.AppendUint32(b, w)
	}
	return b
}

func section(order binary.AppendByteOrder) []byte {
	b := words(order, byteOrderMagic)
	b = order.AppendUint16(b, 1)
	b = order.AppendUint16(b, 0)
	return block(order, sectionBlock, append(b, words(order, 0xffffffff, 0xffffffff)...)...)
}

// described returns an interface block with a time resolution and an offset.
func described(order binary.AppendByteOrder, link, snaplen uint32, resolution byte, offset int64) []byte {
	b := order.AppendUint16(nil, uint16(link))
	b = order.AppendUint16(b, 0)
	b = order.AppendUint32(b, snaplen)
	b = order.AppendUint16(b, 9)
	b = order.AppendUint16(b, 1)
	b = append(b, resolution, 0, 0, 0)
	b = order.AppendUint16(b, 14)
	b = order.AppendUint16(b, 8)
	b = order.AppendUint64(b, uint64(offset))
	return block(order, interfaceBlock, append(b, 0, 0, 0, 0)...)
}

func TestPcapngOfEitherByteOrder(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var file []byte
		file = append(file, section(binary.LittleEndian)...) // another section before
		file = append(file, section(order)...)
		file = append(file, described(order, 276, 0, 3, 100)...) // ms, 100 s later
		file = append(file, described(order, 1, 6, 0x8a, 0)...)  // 2^-10 s
		file = append(file, block(order, 0xbad, 1, 2, 3, 4)...)  // unknown: skipped
		file = append(file, block(order, enhancedBlock, append(words(order, 0, 0, 2500, 4, 4), "abcd"...)...)...)
		file = append(file, block(order, enhancedBlock, append(words(order, 1, 0, 512, 2, 7), "ef\x00\x00"...)...)...)
		file = append(file, block(order, simpleBlock, append(words(order, 3), "ghi\x00"...)...)...)
		file = append(file, block(order, oldPacketBlock, append(append(order.AppendUint16(order.AppendUint16(nil, 1), 9),
			words(order, 0, 1024, 1, 1)...), "j\x00\x00\x00"...)...)...)
		rs, err := read(t, file)
		if err != nil {
			t.Fatal(err)
		}
		want := []Record{
			{1, 102_500_000_000, []byte("abcd"), 4, LinuxCooked2, 0},
			{2, 500_000_000, []byte("ef"), 7, Ethernet, 1},
			{3, 500_000_000, []byte("ghi"), 3, LinuxCooked2, 0},
			{4, 1_000_000_000, []byte("j"), 1, Ethernet, 1},
		}
		if got := fmt.Sprint(rs); got != fmt.Sprint(want) {
			t.Errorf("%v: got %s\nwant %s", order, got, fmt.Sprint(want))
		}
	}
}

func TestSimplePacketIsCutAtSnaplen(t *testing.T) {
	le := binary.LittleEndian
	file := append(section(le), described(le, 1, 2, 9, 0)...)
	file = append(file, block(le, simpleBlock, append(words(le, 50), "ab\x00\x00"...)...)...)
	rs, err := read(t, file)
	if err != nil || len(rs) != 1 || string(rs[0].Data) != "ab" || rs[0].Len != 50 || !rs[0].Cut() {
		t.Errorf("got %+v, %v; want 2 of 50 bytes", rs, err)
	}
}

func TestBrokenFiles(t *testing.T) {
	le := binary.LittleEndian
	head := append(section(le), described(le, 1, 0, 9, 0)...)
	packet := func(ws ...uint32) []byte {
		return append(bytes.Clone(head), block(le, enhancedBlock, words(le, ws...)...)...)
	}
	bigClassic := classicFile(t, false, []byte("x"))
	le.PutUint32(bigClassic[24+8:], 1<<30)
	le.PutUint32(bigClassic[24+12:], 1<<30)
	mismatched := packet(0, 0, 0, 0, 0)
	mismatched[len(mismatched)-4]++
	badLink := bytes.Clone(bigClassic)
	badLink[20] = 105
	for _, row := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, `capture "test": empty file; want pcap or pcapng`},
		{"text", []byte("This is no capture at all, it is a text"), `want pcap or pcapng: Unknown magic`},
		{"short text", []byte("hello"), "the file is cut off"},
		{"gzip of nothing", zipped(t, nil), "empty file"},
		{"broken gzip", []byte("\x1f\x8bxyzxyzxyzxyz"), "gzip"},
		{"WLAN", badLink, "link type 105: want Ethernet, Linux cooked or raw IP"},
		{"pcap: a gigabyte", bigClassic, `capture "test": record 1: capture length exceeds`},
		{"pcap: in a header", classicFile(t, false, []byte("one"))[:30], "record 1: the file is cut off"},
		{"pcap: after a header", classicFile(t, false, []byte("one"))[:40], "record 1: the file is cut off"},
		{"pcap: in a frame", classicFile(t, false, []byte("one"), []byte("two"))[:61], "record 2: the file is cut off"},
		{"pcapng: in the section", head[:20], "the file is cut off"},
		{"pcapng: before the first packet", head[:len(head)-1], "record 1: the file is cut off"},
		{"pcapng: in a packet", packet(0, 0, 0, 0, 0)[:len(head)+30], "record 1: the file is cut off"},
		{"pcapng: after a packet's type", packet(0, 0, 0, 0, 0)[:len(head)+5], "record 1: the file is cut off"},
		{"pcapng: a gigabyte", packet(0, 0, 0, 1<<30, 1<<30), "got 1073741824 captured bytes in a block with room for 0"},
		{"pcapng: more captured than there was", packet(0, 0, 0, 4, 3, 0), "got 4 captured bytes of a frame of 3"},
		{"pcapng: no such interface", packet(1, 0, 0, 0, 0), "interface 1 is not described"},
		{"pcapng: lengths differ", mismatched, "want them equal"},
		{"pcapng: time", packet(0, 0xffffffff, 0, 0, 0), "out of range"},
		{"pcapng: short packet", packet(0, 0), "packet block is too short"},
		{"pcapng: odd length", append(bytes.Clone(head), 6, 0, 0, 0, 33, 0, 0, 0), "want a multiple of 4"},
		{"pcapng: length below 12", append(bytes.Clone(head), 6, 0, 0, 0, 8, 0, 0, 0), "want a multiple of 4 from 12"},
		{"pcapng: huge interface block", append(bytes.Clone(head), 1, 0, 0, 0, 0, 0, 0, 0x40), "want at most 65536"},
		{"pcapng: resolution", append(section(le), described(le, 1, 0, 20, 0)...), "time resolution"},
		{"pcapng: version", block(le, sectionBlock, words(le, byteOrderMagic, 2, 0, 0)...), "version 2.0"},
		{"pcapng: byte order", block(le, sectionBlock, words(le, 7, 2, 0, 0)...), "byte order"},
		{"pcapng: option", append(section(le), block(le, interfaceBlock, words(le, 1, 0, 9|100<<16)...)...), "an option is cut off"},
	} {
		_, err := read(t, row.file)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v; want %q in it", row.name, err, row.want)
		}
	}
}

func TestTimeIsExact(t *testing.T) {
	for _, row := range []struct {
		i     ngInterface
		ticks uint64
		want  int64 // -1: out of range
	}{
		{ngInterface{exp: 6}, 1_700_000_000_123_456, 1_700_000_000_123_456_000},
		{ngInterface{exp: 9}, math.MaxInt64, math.MaxInt64},
		{ngInterface{exp: 9}, math.MaxInt64 + 1, -1},
		{ngInterface{exp: 0}, 1_700_000_000, 1_700_000_000_000_000_000},
		{ngInterface{exp: 0}, math.MaxUint64, -1},
		{ngInterface{exp: 12}, 1_999, 1},
		{ngInterface{exp: 19}, math.MaxUint64, 1_844_674_407},
		{ngInterface{exp: 32, binary: true}, 3 << 31, 1_500_000_000},
		{ngInterface{exp: 63, binary: true}, math.MaxUint64, 1_999_999_999},
		{ngInterface{exp: 9, offset: -1}, 5, -999_999_995},
		{ngInterface{exp: 9, offset: 9_223_372_036}, 1_000_000_000, -1},
		{ngInterface{exp: 9, offset: math.MaxInt64}, 0, -1},
	} {
		got, err := row.i.time(row.ticks)
		if err != nil {
			got = -1
		}
		if got != row.want {
			t.Errorf("%+v, %d ticks: got %d; want %d", row.i, row.ticks, got, row.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	frames := [][]byte{linktest.UDP(1, 20, false).Bytes, []byte("two")}
	f.Add(classicFile(f, false, frames...))
	f.Add(ngFile(f, frames...))
	f.Add(zipped(f, ngFile(f, frames...)))
	f.Add(capture(f, RawIP, frames...))
	le := binary.LittleEndian
	f.Add(append(append(section(le), described(le, 276, 9, 0x8a, -1)...), block(le, simpleBlock, words(le, 4, 4)...)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		rs, _ := read(t, file)
		for _, r := range rs {
			if len(r.Data) > MaxCapture || len(r.Data) > r.Len || !r.Link.known() {
				t.Errorf("got %d bytes of %d, link %d", len(r.Data), r.Len, r.Link)
			}
			r.AppendFrame(nil, false, [6]byte{})
			r.AppendFrame(nil, true, [6]byte{})
		}
	})
}
