package config

import (
	"reflect"
	"testing"
)

func TestReloadSaysWhatItCannotChange(t *testing.T) {
	old := mustParse(t, "ports: [{name: wan, mtu: 1500}]\n")
	edited := mustParse(t, `ports: [{name: wan, mtu: 1400, promiscuous: true, mac: "02:00:5e:10:00:01"}]
workers: 2
limits: {sessions: 2048, neighbourQueue: 5}
timeouts: {udp: 200s}
log: {level: debug, format: json}
`)
	want := []string{"workers", "limits.sessions", "log.format"}
	if got := edited.NeedsRestart(old); !reflect.DeepEqual(got, want) {
		t.Errorf("NeedsRestart: got %q; want %q", got, want)
	}
	want = []string{"mac", "promiscuous"}
	if got := edited.Ports[0].NeedsReopen(&old.Ports[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("NeedsReopen: got %q; want %q", got, want)
	}
	if got := old.NeedsRestart(old); got != nil {
		t.Errorf("NeedsRestart of the same: got %q; want none", got)
	}
}

func TestNamesInRulesStandForZonesFirst(t *testing.T) {
	c := mustParse(t, `ports:
  - {name: wan, addresses: 192.0.2.1/24, zone: outside}
  - {name: lan, zone: lan, vlans: [{name: v5, id: 5, zone: lan}, {name: v6, id: 6}]}
tunnels:
  - {name: pods, local: 192.0.2.1, pools: 172.30.0.0/16, zone: lan}
zones: [{name: lan, table: blue}]
routes: [{to: 0.0.0.0/0, via: 192.0.2.2, table: blue}]
`)
	for name, want := range map[string][]string{
		"outside": {"wan"}, "wan": {"wan"}, "lan": {"lan", "v5", "pods"}, "v5": {"v5"}, "v6": {"v6"}, "pods": {"pods"}, "dmz": nil,
	} {
		if got := c.Members(name); !reflect.DeepEqual(got, want) {
			t.Errorf("Members(%q): got %q; want %q", name, got, want)
		}
	}
	for zone, want := range map[string]string{"lan": "blue", "outside": "main"} {
		if got := c.Table(zone); got != want {
			t.Errorf("Table(%q): got %q; want %q", zone, got, want)
		}
	}
}
