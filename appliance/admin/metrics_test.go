package admin_test

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"openvra/appliance/admin"
	"openvra/appliance/admin/admintest"
)

// scrape runs a server with a metrics listener and returns its address and metrics.
func scrape(t *testing.T, g admin.Gateway) (addr net.Addr, text string) {
	t.Helper()
	serve(t, g, admin.Options{Metrics: "127.0.0.1:0"}, func(s *admin.Server) { addr = s.MetricsAddr() })
	resp, err := http.Get("http://" + addr.String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s, %v: %s", resp.Status, err, body)
	}
	return addr, string(body)
}

func TestTableOfMetricsIsWhatIsExported(t *testing.T) {
	_, text := scrape(t, admintest.Edge())
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	spelling := regexp.MustCompile(`^vra(_[a-z]+)+$`)
	for _, m := range admin.Metrics() {
		f := families[m.Name]
		if f == nil {
			t.Errorf("%s is in the table, but not exported", m.Name)
			continue
		}
		delete(families, m.Name)
		if got := f.GetHelp(); got != m.Help || !strings.HasSuffix(got, ".") {
			t.Errorf("%s: help: got %q; want %q", m.Name, got, m.Help)
		}
		kind := "GAUGE"
		if m.Counter {
			kind = "COUNTER"
		}
		if got := f.GetType().String(); got != kind {
			t.Errorf("%s: type: got %s; want %s", m.Name, got, kind)
		}
		if !spelling.MatchString(m.Name) || strings.HasSuffix(m.Name, "_total") != m.Counter {
			t.Errorf("%s: want vra_<noun>_<unit>, and _total after counters only", m.Name)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if len(labels) != len(m.Labels) {
			t.Errorf("%s: labels: got %q; want %q", m.Name, labels, m.Labels)
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "vra_") {
			t.Errorf("%s is exported, but not in the table", name)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if families[name] == nil {
			t.Errorf("%s is not exported", name)
		}
	}
}

func TestMetricsHaveTheGatewaysValues(t *testing.T) {
	_, text := scrape(t, admintest.Edge())
	for _, line := range []string{
		`vra_config_generation 3`,
		`vra_reloads_total{result="applied"} 2`,
		`vra_reloads_total{result="refused"} 1`,
		`vra_last_reload_ok 0`,
		`vra_start_time_seconds 1.767323045e+09`,
		`vra_last_reload_time_seconds 1.767326645e+09`,
		`vra_drops_total{reason="blackhole"} 10`,
		`vra_drops_total{reason="no_route"} 0`,
		`vra_worker_packets_in_total{worker="0"} 100`,
		`vra_worker_packets_held{worker="0"} 1`,
		`vra_worker_panics_total{worker="1"} 1`,
		`vra_worker_handovers_total{worker="0"} 6`,
		`vra_sessions{worker="0"} 2`,
		`vra_sessions_limit 1.048576e+06`,
		`vra_neighbors 2`,
		`vra_routes 3`,
		`vra_packets_unaccounted 0`,
		`vra_port_up{port="outside"} 1`,
		`vra_port_up{port="vpn"} 0`,
		`vra_port_rx_bytes_total{port="outside"} 6000`,
		`vra_port_tx_refused_total{port="outside"} 2`,
		`vra_tunnel_mtu_bytes{tunnel="pods",worker="w2"} 1480`,
		`vra_tunnel_reachable{tunnel="pods",worker="w1"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("want the line %s", line)
		}
	}
}

func TestMetricsBeforeTheFirstReload(t *testing.T) {
	_, text := scrape(t, &admintest.Gateway{})
	for _, line := range []string{"vra_last_reload_ok 1", "vra_last_reload_time_seconds 0"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("want the line %s", line)
		}
	}
}

func TestOneBrokenSeriesHidesNoOther(t *testing.T) {
	g := admintest.Edge()
	g.DropList = append(g.DropList, g.DropList[0])
	if _, text := scrape(t, g); !strings.Contains(text, "\nvra_config_generation 3\n") {
		t.Error("a reason that comes twice hides the generation")
	}
}

func TestMetricsListenerServesNothingElse(t *testing.T) {
	addr, _ := scrape(t, admintest.Edge())
	for _, path := range []string{"/", "/v1/config", "/v1/sessions", "/debug/pprof/"} {
		resp, err := http.Get("http://" + addr.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %s; want not found", path, resp.Status)
		}
	}
	resp, err := http.Post("http://"+addr.String()+"/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %s; want method not allowed", resp.Status)
	}
}

func TestUnaccountedPackets(t *testing.T) {
	for _, row := range []struct {
		p    admin.Packets
		want int64
	}{
		{admin.Packets{}, 0},
		{admin.Packets{In: 10, Out: 4, Local: 3, Held: 2, Dropped: 1, Made: 5}, 0},
		{admin.Packets{In: 10, Out: 4}, 6},
		{admin.Packets{In: 4, Out: 10}, -6},
	} {
		if got := row.p.Unaccounted(); got != row.want || row.p.Conserved() != (row.want == 0) {
			t.Errorf("%+v: got %d, %v; want %d", row.p, got, row.p.Conserved(), row.want)
		}
	}
}
