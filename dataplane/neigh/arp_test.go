package neigh

import (
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"openvra/dataplane/drop"
	"openvra/dataplane/header"
)

// lan is 192.0.2.0/24 and 198.51.100.0/22 on every port; the gateway is ourIP.
type lan struct{}

func (lan) Own(_ uint16, ip uint32) bool { return ip == ourIP }
func (lan) OnLink(_ uint16, ip uint32) bool {
	return ip>>8 == ourIP>>8 && ip&0xff != 0xff || ip>>10 == 0xc6336400>>10
}

// arp describes an ARP packet.
type arp struct {
	op         uint16
	from       MAC
	ip, target uint32
	port       uint16
}

func (a arp) bytes() header.ARP {
	h := header.ARP(make([]byte, header.ARPLen, 64))
	h.SetFixed()
	h.SetOpcode(a.op)
	a.from.Put(h.SenderMAC())
	h.SetSenderIP(a.ip)
	h.SetTargetIP(a.target)
	return h
}

func (a arp) handle(tab *Table, now int64) Verdict {
	p := a.port
	if p == 0 {
		p = port
	}
	return tab.HandleARP(p, a.bytes(), us, lan{}, now)
}

// answer is the peer's reply to us.
func answer(tab *Table, m MAC, now int64) Verdict {
	return arp{op: 2, from: m, ip: peerIP, target: ourIP}.handle(tab, now)
}

func TestARPVerdicts(t *testing.T) {
	const stranger = 0x0a000001
	rows := []struct {
		name string
		in   arp
		want Verdict
		adds bool
	}{
		{"a request for us", arp{op: 1, from: peer, ip: peerIP, target: ourIP}, Verdict{Reply: true}, true},
		{"a request for another", arp{op: 1, from: peer, ip: peerIP, target: peerIP + 1}, Verdict{Drop: drop.ARPNotForUs}, false},
		{"a probe for our address", arp{op: 1, from: peer, target: ourIP}, Verdict{Reply: true}, false},
		{"a probe for another address", arp{op: 1, from: peer, target: peerIP}, Verdict{Drop: drop.ARPNotForUs}, false},
		{"an announcement of one we do not talk to", arp{op: 1, from: peer, ip: peerIP, target: peerIP}, Verdict{Drop: drop.ARPNotForUs}, false},
		{"a reply that nobody asked for", arp{op: 2, from: peer, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPNotForUs}, false},
		{"a request from outside the subnets", arp{op: 1, from: peer, ip: stranger, target: ourIP}, Verdict{Reply: true}, false},
		{"a request from the subnet's broadcast address", arp{op: 1, from: peer, ip: 0xc00002ff, target: ourIP}, Verdict{Reply: true}, false},
		{"our own request, seen back", arp{op: 1, from: us, ip: ourIP, target: peerIP}, Verdict{Drop: drop.ARPNotForUs}, false},
		{"a claim to our address", arp{op: 1, from: impostor, ip: ourIP, target: ourIP}, Verdict{Defend: true, Conflict: OwnAddress, Drop: drop.ARPConflict}, false},
		{"a reply with our address", arp{op: 2, from: impostor, ip: ourIP, target: peerIP}, Verdict{Defend: true, Conflict: OwnAddress, Drop: drop.ARPConflict}, false},
		{"from a group's MAC", arp{op: 1, from: 0x01005e000001, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"from everybody's MAC", arp{op: 1, from: Broadcast, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"from no MAC", arp{op: 1, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"from a multicast address", arp{op: 1, from: peer, ip: 0xe0000001, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"from loopback", arp{op: 1, from: peer, ip: 0x7f000001, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"for broadcast", arp{op: 1, from: peer, ip: peerIP, target: 0xffffffff}, Verdict{Drop: drop.ARPMalformed}, false},
		{"opcode 0", arp{op: 0, from: peer, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
		{"a reverse request", arp{op: 3, from: peer, ip: peerIP, target: ourIP}, Verdict{Drop: drop.ARPMalformed}, false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			tab := table(t, Config{Capacity: 4})
			if got := r.in.handle(tab, 0); got != r.want {
				t.Errorf("got %+v; want %+v", got, r.want)
			}
			if got := len(tab.Entries(0)) == 1; got != r.adds {
				t.Errorf("got a neighbor added %v; want %v", got, r.adds)
			}
		})
	}
}

func TestMalformedARP(t *testing.T) {
	good := arp{op: 1, from: peer, ip: peerIP, target: ourIP}.bytes()
	rows := map[string]func(h header.ARP) header.ARP{
		"short":           func(h header.ARP) header.ARP { return h[:header.ARPLen-1] },
		"empty":           func(h header.ARP) header.ARP { return nil },
		"hardware type":   func(h header.ARP) header.ARP { h[1] = 6; return h },
		"protocol type":   func(h header.ARP) header.ARP { h[2] = 0x86; return h },
		"hardware length": func(h header.ARP) header.ARP { h[4] = 8; return h },
		"protocol length": func(h header.ARP) header.ARP { h[5] = 16; return h },
	}
	tab := table(t, Config{Capacity: 4})
	for name, change := range rows {
		b := change(append(header.ARP(nil), good...))
		if got := tab.HandleARP(port, b, us, lan{}, 0); got != (Verdict{Drop: drop.ARPMalformed}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := tab.HandleARP(port, append(good, make([]byte, 18)...), us, lan{}, 0); !got.Reply {
		t.Errorf("with link padding: got %+v", got)
	}
}

func TestConflictIsDefendedOnceInTenSeconds(t *testing.T) {
	tab := table(t, Config{Capacity: 4})
	claim := arp{op: 1, from: impostor, ip: ourIP, target: ourIP}
	for _, r := range []struct {
		now  int64
		want bool
	}{{0, true}, {5 * sec, false}, {9 * sec, false}, {10 * sec, true}, {11 * sec, false}} {
		if v := claim.handle(tab, r.now); v.Defend != r.want || v.Conflict != OwnAddress {
			t.Errorf("at %d s: got %+v; want defend %v", r.now/sec, v, r.want)
		}
	}
}

func TestWhatChangesAnEntry(t *testing.T) {
	reply := arp{op: 2, from: impostor, ip: peerIP, target: ourIP}
	announcement := arp{op: 1, from: impostor, ip: peerIP, target: peerIP}
	same := arp{op: 1, from: peer, ip: peerIP, target: peerIP}
	rows := []struct {
		name  string
		at    int64
		in    arp
		state State
		mac   MAC
	}{
		{"a second answer at once is the impostor's", sec / 2, reply, Reachable, peer},
		{"so is an announcement at once", sec / 2, announcement, Reachable, peer},
		{"a failover announces itself", 5 * sec, announcement, Stale, impostor},
		{"a reply that we did not ask for confirms nothing", 5 * sec, reply, Stale, impostor},
		{"what we know already changes nothing", 5 * sec, same, Reachable, peer},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			tab := table(t, Config{Capacity: 4})
			ref, _, _ := tab.Resolve(port, peerIP, 0)
			answer(tab, peer, 0)
			r.in.handle(tab, r.at)
			expect(t, tab, ref, r.state, r.mac)
		})
	}
}

func TestAnnouncementResolves(t *testing.T) {
	tab := table(t, Config{Capacity: 4})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	v := arp{op: 1, from: peer, ip: peerIP, target: peerIP}.handle(tab, 0)
	if v.Resolved != ref || v.Drop != drop.None {
		t.Errorf("got %+v", v)
	}
	expect(t, tab, ref, Stale, peer)
}

func TestAsStrangersAskUsWeKeepThoseWeAskFor(t *testing.T) {
	tab := table(t, Config{Capacity: 8})
	ref, _, _ := tab.Resolve(port, peerIP, 0)
	for i := range uint32(1000) {
		if v := (arp{op: 1, from: impostor, ip: 0xc6336400 + i, target: ourIP}).handle(tab, 0); !v.Reply {
			t.Fatal("no reply")
		}
	}
	expect(t, tab, ref, Incomplete, 0)
}

func TestFrames(t *testing.T) {
	b := make([]byte, 64)
	req := arp{op: 1, from: peer, ip: peerIP, target: ourIP}.bytes()
	const usS, peerS, none, all = "02:00:5e:10:00:01", "02:00:5e:10:00:02", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
	rows := []struct {
		name  string
		frame []byte
		want  string
	}{
		{"request", BuildRequest(b, us, ourIP, peerIP, Broadcast), usS + " > " + all + " 1 " + usS + " 192.0.2.1 " + none + " 192.0.2.10"},
		{"unicast request", BuildRequest(make([]byte, 64), us, ourIP, peerIP, peer), usS + " > " + peerS + " 1 " + usS + " 192.0.2.1 " + none + " 192.0.2.10"},
		{"reply", BuildReply(make([]byte, 64), req, us), usS + " > " + peerS + " 2 " + usS + " 192.0.2.1 " + peerS + " 192.0.2.10"},
		{"announcement", BuildAnnouncement(make([]byte, 64), us, ourIP), usS + " > " + all + " 1 " + usS + " 192.0.2.1 " + none + " 192.0.2.1"},
		{"probe", BuildProbe(make([]byte, 64), us, ourIP), usS + " > " + all + " 1 " + usS + " 0.0.0.0 " + none + " 192.0.2.1"},
	}
	ip := func(b []byte) string { return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]) }
	for _, r := range rows {
		dec := gopacket.NewPacket(r.frame, layers.LayerTypeEthernet, gopacket.Default)
		eth, ok1 := dec.LinkLayer().(*layers.Ethernet)
		a, ok2 := dec.Layer(layers.LayerTypeARP).(*layers.ARP)
		if !ok1 || !ok2 {
			t.Errorf("%s: an independent decoder reads no ARP: %v", r.name, dec)
			continue
		}
		got := fmt.Sprintf("%v > %v %d %v %s %v %s", eth.SrcMAC, eth.DstMAC, a.Operation, MACOf(a.SourceHwAddress),
			ip(a.SourceProtAddress), MACOf(a.DstHwAddress), ip(a.DstProtAddress))
		if got != r.want || len(r.frame) != FrameLen {
			t.Errorf("%s:\n got %s\nwant %s", r.name, got, r.want)
		}
	}
}

func FuzzHandleARP(f *testing.F) {
	f.Add([]byte(arp{op: 1, from: peer, ip: peerIP, target: ourIP}.bytes()), int64(0))
	f.Add([]byte(arp{op: 2, from: peer, ip: peerIP, target: ourIP}.bytes()), 40*sec)
	f.Fuzz(func(t *testing.T, b []byte, now int64) {
		tab, err := New(Config{Capacity: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := tab.SetStatic([]StaticEntry{{port, peerIP + 1, peer}}, 0); err != nil {
			t.Fatal(err)
		}
		tab.Resolve(port, peerIP, 0)
		v := tab.HandleARP(port, b, us, lan{}, now)
		tab.Tick(now, nil)
		check(t, tab)
		if v.Reply && v.Drop != drop.None || v.Defend && v.Conflict != OwnAddress {
			t.Fatalf("got %+v", v)
		}
		for _, e := range tab.Entries(0) {
			if e.MAC != 0 && !e.MAC.IsHost() || e.MAC == us || e.IP == ourIP || !(lan{}).OnLink(port, e.IP) || e.State == Static && e.MAC != peer {
				t.Fatalf("learned %+v", e)
			}
		}
	})
}

func TestWhoAsksIsAnsweredByAFullTable(t *testing.T) {
	tab := table(t, Config{Capacity: 2})
	tab.Resolve(port, peerIP, 0)
	tab.Resolve(port, peerIP+1, 0)
	v := arp{op: 1, from: peer, ip: peerIP + 2, target: ourIP}.handle(tab, 0)
	if v != (Verdict{Reply: true}) || tab.Len(Incomplete) != 2 {
		t.Errorf("got %+v, %d incomplete; want a reply and nothing shed", v, tab.Len(Incomplete))
	}
}
