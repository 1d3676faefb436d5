package dataplane

import (
	"log/slog"
	"testing"
	"time"

	"openvra/dataplane/drop"
	"openvra/dataplane/flow"
	"openvra/dataplane/header"
	"openvra/dataplane/link"
	"openvra/dataplane/neigh"
	"openvra/dataplane/session"
)

// pair are two workers of one gateway that translates the source port of each flow to
// 20000 more: half of all answers come to the other worker.
func pair(sessions int) (ws [2]*Worker, qs [2]*fakeQueue) {
	d := &fakeDecider{own: ownAddress, decide: func(q *Query, d *Decision) {
		k := q.Key
		if k.SrcPort() < 20000 {
			d.Reply = flow.Make(k.Dst(), k.Src(), k.DstPort(), k.SrcPort()+20000, k.Proto(), 0)
		} else {
			d.Drop = drop.NATFiltered // an answer to nothing
		}
	}}
	table, err := neigh.New(neigh.Config{Capacity: 16})
	if err != nil {
		panic(err)
	}
	ways := NewWays()
	ways.Add(Way{MTU: 1500, Kind: PortPoint})
	plan := &Plan{Decider: d, Generation: 1, Ports: []Port{{Kind: PortPoint, MTU: 1500, Up: true}}, HostPort: NoPort, Ways: ways, Neighbors: table,
		Timeouts: session.Timeouts{UDPNew: time.Minute, UDP: time.Minute}.Ticks()}
	rings := NewRings(2)
	for i := range ws {
		ws[i] = NewWorker(WorkerOptions{ID: i, Of: 2, Sessions: sessions, Secret: [3]uint64{1, 2, 3}, Log: slog.New(slog.DiscardHandler), Handed: 2, Rings: rings, Line: []Step{
			{Name: "parse", Run: (*Worker).Parse}, {Name: "decap", Run: (*Worker).Decap}, {Name: "lookup", Run: (*Worker).Lookup},
			{Name: "forward", Run: (*Worker).Forward}, {Name: "exceptions", Run: (*Worker).Exceptions},
		}})
		ws[i].SetPlan(plan)
		qs[i] = &fakeQueue{room: 1 << 30}
		ws[i].SetQueues([]link.Queue{qs[i]}, []bool{false})
	}
	return ws, qs
}

// steeredTo says at which of two workers a packet's flow is.
func steeredTo(b []byte) int {
	ip, u := header.IPv4(b), header.UDP(b[20:])
	return int(flow.Steer(ip.Src(), ip.Dst(), u.SrcPort(), u.DstPort())) % 2
}

// TestPlantsOutliveAFullRing: worker 0 makes more sessions than the ring to worker 1 holds
// plants of, while that does not run. Then every answer is found, and when the sessions
// have ended nothing of them is left at either worker.
func TestPlantsOutliveAFullRing(t *testing.T) {
	ws, qs := pair(1 << 14)
	made := 0
	var answers [][]byte
	for i := range uint16(19000) {
		b := udp4(0xc6336402, 1+i)
		if steeredTo(b) != 0 {
			continue
		}
		made++
		qs[0].rx = append(qs[0].rx, b)
		back := udp4(0xc6336401, 53)
		header.IPv4(back).SetSrc(0xc6336402)
		finishIP(header.IPv4(back))
		header.UDP(back[20:]).SetDstPort(1 + i + 20000)
		if steeredTo(back) == 1 {
			answers = append(answers, back)
		}
	}
	for len(qs[0].rx) > 0 {
		_, _ = ws[0].Poll(1e9)
	}
	if made < 4*ringSize || len(answers) <= 4*ringSize || len(ws[0].backlog[1]) == 0 {
		t.Fatalf("%d sessions, %d answers elsewhere, backlog %d: the ring was not full", made, len(answers), len(ws[0].backlog[1]))
	}
	for range 10 {
		_, _ = ws[1].Poll(1e9)
		_, _ = ws[0].Poll(1e9)
	}
	if got := len(ws[1].foreign); got != len(answers) {
		t.Fatalf("worker 1 knows %d of %d keys", got, len(answers))
	}
	qs[0].tx = nil
	for _, b := range answers {
		qs[1].rx = append(qs[1].rx, b)
		_, _ = ws[1].Poll(2e9)
		_, _ = ws[0].Poll(2e9)
	}
	if len(qs[0].tx) != len(answers) || len(qs[1].tx) != 0 || ws[1].Counters.Dropped() != 0 {
		t.Errorf("%d of %d answers left by worker 0, %d by worker 1, %d dropped", len(qs[0].tx), len(answers), len(qs[1].tx), ws[1].Counters.Dropped())
	}
	if got := ws[1].Counters.HandedOver.Load(); got != uint64(len(answers)) {
		t.Errorf("%d handed over; want %d", got, len(answers))
	}
	for now := int64(100e9); now < 300e9; now += 1e9 {
		_, _ = ws[0].Poll(now)
		_, _ = ws[1].Poll(now)
	}
	if n := ws[0].sessions.Used(); n != 0 || len(ws[1].foreign) != 0 || len(ws[0].foreign) != 0 {
		t.Errorf("left: %d sessions, %d and %d plants", n, len(ws[0].foreign), len(ws[1].foreign))
	}
	for i, w := range ws {
		if w.Counters.Balance() != 0 {
			t.Errorf("worker %d: balance %d", i, w.Counters.Balance())
		}
	}
}

// TestIdentificationsDiffer between workers, which encapsulate for the same peers.
func TestIdentificationsDiffer(t *testing.T) {
	ws, _ := pair(16)
	seen := map[uint16]bool{}
	for range 1 << 15 {
		for _, w := range ws {
			id := w.nextID()
			if seen[id] {
				t.Fatalf("identification %d twice in %d packets", id, len(seen))
			}
			seen[id] = true
		}
	}
}

// TestHandedOverKeepsOrder: packets of a flow leave as they came.
func TestHandedOverKeepsOrder(t *testing.T) {
	ws, qs := pair(1024)
	var flowPort uint16
	for p := uint16(1); flowPort == 0; p++ {
		if steeredTo(udp4(0xc6336402, p)) == 1 {
			flowPort = p
		}
	}
	for i := range 200 {
		b := udp4(0xc6336402, flowPort)
		b[28] = byte(i)
		qs[0].rx = append(qs[0].rx, b)
	}
	for range 8 {
		_, _ = ws[0].Poll(1e9)
		_, _ = ws[1].Poll(1e9)
	}
	if len(qs[1].tx) != 200 || len(qs[0].tx) != 0 {
		t.Fatalf("%d left by worker 1, %d by worker 0; want 200 and none", len(qs[1].tx), len(qs[0].tx))
	}
	for i, f := range qs[1].tx {
		if f[28] != byte(i) {
			t.Fatalf("packet %d left in place %d", f[28], i)
		}
	}
}
