package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"openvra/appliance/admin"
	"openvra/appliance/admin/admintest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a server until the test ends, and returns a client of it.
func serve(t *testing.T, g admin.Gateway, o admin.Options, change ...func(*admin.Server)) *admin.Client {
	t.Helper()
	o.Log = quiet()
	if o.Socket == "" {
		o.Socket = filepath.Join(t.TempDir(), "admin.sock")
	}
	s, err := admin.Listen(g, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return admin.NewClient(o.Socket)
}

// check compares what a client got with what the gateway has.
func check[T any](t *testing.T, what string, want T) func(got T, err error) {
	return func(got T, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if d := cmp.Diff(got, want, cmp.Exporter(exportNetip)); d != "" {
			t.Errorf("%s, got (-) and want (+):\n%s", what, d)
		}
	}
}

func TestClientGetsWhatTheGatewayHas(t *testing.T) {
	g := admintest.Edge()
	c, ctx := serve(t, g, admin.Options{}), t.Context()
	check(t, "status", g.StatusView)(c.Status(ctx))
	check(t, "ports", g.PortList)(c.Ports(ctx))
	check(t, "routes", g.RouteList)(c.Routes(ctx))
	check(t, "neighbors", g.NeighborList)(c.Neighbors(ctx))
	check(t, "tunnels", g.TunnelList)(c.Tunnels(ctx))
	check(t, "drops", g.DropList)(c.Drops(ctx))
	check(t, "config", []byte(g.ConfigText))(c.Config(ctx))
	check(t, "sessions", admin.SessionList{Total: 3, Sessions: g.SessionItems})(c.Sessions(ctx, nil))
	check(t, "filtered sessions", admin.SessionList{Total: 2, Sessions: g.SessionItems[:1]})(
		c.Sessions(ctx, url.Values{"nat": {"true"}, "limit": {"1"}}))
}

func TestEmptyListsAreLists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	serve(t, &admintest.Gateway{}, admin.Options{Socket: path})
	for _, name := range []string{"ports", "routes", "neighbors", "tunnels", "drops"} {
		if _, body := call(t, path, "GET", "/v1/"+name, nil); strings.TrimSpace(body) != "[]" {
			t.Errorf("%s: got %q; want []", name, body)
		}
	}
	if _, body := call(t, path, "GET", "/v1/sessions", nil); strings.TrimSpace(body) != `{"total":0,"sessions":[]}` {
		t.Errorf("sessions: got %q", body)
	}
}

func TestGoneClientGivesTheTurnBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	g := admintest.Edge()
	for len(g.SessionItems) < 10000 { // far more than a socket holds
		g.SessionItems = append(g.SessionItems, g.SessionItems...)
	}
	c := serve(t, g, admin.Options{Socket: path})
	slow, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(slow, "GET /v1/sessions?limit=65536 HTTP/1.1\r\nHost: vra\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Read(make([]byte, 1)); err != nil { // it has the turn
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Routes(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside it: got %v; want %v", err, context.DeadlineExceeded)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("status needs no turn, but: %v", err)
	}
	slow.Close()
	if _, err := c.Routes(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	if v, err := c.Sessions(t.Context(), url.Values{"limit": {"65536"}}); err != nil || len(v.Sessions) != len(g.SessionItems) {
		t.Errorf("all sessions: got %d, %v; want %d", len(v.Sessions), err, len(g.SessionItems))
	}
}

func TestRefusedReloadIsAResult(t *testing.T) {
	g := admintest.Edge()
	refused := admin.ReloadResult{Generation: 3, Errors: []string{"vra.yaml:1: ports: got nothing; want a list"}}
	g.OnReload = func(context.Context) admin.ReloadResult { return refused }
	check(t, "reload", refused)(serve(t, g, admin.Options{}).Reload(t.Context()))
}

func TestSlowReloadSeesNoReadTimeout(t *testing.T) {
	g := admintest.Edge()
	g.OnReload = func(ctx context.Context) admin.ReloadResult {
		select {
		case <-ctx.Done():
			return admin.ReloadResult{}
		case <-time.After(400 * time.Millisecond):
			return admin.ReloadResult{OK: true}
		}
	}
	c := serve(t, g, admin.Options{}, func(s *admin.Server) { s.SetReadTimeout(100 * time.Millisecond) })
	check(t, "reload", admin.ReloadResult{OK: true})(c.Reload(t.Context()))
}

func TestGoneClientEndsTheWait(t *testing.T) {
	g, started, ended := admintest.Edge(), make(chan bool), make(chan bool)
	g.OnReload = func(ctx context.Context) admin.ReloadResult {
		close(started)
		<-ctx.Done()
		close(ended)
		return admin.ReloadResult{}
	}
	c := serve(t, g, admin.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := c.Reload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want %v", err, context.Canceled)
	}
	<-ended // or the test times out
}

func TestCallsThatAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	g := admintest.Edge()
	serve(t, g, admin.Options{Socket: path})
	for _, row := range []struct {
		method, path string
		body         io.Reader
		status       int
		text         string
	}{
		{"GET", "/", nil, 404, `no such call: GET /`},
		{"GET", "/v1/secrets", nil, 404, `no such call: GET /v1/secrets`},
		{"POST", "/v1/ports", nil, 404, `no such call: POST /v1/ports`},
		{"GET", "/v1/reload", nil, 404, `no such call: GET /v1/reload`},
		{"GET", "/metrics", nil, 404, `no such call: GET /metrics`},
		{"GET", "/v1/sessions?colour=red", nil, 400, `colour: got an unknown filter`},
		{"GET", "/v1/sessions?src=300.0.0.1", nil, 400, `src: got "300.0.0.1"; want an address or prefix`},
		{"GET", "/v1/sessions?src=10.0.0.1&src=10.0.0.2", nil, 400, `src: got 2 values; want one`},
		{"GET", "/v1/sessions?limit=0", nil, 400, `limit: got "0"; want 1 to 65536`},
		{"GET", "/v1/sessions?limit=65537", nil, 400, `limit: got "65537"; want 1 to 65536`},
		{"POST", "/v1/reload", strings.NewReader(strings.Repeat("x", admin.MaxBody+1)), 413, `body: got more than 4096 bytes; want none`},
		{"POST", "/v1/reload", io.MultiReader(strings.NewReader(strings.Repeat("x", admin.MaxBody+1))), 413, `body: got more than 4096 bytes; want none`},
	} {
		status, body := call(t, path, row.method, row.path, row.body)
		if status != row.status || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), `{"error":"`+row.text) {
			t.Errorf("%s %s: got %d %s; want %d %s", row.method, row.path, status, body, row.status, row.text)
		}
	}
	if n := g.Reloads(); n != 0 {
		t.Errorf("got %d reloads; want none", n)
	}
	if status, _ := call(t, path, "GET", "/"+strings.Repeat("x", 2*admin.MaxHeader), nil); status != 431 {
		t.Errorf("long header: got %d; want 431", status)
	}
}

func TestSlowClientIsCutAndDelaysNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	c := serve(t, admintest.Edge(), admin.Options{Socket: path}, func(s *admin.Server) { s.SetReadTimeout(200 * time.Millisecond) })
	for _, sent := range []string{"", "GET /v1/sta", "POST /v1/reload HTTP/1.1\r\nHost: vra\r\nContent-Length: 10\r\n\r\nabc"} {
		slow, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := io.WriteString(slow, sent); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(t.Context()); err != nil {
			t.Errorf("another client beside %q: %v", sent, err)
		}
		slow.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(slow); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stays; want it cut", sent)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	c := serve(t, admintest.Edge(), admin.Options{Socket: path})
	var idle []net.Conn
	for range admin.MaxConnections {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Status(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one connection too many: got %v; want %v", err, context.DeadlineExceeded)
	}
	idle[0].Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after another left: %v", err)
	}
}

func TestRunEndsWithItsContextThoughAClientHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	g, started := admintest.Edge(), make(chan bool)
	g.OnReload = func(ctx context.Context) admin.ReloadResult {
		close(started)
		<-ctx.Done()
		return admin.ReloadResult{}
	}
	s, err := admin.Listen(g, admin.Options{Socket: path, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	hangs := make(chan error, 1)
	go func() { _, err := admin.NewClient(path).Reload(t.Context()); hangs <- err }()
	<-started
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if err := <-hangs; err == nil {
		t.Error("the hanging client got no error")
	}
	if _, err := admin.NewClient(path).Status(t.Context()); !errors.Is(err, admin.ErrNoGateway) {
		t.Errorf("a later client: got %v; want %v", err, admin.ErrNoGateway)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close after run: %v", err)
	}
}

// call makes a request as a program without our client does.
func call(t *testing.T, socket, method, path string, body io.Reader) (status int, text string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://vra"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, fmt.Sprint(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // cut short where the server has not read all of a request
	return resp.StatusCode, string(b)
}
