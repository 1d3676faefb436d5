package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"openvra/appliance/admin"
)

func statusCommand() command {
	return command{
		name:     "status",
		summary:  "show how the running gateway is",
		examples: []string{"vra status", "vra status -o json --socket /run/vra/admin.sock"},
		setup: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			client, output := socketFlag(fs), outputFlag(fs)
			return func(ctx context.Context, s *streams, _ []string) error {
				v, err := withTimeout(ctx, askTimeout, client().Status)
				if err != nil {
					return err
				}
				return output.print(s.out, v, func(w io.Writer) { statusTable(w, &v) })
			}
		},
	}
}

func statusTable(w io.Writer, v *admin.Status) {
	fmt.Fprintf(w, "gateway\tvra %s, pid %d, up %s\n", v.Version, v.PID, seconds(v.UptimeSeconds))
	fmt.Fprintf(w, "configuration\t%s, generation %d\n", v.ConfigFile, v.Generation)
	fmt.Fprintf(w, "\tsha256 %s\n", v.ConfigHash)
	fmt.Fprintf(w, "reloads\t%d applied, %d refused\n", v.Reloads.Applied, v.Reloads.Refused)
	if r := &v.LastReload; !r.Time.IsZero() {
		result := "refused"
		if r.OK {
			result = "applied"
		}
		fmt.Fprintf(w, "last reload\t%s at %s, took %d ms\n", result, r.Time.Format(time.RFC3339), r.TookMillis)
		for _, e := range r.Errors {
			fmt.Fprintf(w, "\t%s\n", e)
		}
		for _, e := range r.Warnings {
			fmt.Fprintf(w, "\twarning: %s\n", e)
		}
	}
	fmt.Fprintf(w, "sessions\t%s\n", usage(v.Sessions))
	fmt.Fprintf(w, "neighbors\t%s\n", usage(v.Neighbors))
	fmt.Fprintf(w, "fragmented datagrams\t%s\n", usage(v.Fragments))
	fmt.Fprintf(w, "routes\t%d\n", v.Routes)
	p := v.Packets
	fmt.Fprintf(w, "packets\t%d in = %d out + %d local + %d held + %d dropped%s\n",
		p.In, p.Out, p.Local, p.Held, p.Dropped, unless(p.Conserved(), " (packets under way are in no count)"))
	fmt.Fprint(w, "\nWORKER\tCPU\tIN\tOUT\tLOCAL\tHELD\tDROPPED\tHANDED OVER\tSESSIONS\tPANICS\n")
	for _, k := range v.Workers {
		cpu := "any"
		if k.CPU >= 0 {
			cpu = fmt.Sprint(k.CPU)
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", k.Worker, cpu, k.Packets.In, k.Packets.Out,
			k.Packets.Local, k.Packets.Held, k.Packets.Dropped, k.HandedOver, k.Sessions, k.Panics)
	}
}

func usage(u admin.Usage) string {
	if u.Limit == 0 {
		return fmt.Sprint(u.Used)
	}
	return fmt.Sprintf("%d of %d", u.Used, u.Limit)
}

// seconds prints a span as 1h2m3s.
func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }

func unless(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}
