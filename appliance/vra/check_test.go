package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"openvra/config"
)

const goodConfig = `ports:
  - name: outside
    device: eth0
    addresses: [203.0.113.2/24]
routes:
  - to: 0.0.0.0/0
    via: 203.0.113.1
`

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "vra.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckOfAGoodFile(t *testing.T) {
	path := write(t, goodConfig)
	if status, out, err := vra("check", "-c", path); status != exitOK || out != path+": ok\n" || err != "" {
		t.Errorf("got status %d, %q, %q", status, out, err)
	}
	status, printed, err := vra("check", "--print", "-c", path)
	if status != exitOK || err != "" || !strings.Contains(printed, "tcpEstablished:") {
		t.Fatalf("--print: got status %d, %q, %q; want defaults in it", status, printed, err)
	}
	if status, again, err := vra("check", "-c", write(t, printed), "--print"); status != exitOK || again != printed {
		t.Errorf("what --print printed: got status %d, %s", status, err)
	}
}

func TestCheckOfABadFileSaysEverythingAtOnce(t *testing.T) {
	path := write(t, strings.NewReplacer("203.0.113.2/24", "203.0.113.2/33", "via:", "vai:").Replace(goodConfig))
	status, out, err := vra("check", "-c", path)
	if status != exitFailed || out != "" {
		t.Errorf("got status %d, %q", status, out)
	}
	lines := strings.Split(strings.TrimSpace(err), "\n")
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(path) + `:(\d+): [\w.\[\]]+: got .+; want .+$`)
	seen := map[string]bool{}
	for _, l := range lines {
		m := form.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("got %q; want FILE:LINE: path: got …; want …", l)
			continue
		}
		seen[m[1]] = true
	}
	if !seen["4"] || !seen["7"] {
		t.Errorf("got %s; want errors of lines 4 and 7", err)
	}
}

func TestCheckOfAMissingFile(t *testing.T) {
	status, _, err := vra("check", "-c", filepath.Join(t.TempDir(), "none.yaml"))
	if status != exitFailed || !strings.Contains(err, "none.yaml") {
		t.Errorf("got status %d, %q", status, err)
	}
}

func TestRunOfABadFileStartsNothing(t *testing.T) {
	status, _, err := vra("run", "-c", write(t, "ports: 3\n"))
	if status != exitFailed || !strings.Contains(err, "vra.yaml:1: ports: got") {
		t.Errorf("got status %d, %q", status, err)
	}
}

func TestHangupsAreReloadsAndCoalesce(t *testing.T) {
	reload, stop := reloadSignals()
	defer stop()
	for range 100 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	<-reload
	n := 1
	for {
		select {
		case <-reload:
			n++
			continue
		case <-time.After(200 * time.Millisecond):
		}
		break
	}
	if n > 4 { // taken, waiting, in hand, on its way
		t.Errorf("got %d reloads of 100 signals that nobody waited for; want at most 4", n)
	}
}

func TestLoggerIsAsConfigured(t *testing.T) {
	for _, row := range []struct {
		config config.Log
		want   string
	}{
		{config.Log{Level: "info", Format: "text"}, `level=INFO msg=one`},
		{config.Log{Level: "warn", Format: "text"}, ``},
		{config.Log{Level: "debug", Format: "json"}, `"msg":"one"`},
	} {
		var b bytes.Buffer
		newLogger(&b, row.config, new(slog.LevelVar)).Info("one")
		if got := b.String(); (row.want == "") != (got == "") || !strings.Contains(got, row.want) {
			t.Errorf("%+v: got %q; want %q in it", row.config, got, row.want)
		}
	}
}

// systemd listens as systemd does, and returns what is next said to it.
func systemd(t *testing.T) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		b := make([]byte, 1024)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestSystemdIsTold(t *testing.T) {
	next := systemd(t)
	n := notifier{slog.New(slog.DiscardHandler)}
	n.ready()
	if got := next(); got != "READY=1" {
		t.Errorf("ready: got %q", got)
	}
	n.reloading()
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+\n?$`).MatchString(got) {
		t.Errorf("reloading: got %q", got)
	}
	n.stopping()
	if got := next(); got != "STOPPING=1" {
		t.Errorf("stopping: got %q", got)
	}
}

func TestWatchdogIsFedInTime(t *testing.T) {
	next := systemd(t)
	t.Setenv("WATCHDOG_USEC", "100000")
	go notifier{slog.New(slog.DiscardHandler)}.watchdog(t.Context())
	start := time.Now()
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	if took := time.Since(start); took < 90*time.Millisecond {
		t.Errorf("three came in %v; want one each 50 ms", took)
	}
}

func TestWithoutSystemdNothingIsSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var log bytes.Buffer
	n := notifier{slog.New(slog.NewTextHandler(&log, nil))}
	n.ready()
	n.watchdog(t.Context()) // returns, since none is wanted
	if log.Len() > 0 {
		t.Errorf("got %q", log.String())
	}
}
