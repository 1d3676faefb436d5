package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxLog is how much of a process's log is kept, in bytes; the oldest goes first.
const maxLog = 4 << 20

// A Process is a gateway that runs in the gateway's namespace. Safe for concurrent
// use.
type Process struct {
	cmd *exec.Cmd
	log tail
	// exited is closed when the process has ended; err is valid then.
	exited chan struct{}
	err    error

	mu sync.Mutex
	// said counts the lines of sd_notify(3), and heard is closed and replaced at
	// each of them.
	said  map[string]int
	heard chan struct{}
}

// Start runs cmd, which is not started yet, in the gateway's namespace and waits
// until it says that it is ready, as sd_notify(3) has it. The lab's Close kills
// what is still running.
func (l *Lab) Start(ctx context.Context, cmd *exec.Cmd) (*Process, error) {
	at := filepath.Join(l.Dir, "notify")
	if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	p := &Process{exited: make(chan struct{}), said: map[string]int{}, heard: make(chan struct{})}
	p.cmd = l.Gateway.Command(l.ctx, cmd.Path, cmd.Args[1:]...)
	p.cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+at)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	l.running.Go(func() { p.listen(notify) })
	l.running.Go(func() {
		p.err = p.cmd.Wait()
		close(p.exited)
		notify.Close()
	})
	if err := p.await(ctx, "READY=1", 1); err != nil {
		p.Signal(syscall.SIGKILL)
		return nil, fmt.Errorf("start gateway: %w: %s", err, p.Log())
	}
	return p, nil
}

// listen counts what the process says, until the socket is closed. It must not lag:
// a process waits when it is not heard.
func (p *Process) listen(notify *net.UnixConn) {
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		for line := range strings.FieldsSeq(string(buf[:n])) {
			p.said[line]++
		}
		close(p.heard)
		p.heard = make(chan struct{})
		p.mu.Unlock()
	}
}

// times returns how often the process has said the line, and what is closed when it
// says something more.
func (p *Process) times(line string) (int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said[line], p.heard
}

// await waits until the process has said the line n times.
func (p *Process) await(ctx context.Context, line string, n int) error {
	for {
		said, heard := p.times(line)
		if said >= n {
			return nil
		}
		select {
		case <-heard:
		case <-p.exited:
			return fmt.Errorf("wait for %q: process ended: %v", line, p.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for %q: %w", line, ctx.Err())
		}
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the process wrote so far, the last few megabytes.
func (p *Process) Log() string { return p.log.String() }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// End sends a signal and waits for the end; an exit status other than 0 is an error.
func (p *Process) End(ctx context.Context, s os.Signal) error {
	if err := p.Signal(s); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("gateway did not end: %w", ctx.Err())
	}
}

// Reload sends SIGHUP and waits until a reload, of whatever result, is over.
func (p *Process) Reload(ctx context.Context) error {
	const begun, over = "RELOADING=1", "READY=1"
	begins, _ := p.times(begun)
	overs, _ := p.times(over)
	if err := p.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if err := p.await(ctx, begun, begins+1); err != nil {
		return err
	}
	return p.await(ctx, over, overs+1)
}

// tail is a writer that keeps the last maxLog bytes.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if over := len(t.b) - maxLog; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
