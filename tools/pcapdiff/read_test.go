package pcapdiff_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"openvra/tools/pcapdiff"
)

func TestReadOfEitherFormPackedOrNot(t *testing.T) {
	want := []pcapdiff.Packet{tcpFrame().packet(t), udpFrame().packet(t)}
	dir := t.TempDir()
	for name, write := range map[string]func(testing.TB, string, []pcapdiff.Packet){"a.pcap": writeClassic, "a.pcapng": writeNg} {
		path := filepath.Join(dir, name)
		write(t, path, want)
		plain, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(plain)
		z.Close()
		if err := os.WriteFile(path+".gz", packed.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, path + ".gz"} {
			got, err := pcapdiff.Read(p)
			if err != nil {
				t.Errorf("%s: %v", p, err)
			} else if d := pcapdiff.Packets(name, got, want); len(d) != 0 {
				t.Errorf("%s: %v", p, d)
			}
		}
	}
}

func TestBrokenCapturesAreRefused(t *testing.T) {
	dir := t.TempDir()
	ps := []pcapdiff.Packet{tcpFrame().packet(t)}
	writeClassic(t, filepath.Join(dir, "classic"), ps)
	writeNg(t, filepath.Join(dir, "ng"), ps)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	classic, ng := read("classic"), read("ng")
	long := slices.Clone(ng)
	enhanced := bytes.Index(long, []byte{6, 0, 0, 0})
	binary.LittleEndian.PutUint32(long[enhanced+20:], 1<<31)
	longClassic := slices.Clone(classic)
	binary.LittleEndian.PutUint32(longClassic[24+8:], 1<<31)
	binary.LittleEndian.PutUint32(longClassic[24+12:], 1<<31)
	for name, data := range map[string][]byte{
		"empty":                            {},
		"of no known kind":                 []byte("this is no capture at all"),
		"classic cut in a header":          classic[:30],
		"classic cut after a header":       classic[:24+16],
		"classic cut in a packet":          classic[:len(classic)-3],
		"classic with 2 GiB in one record": longClassic,
		"ng cut in a block":                ng[:len(ng)-3],
		"ng cut in a block's header":       append(slices.Clone(ng), 6, 0),
		"ng with 2 GiB in one record":      long,
		"gzip cut":                         {0x1f, 0x8b, 8, 0},
	} {
		path := filepath.Join(dir, "broken")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if ps, err := pcapdiff.Read(path); err == nil {
			t.Errorf("%s: got %d packets; want an error", name, len(ps))
		}
	}
}

// FuzzRead: no file and no packet in it panics, and a capture equals itself.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	ps := []pcapdiff.Packet{tcpFrame().packet(f), udpFrame().packet(f)}
	for _, write := range []func(testing.TB, string, []pcapdiff.Packet){writeClassic, writeNg} {
		path := filepath.Join(dir, "seed")
		write(f, path, ps)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ps, err := pcapdiff.ReadFrom(bytes.NewReader(data))
		if err != nil {
			return
		}
		if d := pcapdiff.Packets("f", ps, ps); len(d) != 0 {
			t.Errorf("differs from itself: %v", d)
		}
	})
}

func writeClassic(t testing.TB, path string, ps []pcapdiff.Packet) {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeNg(t testing.TB, path string, ps []pcapdiff.Packet) {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.Time, CaptureLength: len(p.Data), Length: p.Length}, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
