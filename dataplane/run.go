package dataplane

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// idleWait is how long, in milliseconds, a worker sleeps at most when nothing comes.
const idleWait = 100

// Run polls until ctx ends, or until all queues have (io.EOF). It keeps its thread.
// Clock returns monotonic nanoseconds.
func (w *Worker) Run(ctx context.Context, clock func() int64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.endOnce.Do(func() { close(w.ended) })
	if err := w.openWake(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	var fds []unix.PollFd
	for ctx.Err() == nil {
		busy, err := w.guardedPoll(clock())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if !busy {
			fds = w.sleep(fds)
		}
	}
	// Whoever waits for a turn gets it.
	if f := w.control.Swap(nil); f != nil {
		(*f)()
	}
	return nil
}

// guardedPoll is Poll for a worker that must go on: a panic outside of the line's steps,
// in a timer or a driver, is counted and logged. It may cost the batch.
func (w *Worker) guardedPoll(now int64) (busy bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.survived(r, "poll")
		}
	}()
	return w.Poll(now)
}

// sleep waits for a frame, a wake or the time.
func (w *Worker) sleep(fds []unix.PollFd) []unix.PollFd {
	w.sleeping.Store(true)
	defer w.sleeping.Store(false)
	if w.control.Load() != nil || w.ringsPending() {
		return fds
	}
	fds = append(fds[:0], unix.PollFd{Fd: int32(w.wakeFD), Events: unix.POLLIN})
	wait := idleWait
	if w.hold.Len() > 0 {
		wait = 1 // another worker may hear of the neighbor first
	}
	for _, q := range w.queues {
		if q == nil {
			continue
		}
		if fd := q.FD(); fd >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		} else {
			wait = 1 // it can only be asked
		}
	}
	_, _ = unix.Poll(fds, wait)
	if fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(w.wakeFD, b[:])
	}
	for _, f := range fds[1:] {
		if f.Revents&(unix.POLLERR|unix.POLLNVAL|unix.POLLHUP) != 0 && f.Revents&unix.POLLIN == 0 {
			time.Sleep(time.Millisecond) // a device that went down polls at once
			break
		}
	}
	return fds
}

func (w *Worker) ringsPending() bool {
	if w.opt.Rings == nil {
		return false
	}
	for from := range w.opt.Of {
		if from != w.opt.ID {
			r := &w.opt.Rings.packets[w.opt.Rings.between(from, w.opt.ID)]
			if r.head.Load() != r.tail.Load() {
				return true
			}
		}
	}
	return false
}

func (w *Worker) openWake() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	w.wakeFD = fd
	return nil
}

// wake ends the worker's sleep. Safe for concurrent use.
func (w *Worker) wake() {
	if w.sleeping.Load() && w.wakeFD >= 0 {
		one := [8]byte{1}
		_, _ = unix.Write(w.wakeFD, one[:])
	}
}

// Do runs f on the worker's thread between two batches, and returns when it is done.
// Safe for concurrent use; callers take turns. A worker that does not run yet is asked
// to by Poll; one that has ended runs nothing any more.
func (w *Worker) Do(f func()) {
	done := make(chan struct{})
	g := func() { f(); close(done) }
	for !w.control.CompareAndSwap(nil, &g) {
		select {
		case <-w.ended:
			return
		case <-time.After(50 * time.Microsecond): // another caller's turn
		}
	}
	w.wake()
	select {
	case <-done:
	case <-w.ended:
	}
}
