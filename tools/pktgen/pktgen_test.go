package pktgen

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"openvra/tools/lab"
)

// TestFramesAreWholeAndOfManyFlows sends thousands of frames and reads them at the
// other end.
func TestFramesAreWholeAndOfManyFlows(t *testing.T) {
	if err := lab.Missing(); err != nil {
		if os.Getenv("VRA_REQUIRE_ROOT") == "1" {
			t.Fatalf("this test must run here, but: %v", err)
		}
		t.Skipf("needs root: %v", err)
	}
	ctx := t.Context()
	l, err := lab.Bare(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	gen, err := l.AddHost(ctx, "gen")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := l.AddHost(ctx, "sink")
	if err != nil {
		t.Fatal(err)
	}
	if err := gen.Connect(ctx, "out", sink, "in"); err != nil {
		t.Fatal(err)
	}
	if err := sink.ThreadedNAPI(ctx, "in"); err != nil {
		t.Fatal(err)
	}
	capture, err := l.Capture(sink, "in")
	if err != nil {
		t.Fatal(err)
	}
	var sent uint64
	to := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	err = gen.Do(func() error {
		g, err := Open(Config{Device: "out", To: to, Sources: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParseAddr("198.51.100.10"), Flows: 100})
		if err != nil {
			return err
		}
		defer g.Close()
		sent, err = g.Run(ctx, 20000, 300*time.Millisecond)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	type flow struct {
		src  [4]byte
		port uint16
	}
	flows := map[flow]bool{}
	frames := capture.Stop()
	// How many depends on what else the machine does; too many would be wrong.
	if len(frames) < 1000 || uint64(len(frames)) > sent || sent > 6100 {
		t.Errorf("%d frames of %d arrived; want most of at most 6000", len(frames), sent)
	}
	for _, f := range frames {
		b := f.Bytes
		if len(b) != FrameLen || [6]byte(b) != [6]byte(to) || sum(b[ipAt:udpAt]) != 0xffff {
			t.Fatalf("frame %x: want %d bytes to %v with a right IP checksum", b, FrameLen, to)
		}
		flows[flow{[4]byte(b[ipAt+12:]), binary.BigEndian.Uint16(b[udpAt:])}] = true
	}
	if len(flows) != 100 {
		t.Errorf("%d flows; want 100", len(flows))
	}
}
