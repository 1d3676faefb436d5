package golden

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openvra/appliance"
	"openvra/config"
	"openvra/tools/pcapdiff"
)

var update = flag.Bool("update", false, "write the captures and verdicts of all cases")

// seed is what all random choices of all cases follow from.
const seed = 1

func TestGolden(t *testing.T) {
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newTape(t)
			build(p)
			if *update {
				write(t, name, p)
			}
			check(t, name, p)
		})
	}
}

// TestFoldersAreCases holds the folders against the functions.
func TestFoldersAreCases(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && cases[e.Name()] == nil {
			t.Errorf("folder %s: no function in cases builds it", e.Name())
		}
	}
}

// check holds a case against its folder.
func check(t *testing.T, name string, p *tape) {
	for _, port := range p.ports() {
		kept, err := os.ReadFile(filepath.Join(name, p.file(port)))
		if err != nil {
			t.Fatalf("%v (after a change: go test ./tests/golden -update)", err)
		}
		if !bytes.Equal(kept, p.capture(port, len(p.frames))) {
			t.Errorf("%s: not what the case builds now; go test ./tests/golden -update", p.file(port))
		}
	}
	got, again := t.TempDir(), t.TempDir()
	replay(t, name, p, name, got)
	replay(t, name, p, name, again)
	for _, port := range portsOf(t, got) {
		a, b := readFile(t, filepath.Join(got, port+".pcapng")), readFile(t, filepath.Join(again, port+".pcapng"))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: not the same bytes in a second replay", port)
		}
		for _, d := range pcapdiff.Packets("out-"+port+".pcapng", packets(t, filepath.Join(got, port+".pcapng")), kept(t, name, port)) {
			t.Error(d)
		}
	}
	compareLines(t, verdicts(t, name, p), string(readFile(t, filepath.Join(name, "verdicts.txt"))))
}

// write makes the folder's files what the case builds and the gateway does now.
func write(t *testing.T, name string, p *tape) {
	for _, pattern := range []string{"in-*", "out-*"} {
		old, err := filepath.Glob(filepath.Join(name, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.save(name, len(p.frames))
	out := t.TempDir()
	replay(t, name, p, name, out)
	for _, port := range portsOf(t, out) {
		if file := filepath.Join(out, port+".pcapng"); len(packets(t, file)) > 0 {
			writeFile(t, filepath.Join(name, "out-"+port+".pcapng"), readFile(t, file))
		}
	}
	writeFile(t, filepath.Join(name, "verdicts.txt"), []byte(verdicts(t, name, p)))
}

// save writes the first n frames of the tape as captures into dir.
func (p *tape) save(dir string, n int) {
	for _, port := range p.ports() {
		writeFile(p.t, filepath.Join(dir, p.file(port)), p.capture(port, n))
	}
}

// replay sends the captures in dir through the gateway of the case.
func replay(t *testing.T, name string, p *tape, dir, out string) *appliance.ReplayResult {
	t.Helper()
	c, err := config.Load(filepath.Join(name, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	o := appliance.ReplayOptions{Config: c, OutDir: out, Seed: seed}
	for _, port := range p.ports() {
		o.In = append(o.In, appliance.ReplayInput{Port: port, Path: filepath.Join(dir, p.file(port))})
	}
	r, err := appliance.Replay(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.In+r.Made != r.Out+r.Local+r.Held+r.Dropped {
		t.Errorf("packets got lost: %+v", r)
	}
	return r
}

// portsOf returns the ports that a replay wrote captures of.
func portsOf(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), ".pcapng"))
	}
	return list
}

// kept returns what is to leave by the port: nothing where there is no capture.
func kept(t *testing.T, name, port string) []pcapdiff.Packet {
	t.Helper()
	file := filepath.Join(name, "out-"+port+".pcapng")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return packets(t, file)
}

func packets(t *testing.T, file string) []pcapdiff.Packet {
	t.Helper()
	ps, err := pcapdiff.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
