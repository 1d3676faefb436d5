package main

import (
	"path/filepath"
	"strings"
	"testing"

	"openvra/tools/lab/demo"
)

func TestBundledCaptureIsToldInOrder(t *testing.T) {
	_, in, err := unpackBundle(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	came, err := readEvents([]string{in["outside"], in["inside"]}, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range came { // what goes out has the time at which it came
		came = append(came, event{"elsewhere", true, came[i].Packet})
	}
	var b strings.Builder
	tell(&b, came)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")[1:]
	if len(lines) != len(came) || len(lines) == 0 {
		t.Fatalf("got %d lines; want %d", len(lines), len(came))
	}
	for i, l := range lines {
		way := "\tin\t"
		if i%2 == 1 {
			way = "\t  out\t"
		}
		if !strings.Contains(l, way) {
			t.Errorf("line %d: got %q; want%sin it", i+1, l, way)
		}
	}
	if !strings.HasPrefix(lines[0], "0 ms\t") {
		t.Errorf("got %q; want 0 ms first", lines[0])
	}
}

func TestBundledConfigurationIsAccepted(t *testing.T) {
	path, in, err := unpackBundle(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := demo.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	if len(in) != len(bundle.Ports) || filepath.Base(in["outside"]) != "outside.pcap" {
		t.Errorf("got %v", in)
	}
	if status, _, err := vra("check", "-c", path); status != exitOK {
		t.Errorf("got status %d, %s", status, err)
	}
}
