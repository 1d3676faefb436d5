package admin_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"openvra/appliance/admin"
	"openvra/appliance/admin/admintest"
)

func TestSocketRights(t *testing.T) {
	group := os.Getgid()
	if os.Geteuid() == 0 {
		group = 4321 // any: root may give files away
	}
	for _, row := range []struct {
		name, group string
		mode        fs.FileMode
		gid         int
	}{
		{"without a group it is the owner's alone", "", 0o600, os.Getegid()},
		{"a group may open it too", fmt.Sprint(group), 0o660, group},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "run", "admin.sock")
			s := listen(t, admin.Options{Socket: path, Group: row.group})
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := info.Mode(), fs.ModeSocket|row.mode; got != want {
				t.Errorf("mode: got %v; want %v", got, want)
			}
			if got := int(info.Sys().(*syscall.Stat_t).Gid); got != row.gid {
				t.Errorf("group: got %d; want %d", got, row.gid)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if left := names(t, filepath.Dir(path)); left != "" {
				t.Errorf("files left after close: %s; want none", left)
			}
		})
	}
}

func TestSocketOfAnUnknownGroupIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	_, err := admin.Listen(admintest.Edge(), admin.Options{Socket: path, Group: "no-such-group", Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "no-such-group") {
		t.Errorf("got %v; want an error that names the group", err)
	}
	if left := names(t, filepath.Dir(path)); left != "" {
		t.Errorf("files left: %s; want none", left)
	}
}

func TestSocketOfALiveProcessIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	client := serve(t, admintest.Edge(), admin.Options{Socket: path})
	if _, err := admin.Listen(admintest.Edge(), admin.Options{Socket: path, Log: quiet()}); !errors.Is(err, admin.ErrInUse) {
		t.Errorf("second listener: got %v; want %v", err, admin.ErrInUse)
	}
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("first listener after that: %v", err)
	}
}

func TestSocketOfADeadProcessIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	for _, p := range []string{path, path + ".new"} { // as left by kill -9, early and late
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	if _, err := serve(t, admintest.Edge(), admin.Options{Socket: path}).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := admin.Listen(admintest.Edge(), admin.Options{Socket: path, Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("got %v; want an error that says it is no socket", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("file now holds %q", text)
	}
}

func TestCloseLeavesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	s := listen(t, admin.Options{Socket: path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	client := serve(t, admintest.Edge(), admin.Options{Socket: path})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

func TestMetricsAddressInUseLeavesNoSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(t.TempDir(), "admin.sock")
	if _, err := admin.Listen(admintest.Edge(), admin.Options{Socket: path, Metrics: l.Addr().String(), Log: quiet()}); err == nil {
		t.Fatal("got no error")
	}
	if left := names(t, filepath.Dir(path)); left != "" {
		t.Errorf("files left: %s; want none", left)
	}
}

// listen opens a server that does not answer yet.
func listen(t *testing.T, o admin.Options) *admin.Server {
	t.Helper()
	o.Log = quiet()
	s, err := admin.Listen(admintest.Edge(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}
