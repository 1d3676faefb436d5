package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"openvra/appliance"
	"openvra/appliance/admin"
	"openvra/appliance/admin/admintest"
)

var update = flag.Bool("update", false, "write what is got to testdata")

// vra runs a command line and returns its exit status and what it wrote.
func vra(args ...string) (status int, out, err string) {
	var o, e bytes.Buffer
	status = execute(args, &streams{&o, &e})
	return status, o.String(), e.String()
}

// serve answers for g until the test ends and returns the socket.
func serve(t *testing.T, g admin.Gateway) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	s, err := admin.Listen(g, admin.Options{Socket: socket, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// golden compares got with a file of testdata, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, string(want)); d != "" {
		t.Errorf("%s, got (-) and want (+):\n%s", name, d)
	}
}

func TestTables(t *testing.T) {
	socket := serve(t, admintest.Edge())
	for name, args := range map[string][]string{
		"status":    {"status"},
		"ports":     {"show", "ports"},
		"routes":    {"show", "routes"},
		"neighbors": {"show", "neighbors"},
		"tunnels":   {"show", "tunnels"},
		"sessions":  {"show", "sessions"},
		"drops":     {"show", "drops"},
		"config":    {"show", "config"},
	} {
		status, out, err := vra(append(args, "--socket", socket)...)
		if status != exitOK || err != "" {
			t.Errorf("%s: got status %d, %s", name, status, err)
		}
		golden(t, name+".txt", out)
	}
}

func TestEmptyTablesHaveTheirHeader(t *testing.T) {
	socket := serve(t, &admintest.Gateway{})
	for _, name := range []string{"ports", "routes", "neighbors", "tunnels", "sessions", "drops"} {
		status, out, err := vra("show", name, "--socket", socket)
		if header, _, _ := strings.Cut(out, "\n"); status != exitOK || strings.ToUpper(header) != header || header == "" {
			t.Errorf("%s: got status %d, header %q, %s", name, status, header, err)
		}
	}
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	socket := serve(t, admintest.Edge())
	for _, args := range [][]string{
		{"status"}, {"show", "ports"}, {"show", "routes"}, {"show", "neighbors"}, {"show", "tunnels"},
		{"show", "sessions"}, {"show", "drops"}, {"show", "config"},
	} {
		args = append(args, "--socket", socket, "-o")
		_, asJSON, _ := vra(append(args, "json")...)
		_, asYAML, _ := vra(append(args, "yaml")...)
		var j, y any
		if err := json.Unmarshal([]byte(asJSON), &j); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if err := yaml.Unmarshal([]byte(asYAML), &y); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		again, err := json.Marshal(y) // numbers of the same type
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &y); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(j, y); d != "" {
			t.Errorf("%v: json (-) and yaml (+):\n%s", args, d)
		}
	}
}

func TestYAMLIsForReading(t *testing.T) {
	var out strings.Builder
	v := map[string]any{"a": []admin.Reason{{Kind: "route", Name: "0.0.0.0/0", Source: "f.yaml:3"}}, "empty": []int{}, "looks": []string{"yes", "12", "null", "1:2", "x: y"}}
	if err := printYAML(&out, v); err != nil {
		t.Fatal(err)
	}
	want := "a:\n  - kind: route\n    name: 0.0.0.0/0\n    source: f.yaml:3\nempty: []\nlooks:\n  - \"yes\"\n  - \"12\"\n  - \"null\"\n  - \"1:2\"\n  - \"x: y\"\n"
	if d := cmp.Diff(out.String(), want); d != "" {
		t.Error(d)
	}
}

func TestSessionFiltersReachTheGateway(t *testing.T) {
	socket := serve(t, admintest.Edge())
	for _, row := range []struct {
		args []string
		want []uint64
	}{
		{[]string{"show", "sessions", "--src", "172.30.0.0/16"}, []uint64{1}},
		{[]string{"show", "--nat", "sessions", "--zone", "cluster"}, []uint64{1, 2}},
		{[]string{"show", "sessions", "--protocol=udp", "--dport=53"}, []uint64{2}},
		{[]string{"show", "sessions", "-in", "outside", "--limit", "1"}, []uint64{2}},
	} {
		status, out, err := vra(append(row.args, "-o", "json", "--socket", socket)...)
		var v admin.SessionList
		if e := json.Unmarshal([]byte(out), &v); status != exitOK || e != nil {
			t.Errorf("%v: got status %d, %v, %s", row.args, status, e, err)
		}
		var got []uint64
		for _, s := range v.Sessions {
			got = append(got, s.ID)
		}
		if d := cmp.Diff(got, row.want); d != "" {
			t.Errorf("%v: got (-) and want (+):\n%s", row.args, d)
		}
	}
}

func TestNeighborsInBothSpellings(t *testing.T) {
	socket := serve(t, admintest.Edge())
	_, a, _ := vra("show", "neighbors", "--socket", socket)
	_, b, _ := vra("show", "neighbours", "--socket", socket)
	if a != b || a == "" {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestReload(t *testing.T) {
	g := admintest.Edge()
	socket := serve(t, g)
	status, out, err := vra("reload", "--socket", socket)
	if status != exitOK || out != "reloaded: generation 2 in force, took 0 ms\n" || err != "" {
		t.Errorf("applied: got status %d, %q, %q", status, out, err)
	}
	g.OnReload = func(context.Context) admin.ReloadResult {
		return admin.ReloadResult{Generation: 7, Errors: []string{"f.yaml:1: a: got b; want c", "f.yaml:2: d: got e; want f"}}
	}
	status, out, err = vra("reload", "--socket", socket)
	want := "f.yaml:1: a: got b; want c\nf.yaml:2: d: got e; want f\nrefused: generation 7 stays in force\n"
	if status != exitFailed || out != "" || err != want {
		t.Errorf("refused: got status %d, %q, %q; want 1, nothing, %q", status, out, err, want)
	}
}

func TestCommandLinesThatAreNotUnderstood(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "Usage:",
		"chekc":                            `vra: unknown command "chekc", did you mean check?`,
		"frobnicate":                       `vra: unknown command "frobnicate"` + "\n",
		"check --pirnt":                    `vra check: unknown flag --pirnt, did you mean --print?`,
		"check -x":                         `vra check: unknown flag -x`,
		"check here":                       `vra check: unexpected argument "here"`,
		"check -c":                         `vra check: flag needs an argument: -c`,
		"status -o xml":                    `invalid value "xml" for flag -o: want table, json or yaml`,
		"show":                             `vra show: got 0 things to show; want one of ports, routes,`,
		"show ports routes":                `vra show: got 2 things to show`,
		"show sesions":                     `vra show: unknown thing to show "sesions", did you mean sessions?`,
		"show ports --src 10.0.0.1":        `vra show: filters are for sessions, not ports`,
		"show sessions --src 10":           `vra show: --src: got "10"; want an address or prefix`,
		"show sessions --limit 0":          `vra show: --limit: got "0"; want 1 to 65536`,
		"show sessions --sorce 10.0.0.1":   `vra show: unknown flag --sorce, did you mean --src?`,
		"replay -c x.yaml":                 `vra replay: want --in PORT=CAPTURE`,
		"replay --in outside":              `want PORT=CAPTURE, as outside=outside.pcap`,
		"replay --in outside=x --seed two": `invalid value "two" for flag -seed`,
		"demo --kep":                       `vra demo: unknown flag --kep, did you mean --keep?`,
		"version -- -o":                    `vra version: unexpected argument "-o"`,
	} {
		status, out, err := vra(strings.Fields(line)...)
		if status != exitUsage || out != "" || !strings.Contains(err, want) {
			t.Errorf("vra %s: got status %d, %q, %q; want 2, nothing, %q", line, status, out, err, want)
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	status, all, _ := vra("--help")
	if status != exitOK {
		t.Errorf("vra --help: got status %d", status)
	}
	for _, c := range commands() {
		if !strings.Contains(all, "  "+c.name+" ") || !strings.Contains(all, c.summary) {
			t.Errorf("vra --help does not list %s", c.name)
		}
		_, want, _ := vra("help", c.name)
		for _, flag := range []string{"-h", "--help"} {
			status, out, err := vra(c.name, flag)
			if status != exitOK || err != "" || out != want {
				t.Errorf("vra %s %s: got status %d, %q", c.name, flag, status, err)
			}
		}
		if !strings.Contains(want, "\nExamples:\n  ") || !strings.Contains(want, "vra "+c.name) {
			t.Errorf("vra help %s has no example", c.name)
		}
	}
}

func TestNoGateway(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	for _, args := range [][]string{{"status"}, {"reload"}, {"show", "ports"}, {"show", "sessions"}, {"show", "config"}} {
		status, out, err := vra(append(args, "--socket", socket)...)
		if status != exitFailed || out != "" || !strings.Contains(err, "is vra running") {
			t.Errorf("%v: got status %d, %q, %q", args, status, out, err)
		}
	}
}

func TestVersion(t *testing.T) {
	if status, out, _ := vra("version"); status != exitOK || !strings.HasPrefix(out, "vra "+appliance.Version+" go1.") {
		t.Errorf("got status %d, %q", status, out)
	}
}

func TestBrokenOutputIsAnError(t *testing.T) {
	socket := serve(t, admintest.Edge())
	for _, f := range []string{"table", "json", "yaml"} {
		if status := execute([]string{"show", "ports", "-o", f, "--socket", socket}, &streams{full{}, io.Discard}); status != exitFailed {
			t.Errorf("%s to a full disk: got status %d; want 1", f, status)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrInvalid }
