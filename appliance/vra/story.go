package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"openvra/tools/pcapdiff"
)

// An event is a packet that comes in or goes out by a port.
type event struct {
	port string
	out  bool
	pcapdiff.Packet
}

// readEvents reads captures that are named for their ports.
func readEvents(paths []string, out bool) (all []event, err error) {
	for _, path := range paths {
		packets, err := pcapdiff.Read(path)
		if err != nil {
			return nil, err
		}
		port, _, _ := strings.Cut(filepath.Base(path), ".pcap")
		for _, p := range packets {
			all = append(all, event{port, out, p})
		}
	}
	return all, nil
}

// tell writes the events in the order of time. A packet goes out at the time at
// which it came in, so each is followed by what became of it.
func tell(w io.Writer, events []event) {
	slices.SortStableFunc(events, func(a, b event) int {
		if c := a.Time.Compare(b.Time); c != 0 || a.out == b.out {
			return c
		}
		if a.out {
			return 1
		}
		return -1
	})
	var start time.Time
	if len(events) > 0 {
		start = events[0].Time
	}
	fmt.Fprint(w, "AFTER\tPORT\t\tPACKET\n")
	for _, e := range events {
		way := "in"
		if e.out {
			way = "  out"
		}
		fmt.Fprintf(w, "%d ms\t%s\t%s\t%s\n", e.Time.Sub(start).Milliseconds(), e.port, way, pcapdiff.Describe(e.Packet))
	}
}
