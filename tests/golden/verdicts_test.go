package golden

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"openvra/appliance"
	"openvra/tools/pcapdiff"
)

// A moment is what a replay has come to after some packets.
type moment struct {
	result *appliance.ReplayResult
	out    map[string][]pcapdiff.Packet
}

// verdicts returns a line for each packet of the tape, and below it what became of it:
// what left by which port, local, held, dropped for a reason. The gateway tells only
// counts and what left, so that is what one more packet adds to a replay. What time
// alone has done stands before the packet that came next.
func verdicts(t *testing.T, name string, p *tape) string {
	t.Helper()
	var b strings.Builder
	in, out := t.TempDir(), t.TempDir()
	before := moment{result: &appliance.ReplayResult{}}
	for i, f := range p.frames {
		p.save(in, i+1)
		now := moment{replay(t, name, p, in, out), map[string][]pcapdiff.Packet{}}
		for _, port := range portsOf(t, out) {
			now.out[port] = packets(t, filepath.Join(out, port+".pcapng"))
		}
		timed, caused := now.since(t, &before, f)
		for _, line := range timed {
			fmt.Fprintf(&b, "  - %s\n", line)
		}
		if caused == nil {
			t.Errorf("packet %d: nothing became of it", i+1)
		}
		came := tell(pcapdiff.Packet{Link: p.linkOf(f.port), Data: f.data, Length: len(f.data)})
		fmt.Fprintf(&b, "%3d %s %s: %s\n", i+1, clock(f.at), f.port, came)
		for _, line := range caused {
			fmt.Fprintf(&b, "%17s %s\n", "->", line)
		}
		before = now
	}
	return b.String()
}

func (p *tape) linkOf(port string) layers.LinkType {
	return cmp.Or(p.link[port], layers.LinkTypeEthernet)
}

// clock tells a moment of the tape.
func clock(at time.Time) string { return fmt.Sprintf("%8.3f", at.Sub(begin).Seconds()) }

// since tells what has happened after before, when f came: what timers did, and the
// rest.
func (m *moment) since(t *testing.T, before *moment, f taped) (timed, caused []string) {
	for _, port := range slices.Sorted(maps.Keys(m.out)) {
		sent := m.out[port]
		for _, s := range sent[min(len(before.out[port]), len(sent)):] {
			words := port + ": " + tell(s)
			if s.Time.Truncate(time.Microsecond).Equal(f.at) {
				caused = append(caused, words)
			} else {
				timed = append(timed, clock(s.Time)+" "+words)
			}
		}
		if len(sent) < len(before.out[port]) {
			t.Errorf("port %s: a packet more made less leave", port)
		}
	}
	slices.Sort(timed)
	dropped := drops(m.result.Drops, before.result.Drops)
	for _, port := range m.result.Ports {
		i := slices.IndexFunc(before.result.Ports, func(o appliance.ReplayPort) bool { return o.Port == port.Port })
		var old map[string]uint64
		if i >= 0 {
			old = before.result.Ports[i].Drops
		}
		mine := drops(port.Drops, old)
		for _, reason := range slices.Sorted(maps.Keys(mine)) {
			caused = append(caused, "dropped "+reason+times(mine[reason]))
			dropped[reason] -= mine[reason]
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(dropped)) {
		if n := dropped[reason]; n > 0 {
			timed = append(timed, "dropped "+reason+times(n))
		}
	}
	if n := m.result.Local - before.result.Local; n > 0 {
		caused = append(caused, "local"+times(n))
	}
	if heldSoFar(m.result) > heldSoFar(before.result) {
		caused = append(caused, "held")
	}
	return timed, caused
}

func heldSoFar(r *appliance.ReplayResult) (n uint64) {
	for _, p := range r.Ports {
		n += p.Held
	}
	return n
}

// drops returns what now has more than before, by reason.
func drops(now, before map[string]uint64) map[string]uint64 {
	more := map[string]uint64{}
	for reason, n := range now {
		if n > before[reason] {
			more[reason] = n - before[reason]
		}
	}
	return more
}

func times(n uint64) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", n)
}

// compareLines reports each line that is not what is wanted.
func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "no line", "no line"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("verdicts.txt line %d:\n got %s\nwant %s", i+1, a, b)
		}
	}
}
