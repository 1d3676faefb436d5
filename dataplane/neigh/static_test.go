package neigh

import "testing"

func TestStatic(t *testing.T) {
	tab := table(t, Config{Capacity: 2})
	old, _, _ := tab.Resolve(port, peerIP, 0)
	tab.Resolve(port, peerIP+1, 0)
	static := []StaticEntry{{port, peerIP, peer}, {port, peerIP + 5, peer + 5}}
	if err := tab.SetStatic(static, 0); err != nil {
		t.Fatal(err)
	}
	expect(t, tab, old, Static, peer)
	v := answer(tab, impostor, sec)
	if v.Conflict != StaticNeighbor || v.Drop == 0 {
		t.Errorf("got %+v; want a conflict", v)
	}
	expect(t, tab, old, Static, peer)
	tab.Tick(10_000*sec, nil)
	tab.Flush(port)
	if tab.Len(Static) != 2 {
		t.Error("a static neighbor was forgotten")
	}
	if ref, _, _ := tab.Resolve(port, peerIP+9, 0); ref != 0 {
		t.Error("a static neighbor was shed")
	}
	if err := tab.SetStatic(static[:1], 0); err != nil || tab.Len(Static) != 1 {
		t.Error("a static neighbor that is configured no more is still there")
	}
	expect(t, tab, old, Static, peer)
}

func TestStaticTakesThePlaceOfOthers(t *testing.T) {
	tab := table(t, Config{Capacity: 2})
	for i := range uint32(2) {
		tab.Resolve(port, peerIP+i, 0)
		arp{op: 2, from: peer, ip: peerIP + i, target: ourIP}.handle(tab, 0)
	}
	if err := tab.SetStatic([]StaticEntry{{1, 1, peer}, {1, 2, peer}}, 0); err != nil || tab.Len(Static) != 2 {
		t.Errorf("got %v and %d static neighbors", err, tab.Len(Static))
	}
	for _, es := range [][]StaticEntry{{{1, 1, Broadcast}}, {{1, 1, 0}}, make([]StaticEntry, 3)} {
		if err := tab.SetStatic(es, 0); err == nil || tab.Len(Static) != 2 {
			t.Errorf("%v: got no error, or a change", es)
		}
	}
}
