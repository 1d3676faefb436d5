package main

import (
	"context"
	"flag"
	"fmt"

	"openvra/appliance/admin"
)

func reloadCommand() command {
	return command{
		name:    "reload",
		summary: "make the running gateway read its configuration again, and wait for the result",
		examples: []string{
			"vra reload",
			"vra check -c /etc/vra/vra.yaml && vra reload",
		},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			client := socketFlag(fs)
			return func(ctx context.Context, s *streams, _ []string) error {
				r, err := withTimeout(ctx, reloadTimeout, client().Reload)
				if err != nil {
					return err
				}
				return sayReload(s, r)
			}
		},
	}
}

// sayReload says what came of a reload; a refusal is errSaid.
func sayReload(s *streams, r admin.ReloadResult) error {
	for _, w := range r.Warnings {
		fmt.Fprintf(s.err, "warning: %s\n", w)
	}
	if r.OK {
		_, err := fmt.Fprintf(s.out, "reloaded: generation %d in force, took %d ms\n", r.Generation, r.TookMillis)
		return err
	}
	for _, e := range r.Errors {
		fmt.Fprintln(s.err, e)
	}
	fmt.Fprintf(s.err, "refused: generation %d stays in force\n", r.Generation)
	return errSaid
}
