package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// prefix starts the name of every namespace of a lab; the process id follows.
const prefix = "vralab-"

// Missing says what a lab needs and this machine does not have, or nil.
func Missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("not root"))
	}
	if _, err := exec.LookPath("ip"); err != nil {
		errs = append(errs, errors.New("no ip command (package iproute2)"))
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sweep removes the namespaces, and ends the processes in them, of labs whose
// own process has ended without Close.
func sweep(ctx context.Context) error {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok {
			continue
		}
		pid, _, _ := strings.Cut(rest, "-")
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 0 || !errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			continue
		}
		if err := remove(ctx, e.Name()); err != nil && exists(e.Name()) { // else another sweep was quicker
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, err)...)
}

func exists(namespace string) bool {
	_, err := os.Stat(netnsDir + "/" + namespace)
	return err == nil
}

// remove kills what runs in the namespace and removes its name; the kernel
// removes the rest when the last socket is closed.
func remove(ctx context.Context, namespace string) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", namespace).Output()
	if err != nil {
		return fmt.Errorf("list processes of namespace %q: %w", namespace, err)
	}
	for pid := range strings.FieldsSeq(string(out)) {
		// Not our own: a thread of this process may be on its way out.
		if n, err := strconv.Atoi(pid); err == nil && n > 1 && n != os.Getpid() {
			syscall.Kill(n, syscall.SIGKILL)
		}
	}
	return ip(ctx, "netns", "del", namespace)
}

func ip(ctx context.Context, args ...string) error {
	_, err := output(exec.CommandContext(ctx, "ip", args...), "ip "+strings.Join(args, " "))
	return err
}
