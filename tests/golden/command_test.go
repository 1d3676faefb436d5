package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openvra/appliance"
)

// vra builds the command and returns a function that runs it.
func vra(t *testing.T) func(args ...string) (status int, out, err string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "vra")
	build := exec.Command("go", "build", "-o", binary, "openvra/appliance/vra")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build vra: %v\n%s", err, out)
	}
	return func(args ...string) (int, string, string) {
		t.Helper()
		var out, said bytes.Buffer
		run := exec.Command(binary, args...)
		run.Stdout, run.Stderr = &out, &said
		var exit *exec.ExitError
		if err := run.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return run.ProcessState.ExitCode(), out.String(), said.String()
	}
}

// TestCommandReplaysACase runs a case as an operator would: what is kept is what is
// expected, and another gateway does not meet it.
func TestCommandReplaysACase(t *testing.T) {
	t.Parallel()
	run := vra(t)
	const name = "masquerade-queries"
	expect := t.TempDir()
	for _, port := range []string{"outside", "inside"} {
		writeFile(t, filepath.Join(expect, port+".pcapng"), readFile(t, filepath.Join(name, "out-"+port+".pcapng")))
	}
	replay := func(file string) (int, string, string) {
		return run("replay", "-c", file, "--in", "inside="+filepath.Join(name, "in-inside.pcapng"), "--in", "outside="+filepath.Join(name, "in-outside.pcapng"),
			"--out", t.TempDir(), "--json", "--expect", expect)
	}

	status, out, said := replay(filepath.Join(name, "config.yaml"))
	if status != 0 || said != "" {
		t.Errorf("got status %d, %s; want what is kept", status, said)
	}
	var r appliance.ReplayResult
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	p := newTape(t)
	masqueradeQueries(p)
	if r.In != uint64(len(p.frames)) || r.In+r.Made != r.Out+r.Local+r.Held+r.Dropped || r.Drops["local_not_served"] != r.Dropped {
		t.Errorf("got %+v; want %d packets in, and all dropped ones local_not_served", r, len(p.frames))
	}

	other := filepath.Join(t.TempDir(), "config.yaml")
	writeFile(t, other, bytes.Replace(readFile(t, filepath.Join(name, "config.yaml")), []byte("translate: masquerade"), []byte("translate: 203.0.113.77"), 1))
	status, _, said = replay(other)
	if want := "outside.pcapng packet 1: ipv4.src: got 203.0.113.77; want 203.0.113.2\n"; status != 1 || !strings.Contains(said, want) {
		t.Errorf("by another address: got status %d, %s; want 1, %s", status, said, want)
	}
}
