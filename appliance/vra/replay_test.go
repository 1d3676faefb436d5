package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openvra/tools/lab/demo"
)

// captureDir returns a folder with captures, by name, and their contents.
func captureDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCompareExplainsDifferences(t *testing.T) {
	bundle, err := demo.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	outside := bundle.Ports["outside"]
	want := captureDir(t, map[string][]byte{"outside.pcap": outside})
	var said bytes.Buffer
	s := &streams{&said, &said}
	if err := compare(s, captureDir(t, map[string][]byte{"outside.pcap": outside}), want); err != nil || said.Len() > 0 {
		t.Errorf("the same: got %v, %s", err, &said)
	}
	other := bytes.Clone(outside)
	other[24+16]++ // the first octet of the first packet's destination
	if err := compare(s, captureDir(t, map[string][]byte{"outside.pcap": other}), want); !errors.Is(err, errSaid) {
		t.Errorf("another: got %v; want %v", err, errSaid)
	}
	if got := said.String(); !strings.HasPrefix(got, "outside.pcap packet 1: ethernet.dst: got 03:") || strings.Count(got, "\n") != 1 {
		t.Errorf("another: got %s", got)
	}
	if err := compare(s, want, t.TempDir()); err == nil || errors.Is(err, errSaid) {
		t.Errorf("nothing expected: got %v; want an error of its own", err)
	}
}

func TestCompareTellsOnlySoMuch(t *testing.T) {
	bundle, err := demo.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string][]byte{}, map[string][]byte{}
	for i := range maxDifferences + 5 {
		name := string(rune('a'+i/26)) + string(rune('a'+i%26)) + ".pcap"
		got[name], want[name] = bytes.Clone(bundle.Ports["outside"]), bundle.Ports["outside"]
		got[name][24+16]++
	}
	var said bytes.Buffer
	if err := compare(&streams{&said, &said}, captureDir(t, got), captureDir(t, want)); !errors.Is(err, errSaid) {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(said.String(), "\n"); n != maxDifferences+1 || !strings.HasSuffix(said.String(), "and 5 more differences\n") {
		t.Errorf("got %d lines, the last %q", n, said.String()[said.Len()-30:])
	}
}
