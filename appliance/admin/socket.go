package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ErrInUse says that another process answers at the socket.
var ErrInUse = errors.New("another process answers there")

// A socket is a listener at a path of the file system that nobody else listens at.
type socket struct {
	net.Listener
	path string
	id   fs.FileInfo // of the file we made, so that only that is removed
}

// listen makes the socket: mode 0600, or 0660 and of the group if that is not empty.
// The folder is made where it is missing. A socket that nobody answers at is
// replaced; one that is answered is ErrInUse; a file of another kind is an error.
//
// The socket is made under a name of its own and moved into place, so that it is
// never there with other rights, nor without a listener.
func listen(path, group string) (*socket, error) {
	s, err := makeSocket(path, group)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket %q: %w", path, err)
	}
	return s, nil
}

func makeSocket(path, group string) (*socket, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := vacant(path); err != nil {
		return nil, err
	}
	made := path + ".new"
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &socket{Listener: l, path: path}
	if err := s.settle(made, group); err != nil {
		return nil, errors.Join(err, os.Remove(made), l.Close())
	}
	return s, nil
}

// settle gives the socket its rights and then its place.
func (s *socket) settle(made, group string) (err error) {
	mode := fs.FileMode(0o600)
	if group != "" {
		gid, err := groupID(group)
		if err != nil {
			return err
		}
		if err := os.Chown(made, -1, gid); err != nil {
			return err
		}
		mode = 0o660
	}
	if err := os.Chmod(made, mode); err != nil {
		return err
	}
	if s.id, err = os.Lstat(made); err != nil {
		return err
	}
	return os.Rename(made, s.path)
}

// Close stops listening and removes the file, unless another has taken its place.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if now, statErr := os.Lstat(s.path); statErr == nil && os.SameFile(now, s.id) {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}

// vacant says with nil that path may be taken: nothing is there, or a socket of a
// process that is gone.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("a file that is no socket is there")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// groupID reads a group's name or number.
func groupID(group string) (int, error) {
	if gid, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(gid), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
