package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"openvra/tools/lab"
)

// A contender does the gateway's job: begin makes it, and returns what ends it.
type contender struct {
	// Name says who, Job what.
	Name, Job string
	begin     func(context.Context, *bed) (end func() error, err error)
}

const (
	forwarding = "forwarding"
	nat        = "masquerade"
)

// contenders come in pairs, the kernel first: it is what the other is compared with.
func contenders(vra string) []contender {
	return []contender{
		{"kernel ip_forward", forwarding, kernelForward},
		{"vra", forwarding, vraWith(vra, false)},
		{"kernel nft masquerade", nat, kernelMasquerade},
		{"vra", nat, vraWith(vra, true)},
	}
}

func kernelForward(ctx context.Context, b *bed) (func() error, error) {
	err := errors.Join(
		b.Gateway.Sysctl("ipv4/ip_forward", "1"),
		b.Gateway.IP(ctx, `addr add 10.0.0.1/24 dev inside
			addr add 203.0.113.2/24 dev outside
			route add 10.1.0.0/16 via 10.0.0.2
			route add 198.51.100.0/24 via 203.0.113.1`))
	end := func() error {
		return errors.Join(
			b.Gateway.Sysctl("ipv4/ip_forward", "0"),
			b.Gateway.IP(context.Background(), "addr flush dev inside\n"+"addr flush dev outside"))
	}
	return end, err
}

func kernelMasquerade(ctx context.Context, b *bed) (func() error, error) {
	end, err := kernelForward(ctx, b)
	if err != nil {
		return end, err
	}
	nft := b.Gateway.Command(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(`table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname outside masquerade
	}
}`)
	if out, err := nft.CombinedOutput(); err != nil {
		return end, fmt.Errorf("run nft: %w: %s", err, out)
	}
	return func() error {
		_, err := b.Gateway.Exec(context.Background(), "nft", "flush", "ruleset")
		return errors.Join(err, end())
	}, nil
}

const vraYAML = `
workers: 1
ports:
  - {name: inside, addresses: 10.0.0.1/24}
  - {name: outside, addresses: 203.0.113.2/24}
routes:
  - {to: 10.1.0.0/16, via: 10.0.0.2}
  - {to: 198.51.100.0/24, via: 203.0.113.1}
admin: {socket: %q, metrics: "off"}
log: {level: warn}
`

const vraNAT = `
nat:
  source:
    - {name: out, out: outside, translate: masquerade}
`

// vraWith runs the program on the gateway's core.
func vraWith(program string, translate bool) func(context.Context, *bed) (func() error, error) {
	return func(ctx context.Context, b *bed) (func() error, error) {
		text := fmt.Sprintf(vraYAML, b.Socket())
		if translate {
			text += vraNAT
		}
		if err := b.WriteConfigText(text); err != nil {
			return nil, err
		}
		starting, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		taskset, err := exec.LookPath("taskset")
		if err != nil {
			return nil, err
		}
		// Taskset becomes nice, and nice the program: the process id stays.
		p, err := b.Start(starting, exec.Command(taskset, "-c", fmt.Sprint(gatewayCPU), "nice", "-n", "-20", program, "run", "-c", b.ConfigPath()))
		if err != nil {
			return nil, err
		}
		return func() error { return endVRA(p) }, nil
	}
}

func endVRA(p *lab.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.End(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end vra: %w: %s", err, p.Log())
	}
	return nil
}
