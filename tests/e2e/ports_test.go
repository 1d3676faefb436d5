package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openvra/tools/lab"
)

// alive is a TCP connection through the gateway's NAT that is tried again and again.
func (s *site) alive() (works func(when string)) {
	s.t.Helper()
	conn, err := s.Pod2.DialTCP(s.t.Context(), lab.Pod2Addr, internet)
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return func(when string) {
		s.t.Helper()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if err := lab.Exchange(conn, lab.Transfer{Up: 100_000, Down: 100_000, Seed: 7}); err != nil {
			s.t.Fatalf("%s: the connection that was there before: %v", when, err)
		}
	}
}

// TestReloadReopensPorts changes what needs a port's device to be opened anew, under a
// connection that lives through it.
func TestReloadReopensPorts(t *testing.T) {
	s := start(t, lab.Options{Trunk: true}, lab.Config{})
	good := s.text(s.config)
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	outside := "name: outside\n"
	works := s.alive()
	works("at first")
	for _, row := range []struct{ name, text string }{
		{"another MAC", edit(outside, outside+"    mac: 02:00:5e:10:00:02\n")},
		{"its own MAC, promiscuous", edit(outside, outside+"    promiscuous: true\n")},
		{"another name", edit(outside, "name: wan\n    device: outside\n")},
		{"another port", edit("\nroutes:", "  - {name: more, device: trunk, addresses: 192.0.2.1/24}\n\nroutes:")},
		{"no such port any more", good},
	} {
		s.reloadGood(row.text)
		works(row.name)
	}
	s.reloadGood(edit("\nroutes:", "  - {name: more, device: trunk}\n\nroutes:"))
	if s.filters("trunk") == 0 {
		t.Error("the new port is not guarded")
	}
	s.reloadGood(good)
	if s.filters("trunk") != 0 {
		t.Error("the port that was taken out is still open")
	}
}

// TestRefusedPortsChangeNothing reloads files whose ports cannot be opened: what was
// there goes on.
func TestRefusedPortsChangeNothing(t *testing.T) {
	s := start(t, lab.Options{Trunk: true}, lab.Config{Host: []string{ssh}, Ports: []string{"{name: point, driver: tun, device: point0, addresses: 192.0.2.1/24}"}})
	must(t, s.Gateway.IP(t.Context(), "tuntap add taken mode tun"))
	good := s.text(s.config)
	works := s.alive()
	before := s.status()
	for _, row := range []struct{ name, old, new, want string }{
		{"no such device", "\nroutes:", "  - {name: more, device: trunk}\n  - {name: none, device: nosuch0}\n\nroutes:", "nosuch0"},
		{"a driver for tests", "\nroutes:", "  - {name: more, device: trunk}\n  - {name: m, driver: memory}\n\nroutes:", "memory"},
		{"a TUN whose name is taken", "enabled: true", "enabled: true\n  device: taken", "exists already"},
		// The device is ours, and gone while its new driver looks for it.
		{"a device of our own", "driver: tun, device: point0", "driver: af_packet, device: point0", "point0"},
	} {
		r := s.reload(strings.Replace(good, row.old, row.new, 1))
		if said := strings.Join(r.Errors, "\n"); r.OK || !contains(said, row.want) {
			t.Errorf("%s: applied %v, %q; want a refusal that says %q", row.name, r.OK, said, row.want)
		}
		works(row.name)
		if s.filters("trunk") != 0 {
			t.Errorf("%s: the port that could be opened still is", row.name)
		}
		if !s.portUp("point") || !s.portUp("host") {
			t.Errorf("%s: a port that was up is not any more", row.name)
		}
	}
	if after := s.status(); after.Generation != before.Generation || after.ConfigHash != before.ConfigHash {
		t.Errorf("generation and hash went from %d, %s to %d, %s", before.Generation, before.ConfigHash, after.Generation, after.ConfigHash)
	}
	s.reloadGood(good)
	works("after a good reload")
}

// runRefused starts another gateway in the gateway's namespace, which must end by itself,
// and returns what it said.
func (s *site) runRefused(text string) string {
	s.t.Helper()
	path := filepath.Join(s.Dir, "second.yaml")
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	out, err := s.Gateway.Exec(ctx, binary, "run", "-c", path)
	if err == nil || ctx.Err() != nil {
		s.t.Errorf("a second gateway was not refused: %v: %s", err, out)
	}
	return out
}

// TestSecondSocketIsRefused starts gateways on ports of their own that share something
// else with the first.
func TestSecondSocketIsRefused(t *testing.T) {
	s := start(t, lab.Options{Trunk: true}, lab.Config{Host: []string{ssh}})
	rules := s.hostRules()
	for _, row := range []struct{ name, text, want string }{
		{"the same socket", "ports: [{name: trunk}]\nadmin: {metrics: off, socket: " + s.Socket() + "}\n", "another process answers there"},
		{"the same metrics address", "ports: [{name: trunk}]\nadmin: {socket: " + s.Dir + "/second.sock}\n", "address already in use"},
		{"the host port's table", "ports: [{name: trunk}]\nhost: {enabled: true, device: vra1}\nadmin: {metrics: off, socket: " + s.Dir + "/second.sock}\n", "another gateway with a host port"},
	} {
		out := s.runRefused(row.text)
		if !contains(out, row.want) {
			t.Errorf("%s: %s; want %q", row.name, out, row.want)
		}
	}
	if got := s.hostRules(); strings.Join(got, " ") != strings.Join(rules, " ") {
		t.Errorf("the first gateway's rules went from %v to %v", rules, got)
	}
	if s.filters("trunk") != 0 {
		t.Error("a refused gateway has left its filter")
	}
	eventually(t, time.Second, "the first gateway still forwards", s.echo)
}

// TestLogFollowsTheConfiguration has NAT rules log what they are asked to, and the level
// change with a reload.
func TestLogFollowsTheConfiguration(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	good := s.text(s.config)
	logging := strings.NewReplacer(`translate: "172.30.1.10:80"}`, `translate: "172.30.1.10:80", log: true}`, "translate: masquerade}", "translate: masquerade, log: true}").Replace(good)
	use := func() {
		t.Helper()
		must(t, s.Client.TCP(t.Context(), lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod1Port), lab.Transfer{Up: 10, Down: 10}),
			s.Client.TCP(t.Context(), lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod2Port), lab.Transfer{Up: 10, Down: 10}),
			s.Pod2.TCP(t.Context(), lab.Pod2Addr, internet, lab.Transfer{Up: 10, Down: 10}))
	}
	use()
	if log := s.gateway.Log(); contains(log, "mapping began") || contains(log, "session began") {
		t.Errorf("rules without log were logged: %s", log)
	}
	s.reloadGood(logging)
	use()
	for _, want := range []string{
		`msg="session began" rule=web1 proto=tcp from=198.51.100.10:`, "to=172.30.1.10:80",
		`msg="mapping began" rule=pods-out proto=tcp inside=172.30.2.10:`, "outside=203.0.113.2:",
	} {
		eventually(t, time.Second, "the log says "+want, func() bool { return contains(s.gateway.Log(), want) })
	}
	if contains(s.gateway.Log(), "rule=web2") {
		t.Error("a rule without log was logged")
	}
	s.reloadGood(strings.Replace(good, "level: info", "level: error", 1))
	lines := strings.Count(s.gateway.Log(), "msg=reloaded")
	s.reloadGood(strings.Replace(good, "level: info", "level: error", 1))
	if n := strings.Count(s.gateway.Log(), "msg=reloaded"); n != lines {
		t.Errorf("at level error, the log went on: %d lines, then %d", lines, n)
	}
	s.reloadGood(good)
	eventually(t, time.Second, "the log speaks again", func() bool { return strings.Count(s.gateway.Log(), "msg=reloaded") > lines })
}
