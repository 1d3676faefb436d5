package pcap

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

func TestOthersReadWhatIsWritten(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for i, name := range []string{"wan0", "lan10"} {
		if n, err := w.AddInterface(name, Ethernet); n != i || err != nil {
			t.Fatalf("AddInterface: got %d, %v; want %d", n, err, i)
		}
	}
	frames := [][]byte{[]byte("frame number one"), []byte("two"), []byte("three")}
	comments := []string{"", "dropped: no route", "x"}
	for i, f := range frames {
		if err := w.Write(i%2, 1_700_000_000_123_456_789+int64(i), f, len(f)+1, comments[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&b, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		data, ci, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(data, f) || ci.Length != len(f)+1 || ci.InterfaceIndex != i%2 ||
			ci.Timestamp.UnixNano() != 1_700_000_000_123_456_789+int64(i) {
			t.Errorf("frame %d: got %q, %+v, %v", i, data, ci, err)
		}
	}
	if i, err := r.Interface(1); err != nil || i.Name != "lan10" {
		t.Errorf("interface 1: got %q, %v; want lan10", i.Name, err)
	}
}

// The whole file, byte by byte: what is written depends on nothing else.
func TestWriterBytes(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if _, err := w.AddInterface("p1", RawIP); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(0, 0x0102030405060708, []byte("abcde"), 9, "why"); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00" +
		"\xff\xff\xff\xff\xff\xff\xff\xff\x1c\x00\x00\x00" +
		"\x01\x00\x00\x00\x28\x00\x00\x00\x65\x00\x00\x00\x00\x00\x00\x00" +
		"\x02\x00\x02\x00p1\x00\x00\x09\x00\x01\x00\x09\x00\x00\x00\x00\x00\x00\x00\x28\x00\x00\x00" +
		"\x06\x00\x00\x00\x34\x00\x00\x00\x00\x00\x00\x00\x04\x03\x02\x01\x08\x07\x06\x05" +
		"\x05\x00\x00\x00\x09\x00\x00\x00abcde\x00\x00\x00" +
		"\x01\x00\x03\x00why\x00\x00\x00\x00\x00\x34\x00\x00\x00"
	if b.String() != want {
		t.Errorf("got\n%x\nwant\n%x", b.String(), want)
	}
}

func TestWriterRefuses(t *testing.T) {
	w := NewWriter(&bytes.Buffer{})
	if _, err := w.AddInterface("x", Ethernet); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"unknown interface": w.Write(1, 0, nil, 0, ""),
		"wrong length":      w.Write(0, 0, make([]byte, 5), 4, ""),
		"too long":          w.Write(0, 0, make([]byte, MaxCapture+1), MaxCapture+1, ""),
	} {
		if err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if err := w.Write(0, 0, nil, 0, strings.Repeat("x", 70000)); err != nil {
		t.Errorf("a long comment: %v", err)
	}
	if _, err := w.AddInterface(strings.Repeat("x", 256), Ethernet); err == nil {
		t.Error("a long name: got no error")
	}
}
