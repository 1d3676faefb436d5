package config

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// refusal is a row of testdata/refused.txt:
//
//	=== NAME, with " | schema" where schema.json refuses the file too
//	the file
//	--- refused
//	every error
type refusal struct {
	name, in, want string
	schema         bool
}

func refusals(t *testing.T) (rows []refusal) {
	t.Helper()
	data, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(data), "=== ") {
		if part == "" {
			continue
		}
		head, body, _ := strings.Cut(part, "\n")
		name, schema := strings.CutSuffix(head, " | schema")
		in, want, ok := strings.Cut(body, "--- refused\n")
		if !ok {
			t.Fatalf("testdata/refused.txt: %q has no errors", name)
		}
		rows = append(rows, refusal{name, in, want, schema})
	}
	return rows
}

func TestEveryErrorIsNamedWithItsLine(t *testing.T) {
	validate := compiled(t)
	var b strings.Builder
	for _, row := range refusals(t) {
		head, got := row.name, ""
		if _, err := Parse("gw.yaml", []byte(row.in)); err != nil {
			got = err.Error() + "\n"
		}
		if row.schema {
			head += " | schema"
		}
		b.WriteString("=== " + head + "\n" + row.in + "--- refused\n" + got)
		if *update {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			if got == "" {
				t.Fatal("the file is accepted")
			}
			if diff := cmp.Diff(strings.Split(got, "\n"), strings.Split(row.want, "\n")); diff != "" {
				t.Errorf("errors (-got +want):\n%s", diff)
			}
			if err := validate([]byte(row.in)); row.schema && err == nil {
				t.Error("schema.json accepts the file")
			}
		})
	}
	if *update {
		if err := os.WriteFile("testdata/refused.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// mustParse returns the configuration in text.
func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("gw.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBytesThatAreNoTextAreRefusedWithTheirLine(t *testing.T) {
	const head = "ports:\n  - name: wan\n"
	for name, row := range map[string]struct{ in, want string }{
		"a byte that is no UTF-8":     {head + "# caf\xe9\n", "gw.yaml:3: got byte 0xe9; want UTF-8 text without control characters"},
		"an overlong slash":           {head + "# \xc0\xaf\n", "gw.yaml:3: got byte 0xc0; want UTF-8 text without control characters"},
		"half a surrogate pair":       {head + "# \xed\xa0\x80\n", "gw.yaml:3: got byte 0xed; want UTF-8 text without control characters"},
		"a NUL":                       {head + "\x00", "gw.yaml:3: got byte 0x00; want UTF-8 text without control characters"},
		"an escape sequence":          {head + "# \x1b[2J\n", "gw.yaml:3: got byte 0x1b; want UTF-8 text without control characters"},
		"UTF-16":                      {"\xff\xfep\x00o\x00", "gw.yaml:1: got byte 0xff; want UTF-8 text without control characters"},
		"a byte order mark":           {"\xef\xbb\xbf" + head, "gw.yaml:1: got byte 0xef; want UTF-8 text without control characters"},
		"an ELF file":                 {"\x7fELF\x02", "gw.yaml:1: got byte 0x7f; want UTF-8 text without control characters"},
		"a file cut inside a rune":    {head + "# \xe2\x82", "gw.yaml:3: got byte 0xe2; want UTF-8 text without control characters"},
		"a file cut inside a mapping": {head + "    mtu", "gw.yaml:3: got broken YAML: could not find expected ':'; want YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("gw.yaml", []byte(row.in))
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v; want %s", err, row.want)
			}
		})
	}
}

func TestLoadReadsOnceAndNeverMoreThanItsBound(t *testing.T) {
	dir := t.TempDir()
	good, big, loop := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "big.yaml"), filepath.Join(dir, "loop.yaml")
	if err := os.WriteFile(good, []byte("ports: [{name: wan}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(good)
	if err != nil || c.File != good {
		t.Fatalf("got %v, %v; want the file", c, err)
	}
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 100<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		big:                          big + ":1: got more than 16 MiB; want a file of at most 16 MiB",
		dir:                          dir + ": got a directory; want a file",
		loop:                         "read configuration: open " + loop + ": too many levels of symbolic links",
		fifo:                         fifo + `:1: got an empty file; want a mapping with the key "ports"`,
		filepath.Join(dir, "absent"): "read configuration: open " + filepath.Join(dir, "absent") + ": no such file or directory",
	} {
		if _, err := Load(name); err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}

func TestAtMostTwentyErrorsAreShownAndTheRestCounted(t *testing.T) {
	for _, row := range []struct {
		bad  int
		last string
	}{
		{20, `gw.yaml:20: k19: got an unknown key; want a known one, as "log"`},
		{21, "and 1 more"},
		{500, "and 480 more"},
		{5000, "and at least 980 more"},
	} {
		var b strings.Builder
		for i := range row.bad {
			fmt.Fprintf(&b, "k%d: x\n", i)
		}
		_, err := Parse("gw.yaml", []byte(b.String()+"ports: [{name: wan}]\n"))
		lines := strings.Split(err.Error(), "\n")
		if got := lines[len(lines)-1]; got != row.last || len(lines) > 21 {
			t.Errorf("%d errors: got %d lines, the last %q; want %q", row.bad, len(lines), got, row.last)
		}
	}
}

func TestDefaultsOfTheShortestFile(t *testing.T) {
	const text = "ports:\n  - name: wan\n"
	got := mustParse(t, text)
	want := &Config{
		File:  "gw.yaml",
		Hash:  sha256.Sum256([]byte(text)),
		Ports: []Port{{Line: 2, Name: "wan", Driver: AFPacket, Device: "wan", Zone: "wan", RPF: RPFLoose, Promiscuous: "auto", Announce: 3}},
		Host:  Host{Device: "vra0", MTU: 1500},
		Limits: Limits{
			Sessions: 1 << 20, HalfOpenPercent: 50, Fragments: 4096, FragmentBytes: 4 << 20, FragmentsPerDatagram: 64,
			Neighbors: 8192, NeighborQueue: 3, HeldPackets: 4096, ICMPErrorsPerSecond: 1000, ICMPErrorBurst: 50,
			ICMPErrorsPerDestination: 1, ARPPerSecond: 1000, LogLinesPerSecond: 20,
		},
		Timeouts: Timeouts{
			UDP: 5 * time.Minute, TCPEstablished: 7440 * time.Second, TCPTransitory: 4 * time.Minute, TCPSYN: 4 * time.Minute,
			TCPReset: 4 * time.Minute, ICMP: time.Minute, Other: 5 * time.Minute, Fragment: 30 * time.Second,
			PortRest: 2 * time.Minute, Neighbor: 30 * time.Second,
		},
		Admin: Admin{Socket: "/run/vra/admin.sock", Metrics: Listener{netip.MustParseAddrPort("127.0.0.1:9478")}},
		Log:   Log{Level: "info", Format: "text"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestShortFormsMeanTheLongOnes(t *testing.T) {
	const ports = "ports: [{name: wan, addresses: %s}]\n"
	validate := compiled(t)
	for name, row := range map[string]struct{ short, long string }{
		"a single value for a list": {"192.0.2.1/24", "[192.0.2.1/24]"},
		"a bare next hop": {
			"192.0.2.1/24}]\nroutes: [{to: 10.0.0.0/8, via: 192.0.2.2",
			"192.0.2.1/24}]\nroutes: [{to: 10.0.0.0/8, via: [{address: 192.0.2.2, port: wan, weight: 1}]",
		},
		"a route's port for its next hops": {
			"192.0.2.1/24}]\nroutes: [{to: 10.0.0.0/8, port: wan, via: [192.0.2.2, 192.0.2.3]",
			"192.0.2.1/24}]\nroutes: [{to: 10.0.0.0/8, port: wan, via: [{address: 192.0.2.2, port: wan}, {address: 192.0.2.3, port: wan}]",
		},
		"an address for a prefix of one": {
			"192.0.2.1/24}]\nroutes: [{to: 10.0.0.9, blackhole: true", "192.0.2.1/24}]\nroutes: [{to: 10.0.0.9/32, blackhole: true",
		},
		"bare masquerade": {
			"192.0.2.1/24}]\nnat: {source: [{name: r, out: wan, translate: masquerade}]}\nzones: [{name: wan",
			"192.0.2.1/24}]\nnat: {source: [{name: r, out: [wan], translate: {addresses: [masquerade], ports: 1024-65535}}]}\nzones: [{name: wan",
		},
		"a prefix for a range": {
			"192.0.2.1/24}]\nnat: {source: [{name: r, out: wan, translate: 203.0.113.4/31}]}\nzones: [{name: wan",
			"192.0.2.1/24}]\nnat: {source: [{name: r, out: wan, translate: {addresses: 203.0.113.4-203.0.113.5}}]}\nzones: [{name: wan",
		},
	} {
		t.Run(name, func(t *testing.T) {
			short := mustParse(t, fmt.Sprintf(ports, row.short))
			long := mustParse(t, fmt.Sprintf(ports, row.long))
			for _, form := range []string{row.short, row.long} {
				if err := validate(fmt.Appendf(nil, ports, form)); err != nil {
					t.Errorf("schema.json: %v", err)
				}
			}
			short.Hash = long.Hash // of other bytes
			if !reflect.DeepEqual(short, long) {
				t.Errorf("got  %+v\nwant %+v", short, long)
			}
		})
	}
}

func TestUsualSpellingsOfDurationsAndSizes(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "300s": 5 * time.Minute, "5m": 5 * time.Minute, "2h": 2 * time.Hour,
		"1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "2h4m": 7440 * time.Second, "1m0s500ms": 60500 * time.Millisecond,
	} {
		got, ok := parseDuration(in)
		if !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", in, got, ok, want)
		}
		if again, ok := parseDuration(formatDuration(got)); !ok || again != got {
			t.Errorf("formatDuration(%v) = %q reads as %v, %v", got, formatDuration(got), again, ok)
		}
	}
	for _, in := range []string{"", "s", "5", "5 s", "-5s", "+5s", "5S", "5min", "05s", "1.5s", "5s5s", "5s5m", "5m5", "106752d", "9999999999d"} {
		if got, ok := parseDuration(in); ok {
			t.Errorf("parseDuration(%q) = %v; want it refused", in, got)
		}
	}
	for in, want := range map[string]Size{
		"0": 0, "1500": 1500, "1500B": 1500, "64k": 64_000, "64kB": 64_000, "64Ki": 65536, "64KiB": 65536,
		"4M": 4_000_000, "4MiB": 4 << 20, "1G": 1_000_000_000, "1Gi": 1 << 30,
	} {
		got, ok := parseSize(in)
		if !ok || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, ok, want)
		}
		if again, ok := parseSize(got.String()); !ok || again != got {
			t.Errorf("Size(%d).String() = %q reads as %d, %v", got, got.String(), again, ok)
		}
	}
	for _, in := range []string{"", "k", "-1", "1 k", "1K", "1kb", "1KIB", "1T", "01k", "1.5M", "999999999999G"} {
		if got, ok := parseSize(in); ok {
			t.Errorf("parseSize(%q) = %d; want it refused", in, got)
		}
	}
}

func TestItemsKnowTheirLines(t *testing.T) {
	data, err := os.ReadFile("reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(data))
	lines := strings.Split(string(data), "\n")
	for _, item := range []struct {
		line int
		want string
	}{
		{c.Ports[1].Line, "- name: lan"},
		{c.Ports[1].VLANs[1].Line, "- name: customer"},
		{c.Routes[2].Line, "- to: 10.0.3.0/24"},
		{c.Routes[1].Via[0].Line, "- 10.0.0.253"},
		{c.Routes[0].Via[0].Line, "via: 203.0.113.1"},
		{c.Tunnels[0].Workers[1].Line, "- name: worker-2"},
		{c.NAT.Source[2].Line, "- name: pods-out"},
		{c.NAT.Source[2].Translate.Line, "translate: masquerade"},
		{c.Host.Services[1].Line, "- name: ike"},
	} {
		if got := strings.TrimSpace(lines[item.line-1]); got != item.want {
			t.Errorf("line %d: got %q; want %q", item.line, got, item.want)
		}
	}
}

func TestShortTimersAreAcceptedOnRequest(t *testing.T) {
	c := mustParse(t, "ports: [{name: wan}]\ntimeouts: {allowShort: true, udp: 30s}\n")
	if c.Timeouts.UDP != 30*time.Second {
		t.Errorf("got %v; want 30s", c.Timeouts.UDP)
	}
}
