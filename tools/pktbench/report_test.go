package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestReportComparesWithTheKernel takes two rounds of four contenders of which the
// gateway does half of what the kernel does.
func TestReportComparesWithTheKernel(t *testing.T) {
	o := options{rounds: 3, flows: 10, quick: true} // offers 0.5 Mpps and no limit
	turn := func(peak, overload, gbps, p50 float64) sample {
		return sample{rates: []float64{peak, overload}, gbps: gbps, latency: latencies{TCP50: p50}}
	}
	kernel := []sample{turn(800e3, 600e3, 20, 30), turn(9e6, 600e3, 20, 30), turn(700e3, 600e3, 20, 30)}
	vra := []sample{turn(400e3, 150e3, 10, 50), turn(400e3, 150e3, 10, 50), turn(1, 1, 1, 1)}
	r := newReport(o, contenders("vra"), [][]sample{kernel, vra, kernel, vra}, []sample{turn(0, 0, 40, 20)})
	for i, want := range []row{
		{PeakMpps: 0.8, AtMpps: 0.5, OverloadMpps: 0.6},
		{PeakMpps: 0.4, AtMpps: 0.5, OverloadMpps: 0.15, PeakRatio: 0.5, OverloadRatio: 0.25, GbpsRatio: 0.5},
	} {
		got := r.Rows[i]
		if got.PeakMpps != want.PeakMpps || got.AtMpps != want.AtMpps || got.OverloadMpps != want.OverloadMpps ||
			got.PeakRatio != want.PeakRatio || got.OverloadRatio != want.OverloadRatio || got.GbpsRatio != want.GbpsRatio {
			t.Errorf("row %d is %+v; want %+v", i, got, want)
		}
	}
	var b bytes.Buffer
	if err := r.table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"vra                    0.400      0.50     0.50   0.150          0.25", "+30"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestMedian(t *testing.T) {
	for _, row := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}} {
		if got := median(row.in); got != row.want {
			t.Errorf("median of %v is %v; want %v", row.in, got, row.want)
		}
	}
}
