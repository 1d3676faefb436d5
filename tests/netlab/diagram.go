package netlab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/gopacket/layers"

	"openvra/tools/pcapdiff"
)

// maxEvents are kept of what the links carried: the last ones.
const maxEvents = 200

// A diagram is what the links carried, as arrows between those on them.
type diagram struct {
	nodes  []string
	events []event
	before int // events that are not kept
}

type event struct {
	at       int64
	link     string
	from, to string
	frame    []byte
	lost     bool
}

func (d *diagram) add(at int64, link, from, to string, frame []byte, lost bool) {
	for _, n := range []string{from, to} {
		if !slices.Contains(d.nodes, n) {
			d.nodes = append(d.nodes, n)
		}
	}
	if len(d.events) == maxEvents {
		d.events = slices.Delete(d.events, 0, maxEvents/2)
		d.before += maxEvents / 2
	}
	d.events = append(d.events, event{at, link, from, to, frame, lost})
}

// columnWidth is that of a node's column.
const columnWidth = 10

// String draws the diagram: a column for each node, a line for each frame.
func (d *diagram) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10s  ", "")
	for _, n := range d.nodes {
		fmt.Fprintf(&b, "%-*.*s", columnWidth, columnWidth-1, n)
	}
	b.WriteString("\n")
	if d.before > 0 {
		fmt.Fprintf(&b, "(%d frames before)\n", d.before)
	}
	for i := range d.events {
		e := &d.events[i]
		words := pcapdiff.Describe(pcapdiff.Packet{Link: layers.LinkTypeEthernet, Data: e.frame, Length: len(e.frame)})
		fmt.Fprintf(&b, "%10v  %s %s: %s\n", time.Duration(e.at)-time.Hour, d.arrow(e), e.link, words)
	}
	return b.String()
}

// arrow draws a frame from one column to another; x is where a lost one ends.
func (d *diagram) arrow(e *event) string {
	line := []rune(strings.Repeat("|"+strings.Repeat(" ", columnWidth-1), len(d.nodes)))
	from, to := slices.Index(d.nodes, e.from)*columnWidth, slices.Index(d.nodes, e.to)*columnWidth
	for i := min(from, to); i <= max(from, to); i++ {
		line[i] = '-'
	}
	line[from] = '+'
	switch {
	case e.lost:
		line[to] = 'x'
	case from < to:
		line[to] = '>'
	default:
		line[to] = '<'
	}
	return string(line)
}
