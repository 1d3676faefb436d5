package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A report is the medians of all rounds.
type report struct {
	Flows, Rounds int
	// Direct is what the same stacks do on one veth, without a gateway.
	Direct row
	Rows   []row
}

// A row is one contender. Ratios are to the kernel doing the same job; they are 0 in
// the kernel's own rows.
type row struct {
	Name, Job string
	// PeakMpps is the best median over the offered rates, AtMpps the rate it was
	// offered at; 0 is no limit. OverloadMpps is at no limit.
	PeakMpps, AtMpps, OverloadMpps float64
	PeakRatio, OverloadRatio       float64
	// Gbps is the payload of one TCP connection.
	Gbps, GbpsRatio float64
	// Latency is in microseconds per round trip.
	Latency latencies
}

// newReport takes the medians of samples[i], the turns of contender i.
func newReport(o options, all []contender, samples [][]sample, direct []sample) *report {
	r := &report{Flows: o.flows, Rounds: o.rounds, Direct: endToEndRow(direct)}
	for i, c := range all {
		w := endToEndRow(samples[i])
		w.Name, w.Job = c.Name, c.Job
		for j, offer := range o.offers() {
			m := median(column(samples[i], func(s sample) float64 { return s.rates[j] })) / 1e6
			if m > w.PeakMpps {
				w.PeakMpps, w.AtMpps = m, float64(offer)/1e6
			}
			if offer == 0 {
				w.OverloadMpps = m
			}
		}
		if i%2 == 1 {
			kernel := r.Rows[i-1]
			w.PeakRatio = w.PeakMpps / kernel.PeakMpps
			w.OverloadRatio = w.OverloadMpps / kernel.OverloadMpps
			w.GbpsRatio = w.Gbps / kernel.Gbps
		}
		r.Rows = append(r.Rows, w)
	}
	return r
}

func endToEndRow(turns []sample) row {
	of := func(f func(sample) float64) float64 { return median(column(turns, f)) }
	return row{
		Gbps: of(func(s sample) float64 { return s.gbps }),
		Latency: latencies{
			TCP50: of(func(s sample) float64 { return s.latency.TCP50 }),
			TCP99: of(func(s sample) float64 { return s.latency.TCP99 }),
			UDP50: of(func(s sample) float64 { return s.latency.UDP50 }),
			UDP99: of(func(s sample) float64 { return s.latency.UDP99 }),
		},
	}
}

func column(turns []sample, f func(sample) float64) []float64 {
	var v []float64
	for _, s := range turns {
		v = append(v, f(s))
	}
	return v
}

func (r *report) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "60-byte UDP frames, %d flows, one core; median of %d rounds\n", r.Flows, r.Rounds)
	fmt.Fprint(t, "JOB\tGATEWAY\tPEAK Mpps\tOFFERED\tRATIO\tOVERLOAD Mpps\tRATIO\n")
	for _, x := range r.Rows {
		offered := "no limit"
		if x.AtMpps > 0 {
			offered = fmt.Sprintf("%.2f", x.AtMpps)
		}
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%s\t%s\t%.3f\t%s\n", x.Job, x.Name, x.PeakMpps, offered, ratio(x.PeakRatio), x.OverloadMpps, ratio(x.OverloadRatio))
	}
	fmt.Fprint(t, "\none TCP connection, and round trips of 64 bytes: what the gateway adds, in µs\n")
	fmt.Fprint(t, "JOB\tGATEWAY\tGbit/s\tRATIO\tTCP p50\tp99\tUDP p50\tp99\n")
	d := r.Direct
	fmt.Fprintf(t, "none\tno gateway\t%.1f\t\t%.0f\t%.0f\t%.0f\t%.0f\n", d.Gbps, d.Latency.TCP50, d.Latency.TCP99, d.Latency.UDP50, d.Latency.UDP99)
	for _, x := range r.Rows {
		l := x.Latency
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%s\t%+.0f\t%+.0f\t%+.0f\t%+.0f\n", x.Job, x.Name, x.Gbps, ratio(x.GbpsRatio),
			l.TCP50-d.Latency.TCP50, l.TCP99-d.Latency.TCP99, l.UDP50-d.Latency.UDP50, l.UDP99-d.Latency.UDP99)
	}
	return t.Flush()
}

func ratio(r float64) string {
	if r == 0 {
		return "1"
	}
	return fmt.Sprintf("%.2f", r)
}
