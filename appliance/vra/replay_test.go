package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openvra/appliance"
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

// replayed runs a replay of the bundled capture and returns the folder it writes to.
func replayed(t *testing.T, args ...string) (dir string, status int, out, err string) {
	t.Helper()
	config, in, e := unpackBundle(t.TempDir())
	if e != nil {
		t.Fatal(e)
	}
	dir = filepath.Join(t.TempDir(), "out")
	args = append([]string{"replay", "-c", config, "--in", "outside=" + in["outside"], "--in", "inside=" + in["inside"], "--out", dir}, args...)
	status, out, err = vra(args...)
	return dir, status, out, err
}

func TestReplayIsARegressionTest(t *testing.T) {
	golden, status, out, err := replayed(t)
	if status != exitOK || err != "" || !strings.HasPrefix(out, "PORT ") || !strings.Contains(out, " 1 ttl_exceeded, 1 tunnel_not_configured\n") {
		t.Fatalf("got status %d, %s%s", status, out, err)
	}
	dir, status, _, err := replayed(t, "--expect", golden)
	if status != exitOK || err != "" {
		t.Errorf("again: got status %d, %s", status, err)
	}
	for _, name := range []string{"outside.pcapng", "inside.pcapng", "host.pcapng"} {
		first, e1 := os.ReadFile(filepath.Join(golden, name))
		second, e2 := os.ReadFile(filepath.Join(dir, name))
		if e1 != nil || e2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: not the same bytes again (%v, %v)", name, e1, e2)
		}
	}
	if e := os.Rename(filepath.Join(golden, "outside.pcapng"), filepath.Join(golden, "inside.pcapng")); e != nil {
		t.Fatal(e)
	}
	_, status, _, err = replayed(t, "--expect", golden)
	if status != exitFailed || !strings.Contains(err, "inside.pcapng packet 1: ") || !strings.Contains(err, "outside.pcapng: got 9 packets; want none") {
		t.Errorf("with another expectation: got status %d, %s", status, err)
	}
}

func TestReplayCountsAsJSON(t *testing.T) {
	_, status, out, err := replayed(t, "--json")
	var r appliance.ReplayResult
	if e := json.Unmarshal([]byte(out), &r); status != exitOK || err != "" || e != nil {
		t.Fatalf("got status %d, %v, %s", status, e, err)
	}
	if r.In == 0 || r.In+r.Made != r.Out+r.Local+r.Held+r.Dropped {
		t.Errorf("got %+v; want the sum to hold", r)
	}
	var in, out2 uint64
	for _, p := range r.Ports {
		if p.Port == "outside" || p.Port == "inside" {
			in, out2 = in+p.In, out2+p.Out
		}
	}
	if in != r.In || out2 != r.Out {
		t.Errorf("ports: got %d in, %d out; want %d, %d", in, out2, r.In, r.Out)
	}
}

func TestReplayRefuses(t *testing.T) {
	config, in, err := unpackBundle(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for text, args := range map[string][]string{
		`port "outsied"`: {"-c", config, "--in", "outsied=" + in["outside"]},
		"no such file":   {"-c", config, "--in", "outside=" + in["outside"] + ".gone"},
		"ports: got":     {"-c", write(t, "ports: 3\n"), "--in", "outside=" + in["outside"]},
	} {
		status, _, said := vra(append(append([]string{"replay"}, args...), "--out", t.TempDir())...)
		if status != exitFailed || !strings.Contains(said, text) {
			t.Errorf("%v: got status %d, %q; want 1, %q", args, status, said, text)
		}
	}
}

func TestDemoOverTheBundledCapture(t *testing.T) {
	var out bytes.Buffer
	if err := replayBundle(&streams{&out, &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"inside      out   ipip 10.0.0.1 > 10.0.1.12, tcp SYN 198.51.100.10:40000 > 172.30.2.10:80", // DNAT, encap
		"outside     out   tcp SYN|ACK 203.0.113.2:8081 > 198.51.100.10:40000",                      // and back
		"outside     out   udp 203.0.113.2:5353 > 198.51.100.53:53",                                 // masquerade
		"inside      out   icmp 8/0 198.51.100.10 > 172.30.1.20",                                    // one to one
		"1 tunnel_not_configured",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, &out)
		}
	}
}
