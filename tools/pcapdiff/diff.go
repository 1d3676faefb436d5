package pcapdiff

import (
	"bytes"
)

const (
	// oneSided is what a packet that only one side has costs, counted in fields
	// that differ: with more than twice as many, two packets are not the same one.
	oneSided = 4
	// maxCells bounds the table in which packets are paired; beyond it they are
	// paired by position.
	maxCells = 1 << 18
)

// Packets compares two captures of the given name. Packets are paired so that the
// fewest fields differ, in order, so that one packet too many does not make all that
// follow differ.
func Packets(name string, got, want []Packet) []Difference {
	g, w := takeAllApart(got), takeAllApart(want)
	var all []Difference
	for _, p := range pair(g, w) {
		switch {
		case p.want < 0:
			all = append(all, Difference{name, p.got + 1, "", "a packet too many, " + g[p.got].String(), "none"})
		case p.got < 0:
			all = append(all, Difference{name, p.want + 1, "", "none", "the missing packet, " + w[p.want].String()})
		default:
			for _, d := range compare(&g[p.got], &w[p.want]) {
				d.File, d.Packet = name, p.got+1
				all = append(all, d)
			}
		}
	}
	return all
}

func takeAllApart(ps []Packet) []view {
	views := make([]view, len(ps))
	for i, p := range ps {
		views[i] = takeApart(p)
	}
	return views
}

// compare returns the fields in which got is not want. Where the layers differ, only
// fields that both have are compared.
func compare(got, want *view) []Difference {
	wanted := make(map[string]*field, len(want.fields))
	for i := range want.fields {
		wanted[want.fields[i].name] = &want.fields[i]
	}
	var all []Difference
	for i := range got.fields {
		g := &got.fields[i]
		w, ok := wanted[g.name]
		switch {
		case !ok || g.equal(w):
		case g.octets != nil && w.octets != nil:
			gw, ww := differ(g.octets, w.octets)
			all = append(all, Difference{Field: g.name, Got: gw, Want: ww})
		default:
			all = append(all, Difference{Field: g.name, Got: g.value, Want: w.value})
		}
	}
	if len(all) == 0 && !bytes.Equal(got.Data, want.Data) { // a bit that no field has
		g, w := differ(got.Data, want.Data)
		all = append(all, Difference{Field: "bytes", Got: g, Want: w})
	}
	return all
}

func (f *field) equal(g *field) bool { return f.value == g.value && bytes.Equal(f.octets, g.octets) }

// unlike counts the fields that differ, up to twice oneSided; packets of different
// layers are not the same one.
func unlike(got, want *view) int {
	if got.fields[0].value != want.fields[0].value { // the layers
		return 2*oneSided + 1
	}
	n := 0
	for i := range min(len(got.fields), len(want.fields)) {
		if !got.fields[i].equal(&want.fields[i]) {
			n++
		}
	}
	return min(n, 2*oneSided)
}

// A pairing is two packets that are compared, by index; -1 is no packet.
type pairing struct{ got, want int }

// pair aligns two captures.
func pair(got, want []view) []pairing {
	head := 0
	for head < len(got) && head < len(want) && unlike(&got[head], &want[head]) == 0 {
		head++
	}
	tail := 0
	for tail < min(len(got), len(want))-head && unlike(&got[len(got)-1-tail], &want[len(want)-1-tail]) == 0 {
		tail++
	}
	var all []pairing
	for i := range head {
		all = append(all, pairing{i, i})
	}
	for _, p := range align(got[head:len(got)-tail], want[head:len(want)-tail]) {
		if p.got >= 0 {
			p.got += head
		}
		if p.want >= 0 {
			p.want += head
		}
		all = append(all, p)
	}
	for i := tail; i > 0; i-- {
		all = append(all, pairing{len(got) - i, len(want) - i})
	}
	return all
}

// align finds the cheapest pairing of all packets, in order.
func align(got, want []view) []pairing {
	n, m := len(got), len(want)
	if (n+1)*(m+1) > maxCells {
		return byPosition(n, m)
	}
	// cost[i][j] is the least for got[i:] and want[j:].
	cost := make([][]int, n+1)
	for i := range cost {
		cost[i] = make([]int, m+1)
	}
	for i := n; i >= 0; i-- {
		for j := m; j >= 0; j-- {
			if i == n || j == m {
				cost[i][j] = oneSided * (n - i + m - j)
				continue
			}
			cost[i][j] = min(cost[i+1][j+1]+unlike(&got[i], &want[j]), cost[i+1][j]+oneSided, cost[i][j+1]+oneSided)
		}
	}
	var all []pairing
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && cost[i][j] == cost[i+1][j+1]+unlike(&got[i], &want[j]):
			all = append(all, pairing{i, j})
			i, j = i+1, j+1
		case i < n && (j == m || cost[i][j] == cost[i+1][j]+oneSided):
			all = append(all, pairing{i, -1})
			i++
		default:
			all = append(all, pairing{-1, j})
			j++
		}
	}
	return all
}

func byPosition(n, m int) []pairing {
	var all []pairing
	for i := range max(n, m) {
		p := pairing{i, i}
		if i >= n {
			p.got = -1
		}
		if i >= m {
			p.want = -1
		}
		all = append(all, p)
	}
	return all
}
