package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"openvra/appliance/admin"
	"openvra/tools/lab"
)

// variants are two configurations that differ in things no flow of the load needs.
func variants() [2]lab.Config {
	return [2]lab.Config{
		{},
		{
			Routes:    []string{"{to: 192.0.2.0/24, blackhole: true}", "{to: 192.0.2.128/25, via: 10.0.0.254}"},
			SourceNAT: []string{"{name: hosts-out, out: internet, from: 10.0.0.0/16, translate: masquerade}"},
		},
	}
}

// loaded is a site with 1,000 new flows a second on it, past the time in which TCP
// learns the paths' MTU.
func loaded(t *testing.T) (*site, *lab.Load) {
	t.Helper()
	s := start(t, lab.Options{}, lab.Config{})
	load, err := s.StartLoad(t.Context(), 500, 500)
	must(t, err)
	time.Sleep(time.Second)
	return s, load
}

// checkLoad wants that nothing was lost.
func checkLoad(t *testing.T, load *lab.Load) {
	t.Helper()
	r := load.Stop()
	t.Log(r)
	if r.Lost > 0 || r.Slow > 0 || len(r.Errors) > 0 {
		t.Errorf("%v: %v; want no loss", r, r.Errors)
	}
	if r.Exchanges == 0 || r.Connections == 0 || r.Datagrams == 0 {
		t.Errorf("%v; want some of each", r)
	}
}

// reload replaces the file, sends SIGHUP and returns what came of it.
func (s *site) reload(text string) admin.ReloadResult {
	s.t.Helper()
	must(s.t, s.WriteConfigText(text))
	before := s.status().Reloads
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	must(s.t, s.gateway.Reload(ctx))
	v := s.status()
	if v.Reloads == before {
		s.t.Fatalf("SIGHUP brought no reload: %+v", v.Reloads)
	}
	return v.LastReload
}

func (s *site) text(c lab.Config) string {
	s.t.Helper()
	c.Socket = s.Socket()
	text, err := c.YAML()
	must(s.t, err)
	return text
}

// longFlows returns what NAT made of the flows that live, by session id.
func (s *site) longFlows() map[uint64]string {
	s.t.Helper()
	list, err := s.admin.Sessions(s.t.Context(), map[string][]string{"protocol": {"tcp"}, "state": {"established"}})
	must(s.t, err)
	flows := map[uint64]string{}
	for _, f := range list.Sessions {
		flows[f.ID] = fmt.Sprintf("%v:%d to %v:%d, answered by %v:%d to %v:%d", f.Original.Src, f.Original.SrcPort,
			f.Original.Dst, f.Original.DstPort, f.Reply.Src, f.Reply.SrcPort, f.Reply.Dst, f.Reply.DstPort)
	}
	return flows
}

// TestGoodReloadsUnderLoad reloads a hundred times while flows run and begin: none
// is lost, and none that lives through it is moved.
func TestGoodReloadsUnderLoad(t *testing.T) {
	s, load := loaded(t)
	first := s.longFlows()
	generation := s.status().Generation
	texts := [2]string{s.text(variants()[0]), s.text(variants()[1])}
	const reloads = 100
	for i := range reloads {
		if r := s.reload(texts[(i+1)%2]); !r.OK {
			t.Fatalf("reload %d was refused: %v", i, r.Errors)
		}
	}
	if got := s.status().Generation; got != generation+reloads {
		t.Errorf("generation went from %d to %d; want %d more", generation, got, reloads)
	}
	lived := 0
	for id, flow := range s.longFlows() {
		if was, ok := first[id]; ok {
			lived++
			if was != flow {
				t.Errorf("session %d was %s and is %s", id, was, flow)
			}
		}
	}
	if lived < 4 {
		t.Errorf("%d sessions lived through it; want the 4 long flows at least", lived)
	}
	checkLoad(t, load)
}

// A badFile is a configuration that must be refused, and what the refusal says
// after the file's name.
type badFile struct{ name, text, want string }

// badFiles break a good configuration in ways that people do.
func badFiles(good string) []badFile {
	swap := func(name, old, new string) badFile {
		line := 1 + strings.Count(good[:strings.Index(good, old)], "\n")
		return badFile{name, strings.Replace(good, old, new, 1), fmt.Sprintf(":%d", line)}
	}
	return []badFile{
		swap("syntax", "ports:\n", "ports: [\n"),
		swap("unknown key", "    mode: CrossSubnet", "    moed: CrossSubnet"),
		swap("bad prefix", "10.0.1.0/24", "10.0.1.7/24"),
		swap("range", "icmpErrorsPerDestination: 1000", "icmpErrorsPerDestination: -1"),
		swap("dangling tunnel", "tunnel: calico", "tunnel: calio"),
		swap("dangling zone", "{name: pods-out, out: internet,", "{name: pods-out, out: intranet,"),
		swap("next hop nowhere", "via: 10.0.0.254", "via: 10.9.0.254"),
		swap("not an address", "local: 10.0.0.1", "local: ten.0.0.1"),
		swap("duplicate name", "name: web2", "name: web1"),
		swap("tab", "    local:", "\tlocal:"),
		{"empty", "", ""},
		{"two documents", good + "---\nports: []\n", fmt.Sprintf(":%d", strings.Count(good, "\n")+1)},
	}
}

// TestBadReloadsUnderLoad reloads a hundred files that are wrong: each is refused
// with its line, in the status and in the log, and nothing changes.
func TestBadReloadsUnderLoad(t *testing.T) {
	s, load := loaded(t)
	good := s.text(lab.Config{})
	before := s.status()
	config, err := s.admin.Config(t.Context())
	must(t, err)
	bad := badFiles(good)
	for i := range 100 {
		b := bad[i%len(bad)]
		r := s.reload(b.text)
		said := strings.Join(r.Errors, "\n")
		if r.OK || !strings.Contains(said, s.ConfigPath()+b.want) {
			t.Fatalf("%s: got applied %v, %q; want a refusal that says %q", b.name, r.OK, said, s.ConfigPath()+b.want)
		}
		if log := s.gateway.Log(); !strings.Contains(log, "gateway.yaml"+b.want) {
			t.Errorf("%s: the log does not say %q", b.name, "gateway.yaml"+b.want)
		}
	}
	after := s.status()
	if after.Generation != before.Generation || after.ConfigHash != before.ConfigHash || after.Reloads.Refused != before.Reloads.Refused+100 {
		t.Errorf("after 100 bad files: %+v; want generation %d and 100 more refusals", after, before.Generation)
	}
	now, err := s.admin.Config(t.Context())
	must(t, err)
	if !slices.Equal(now, config) {
		t.Error("the configuration in force has changed")
	}
	checkLoad(t, load)
}

// TestReloadStorm sends a thousand SIGHUPs in ten seconds, half of them for bad
// files: they are coalesced, and the last file wins.
func TestReloadStorm(t *testing.T) {
	s, load := loaded(t)
	texts := [2]string{s.text(variants()[0]), s.text(variants()[1])}
	bad := badFiles(texts[0])
	before := s.status().Reloads
	const signals = 1000
	for i := range signals {
		if i%20 == 0 { // a new file every 20 signals, by turns good and bad
			text := texts[i/20%2]
			if i/20%2 == 1 {
				text = bad[i%len(bad)].text
			}
			must(t, s.WriteConfigText(text))
		}
		must(t, s.gateway.Signal(syscall.SIGHUP))
		time.Sleep(10 * time.Millisecond)
	}
	must(t, s.WriteConfigText(texts[1]), s.gateway.Signal(syscall.SIGHUP))
	hash := sha256.Sum256([]byte(texts[1]))
	eventually(t, 5*time.Second, "the last file is in force", func() bool {
		return s.status().ConfigHash == hex.EncodeToString(hash[:])
	})
	t.Log(s.status().Reloads)
	after := s.status().Reloads
	if n := after.Applied + after.Refused - before.Applied - before.Refused; n > signals+1 || n < 2 {
		t.Errorf("%d reloads for %d signals; want fewer, and some", n, signals+1)
	}
	checkLoad(t, load)
}

// TestReloadTakesAndGives removes a DNAT rule and brings it back: a flow that it
// decided ends, others go on, and a new flow finds it again.
func TestReloadTakesAndGives(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	ctx := t.Context()
	dial := func(port uint16) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return s.Client.TCP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, port), lab.Transfer{Up: 10, Down: 10})
	}
	must(t, dial(lab.Pod1Port), dial(lab.Pod2Port))
	kept, err := s.Client.DialTCP(ctx, lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod2Port))
	must(t, err)
	defer kept.Close()
	good := s.text(lab.Config{})
	var without []string
	for line := range strings.Lines(good) {
		if !strings.Contains(line, "name: web1") {
			without = append(without, line)
		}
	}
	if r := s.reload(strings.Join(without, "")); !r.OK {
		t.Fatal(r.Errors)
	}
	if dial(lab.Pod1Port) == nil {
		t.Error("the rule is gone, but a new connection finds the pod")
	}
	must(t, dial(lab.Pod2Port), lab.Exchange(kept, lab.Transfer{Up: 1000, Down: 1000}))
	if r := s.reload(good); !r.OK {
		t.Fatal(r.Errors)
	}
	must(t, dial(lab.Pod1Port), lab.Exchange(kept, lab.Transfer{Up: 1000, Down: 1000}))
}
