package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"openvra/appliance/admin"
	"openvra/tools/lab"
)

// binary is the path of the program under test, which TestMain builds.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if lab.Missing() == nil {
		dir, err := os.MkdirTemp("", "vra-e2e-")
		if err == nil {
			defer os.RemoveAll(dir)
			err = build(filepath.Join(dir, "vra"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// build makes the static binary that people get.
func build(path string) error {
	cmd := exec.Command("go", "build", "-o", path, "openvra/appliance/vra")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build vra: %w: %s", err, out)
	}
	binary = path
	return nil
}

// A site is a lab with a gateway at work in it.
type site struct {
	*lab.Lab
	t       *testing.T
	config  lab.Config
	gateway *lab.Process
	admin   *admin.Client
}

// newSite builds the lab, without a gateway, and checks at the end of the test that
// the gateway started in it, if any, has accounted for every packet.
func newSite(t *testing.T, opts lab.Options, config lab.Config) *site {
	t.Helper()
	if err := lab.Missing(); err != nil {
		if os.Getenv("VRA_REQUIRE_ROOT") == "1" {
			t.Fatalf("this test must run here, but: %v", err)
		}
		t.Skipf("a lab needs root: %v", err)
	}
	l, err := lab.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Lab: l, t: t, config: config, admin: admin.NewClient(l.Socket())}
	t.Cleanup(func() {
		if t.Failed() && s.gateway != nil {
			t.Logf("the gateway said:\n%s", last(s.gateway.Log(), 60))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start is newSite with the gateway started and every service served.
func start(t *testing.T, opts lab.Options, config lab.Config) *site {
	t.Helper()
	s := newSite(t, opts, config)
	if err := errors.Join(s.WriteConfig(config), s.ServeAll()); err != nil {
		t.Fatal(err)
	}
	s.startGateway()
	t.Cleanup(s.checkConservation)
	return s
}

func (s *site) startGateway() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 15*time.Second)
	defer cancel()
	var err error
	if s.gateway, err = s.Start(ctx, exec.Command(binary, "run", "-c", s.ConfigPath())); err != nil {
		s.t.Fatal(err)
	}
}

// status asks the gateway how it is.
func (s *site) status() admin.Status {
	s.t.Helper()
	v, err := s.admin.Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// checkConservation waits until nothing is under way and checks that each packet
// that came in is accounted for, and that no worker has met a fault.
func (s *site) checkConservation() {
	select {
	case <-s.gateway.Exited():
		return
	default:
	}
	var v admin.Status
	var err error
	for range 20 {
		if v, err = s.admin.Status(context.Background()); err == nil && v.Packets.Conserved() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		s.t.Errorf("ask for status: %v", err)
		return
	}
	if !v.Packets.Conserved() {
		s.t.Errorf("packets are not accounted for: %+v", v.Packets)
	}
	for _, w := range v.Workers {
		if w.Panics > 0 {
			s.t.Errorf("worker %d met %d faults of ours", w.Worker, w.Panics)
		}
	}
}

// dropped returns the count of a drop reason.
func (s *site) dropped(reason string) uint64 {
	s.t.Helper()
	drops, err := s.admin.Drops(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range drops {
		if d.Reason == reason {
			return d.Count
		}
	}
	s.t.Fatalf("the gateway knows no drop reason %q", reason)
	return 0
}

// must fails the test at once unless every error is nil.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test unless ok becomes true in time.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// last returns the last n lines of text.
func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// stop ends the gateway by SIGTERM and wants exit status 0.
func (s *site) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := s.gateway.End(ctx, syscall.SIGTERM); err != nil {
		s.t.Fatalf("after SIGTERM: %v", err)
	}
}
