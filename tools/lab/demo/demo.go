package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"openvra/appliance/admin"
	"openvra/tools/lab"
)

// Run builds a lab, starts gateway's command in it, drives traffic through it and
// writes what came of it to w. An error says that a flow failed or that there was
// no lab to speak of. With keep it then waits for ctx before it takes the lab down.
//
// Gateway returns the command that runs a gateway with the configuration at a path,
// not started.
func Run(ctx context.Context, w io.Writer, gateway func(configPath string) *exec.Cmd, keep bool) (err error) {
	fmt.Fprintln(w, "building the lab: 8 network namespaces, a gateway in one of them")
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.WriteConfig(lab.Config{}); err != nil {
		return err
	}
	process, err := l.Start(ctx, gateway(l.ConfigPath()))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "gateway runs on af_packet ports outside and inside, pid %d\n\n", process.PID())
	failed, err := show(ctx, w, l)
	if err != nil {
		return err
	}
	if keep {
		explore(w, l, gateway(l.ConfigPath()).Path)
		<-ctx.Done()
	}
	// The demo is over, interrupted or not: the end has its own time.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := process.End(ending, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop gateway: %w: %s", err, process.Log())
	}
	if failed > 0 {
		return fmt.Errorf("%d flows failed; the gateway said:\n%s", failed, process.Log())
	}
	return nil
}

// show drives the flows and draws the result; it returns how many failed.
func show(ctx context.Context, w io.Writer, l *lab.Lab) (failed int, err error) {
	if err := l.ServeAll(); err != nil {
		return 0, err
	}
	for _, f := range flows() {
		start := time.Now()
		said, err := f.run(ctx, l)
		mark := "ok  "
		if err != nil {
			mark, said = "FAIL", err.Error()
			failed++
		}
		fmt.Fprintf(w, "%s  %s\n      %s\n      %s (%v)\n", mark, f.name, f.path, said, time.Since(start).Round(time.Millisecond))
	}
	counts, err := read(ctx, admin.NewClient(l.Socket()))
	if err != nil {
		return failed, err
	}
	counts.worker1, counts.worker2 = l.Worker1Counters(), l.Worker2Counters()
	draw(w, counts)
	return failed, nil
}

// explore says how to look around.
func explore(w io.Writer, l *lab.Lab, vra string) {
	fmt.Fprintf(w, "\nThe lab stays up until you interrupt. From another shell, as root:\n\n")
	for _, line := range []string{
		fmt.Sprintf("ip netns exec %s ping -c 3 %v", l.Pod2.Namespace, lab.InternetAddr),
		fmt.Sprintf("ip netns exec %s traceroute -n %v", l.Client.Namespace, lab.Outside2Static),
		fmt.Sprintf("ip netns exec %s tcpdump -ni eth0 'ip proto 4'", l.Worker2.Namespace),
		fmt.Sprintf("%s show sessions --socket %s", vra, l.Socket()),
		fmt.Sprintf("%s show drops --socket %s", vra, l.Socket()),
		fmt.Sprintf("$EDITOR %s && %s reload --socket %s", l.ConfigPath(), vra, l.Socket()),
	} {
		fmt.Fprintln(w, "  "+line)
	}
	fmt.Fprintf(w, "\nHosts: ")
	for _, h := range []*lab.Host{l.Client, l.Gateway, l.LAN, l.Worker1, l.Pod1, l.Router, l.Worker2, l.Pod2} {
		fmt.Fprintf(w, " %s", h.Namespace)
	}
	fmt.Fprintln(w)
}
