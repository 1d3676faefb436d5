package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"openvra/tools/lab"
	"openvra/tools/pktgen"
)

// offers are the rates that are offered, in frames per second; 0 is no limit.
func (o *options) offers() []int {
	if o.quick {
		return []int{500_000, 0}
	}
	return []int{200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 850_000, 1_000_000, 1_300_000, 0}
}

// A sample is one turn of a contender.
type sample struct {
	rates   []float64 // frames per second at the sink, by offer
	latency latencies
	gbps    float64
}

// measure gives each contender its turns and sums them up.
func measure(ctx context.Context, b *bed, o options) (*report, error) {
	program, err := o.program(ctx, b.Dir)
	if err != nil {
		return nil, err
	}
	g, err := b.generator(o.flows)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	if err := serve(b); err != nil {
		return nil, err
	}
	all := contenders(program)
	samples := make([][]sample, len(all))
	var direct []sample
	for round := range o.rounds {
		s, err := endToEnd(ctx, b, directAddr)
		if err != nil {
			return nil, fmt.Errorf("without a gateway: %w", err)
		}
		direct = append(direct, s)
		for i, c := range all {
			s, err := turn(ctx, b, g, c, o)
			if err != nil {
				return nil, fmt.Errorf("round %d, %s %s: %w", round+1, c.Name, c.Job, err)
			}
			samples[i] = append(samples[i], s)
			fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s\n", round+1, o.rounds, c.Name, c.Job)
		}
	}
	return newReport(o, all, samples, direct), nil
}

// turn starts a contender, measures it and ends it.
func turn(ctx context.Context, b *bed, g *pktgen.Generator, c contender, o options) (s sample, err error) {
	end, err := c.begin(ctx, b)
	if end != nil {
		defer func() { err = errors.Join(err, end()) }()
	}
	if err != nil {
		return s, err
	}
	if err := reach(ctx, b); err != nil {
		return s, err
	}
	if s, err = endToEnd(ctx, b, sinkAddr); err != nil {
		return s, err
	}
	if _, err := rate(ctx, b, g, 100_000, o.each); err != nil { // every flow has its session
		return s, err
	}
	for _, offer := range o.offers() {
		r, err := rate(ctx, b, g, offer, o.each)
		if err != nil {
			return s, err
		}
		s.rates = append(s.rates, r)
	}
	return s, nil
}

// reach waits until the sink answers through the gateway, which also resolves every
// neighbor.
func reach(ctx context.Context, b *bed) error {
	var err error
	for range 30 {
		var pong lab.Pong
		pong, err = b.gen.Ping(ctx, lab.Ping{To: sinkAddr, Size: 56}, 200*time.Millisecond)
		if err == nil && pong.Reply() {
			return nil
		}
	}
	return fmt.Errorf("the sink does not answer through the gateway: %w", err)
}

// rate offers frames and returns how many a second arrived at the sink.
func rate(ctx context.Context, b *bed, g *pktgen.Generator, offer int, during time.Duration) (float64, error) {
	before, err := b.sink.Stats("eth0")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := b.gen.Do(func() error { _, err := g.Run(ctx, offer, during); return err }); err != nil {
		return 0, err
	}
	took := time.Since(start)
	after, err := b.sink.Stats("eth0")
	if err != nil {
		return 0, err
	}
	time.Sleep(50 * time.Millisecond) // what is queued is not the next one's
	return float64(after.RxPackets-before.RxPackets) / took.Seconds(), nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
