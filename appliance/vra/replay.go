package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"openvra/appliance"
	"openvra/tools/pcapdiff"
)

func replayCommand() command {
	return command{
		name:    "replay",
		summary: "send captures through the path offline, and compare what comes out",
		examples: []string{
			"vra replay -c vra.yaml --in outside=outside.pcap --in inside=inside.pcapng.gz --out result",
			"vra replay -c vra.yaml --in outside=outside.pcap --out result --expect golden",
		},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			path := configFlag(fs)
			var o appliance.ReplayOptions
			fs.Func("in", "what comes in at a port, `PORT=CAPTURE`; once for each port", func(v string) error {
				port, file, found := strings.Cut(v, "=")
				if !found || port == "" || file == "" {
					return fmt.Errorf("want PORT=CAPTURE, as outside=outside.pcap")
				}
				o.In = append(o.In, appliance.ReplayInput{Port: port, Path: file})
				return nil
			})
			fs.StringVar(&o.OutDir, "out", "", "`DIR` to write PORT.pcapng to, for each port, and host.pcapng")
			fs.Uint64Var(&o.Seed, "seed", 1, "`N` that all random choices follow from")
			asJSON := fs.Bool("json", false, "print the counts as JSON")
			expect := fs.String("expect", "", "compare with the captures in `DIR`, which has the names of --out")
			return func(_ context.Context, s *streams, _ []string) error {
				return replay(s, *path, o, *asJSON, *expect)
			}
		},
	}
}

func replay(s *streams, path string, o appliance.ReplayOptions, asJSON bool, expect string) (err error) {
	if len(o.In) == 0 || o.OutDir == "" {
		return usagef("want --in PORT=CAPTURE, at least once, and --out DIR")
	}
	if o.Config, err = loadChecked(s, path); err != nil {
		return err
	}
	r, err := appliance.Replay(o)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(s.out, r)
	} else {
		err = format("table").print(s.out, r, func(w io.Writer) { replayTable(w, r) })
	}
	if err != nil || expect == "" {
		return err
	}
	return compare(s, o.OutDir, expect)
}

// maxDifferences are told; the rest is counted.
const maxDifferences = 100

// compare explains how the captures in got differ from those in want.
func compare(s *streams, got, want string) error {
	differences, err := pcapdiff.Dirs(got, want)
	if err != nil {
		return err
	}
	for i, d := range differences {
		if i == maxDifferences {
			fmt.Fprintf(s.err, "and %d more differences\n", len(differences)-i)
			break
		}
		fmt.Fprintln(s.err, d)
	}
	if len(differences) > 0 {
		return errSaid
	}
	return nil
}

// replayTable prints the counts. What the gateway makes itself comes in by no port.
func replayTable(w io.Writer, r *appliance.ReplayResult) {
	fmt.Fprint(w, "PORT\tPACKETS IN\tOUT\tLOCAL\tHELD\tDROPPED\n")
	line := func(name string, in, out, local, held uint64, drops map[string]uint64) {
		var list []string
		for _, reason := range slices.Sorted(maps.Keys(drops)) {
			list = append(list, fmt.Sprintf("%d %s", drops[reason], reason))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", name, in, out, local, held, dash(strings.Join(list, ", ")))
	}
	for _, p := range r.Ports {
		line(p.Port, p.In, p.Out, p.Local, p.Held, p.Drops)
	}
	line("all", r.In, r.Out, r.Local, r.Held, r.Drops)
	fmt.Fprintf(w, "\n%d in + %d made = %d out + %d local + %d held + %d dropped\n", r.In, r.Made, r.Out, r.Local, r.Held, r.Dropped)
}
