package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"openvra/appliance/admin"
	"openvra/tools/lab"
)

// TestDemo runs the demonstration as people do.
func TestDemo(t *testing.T) {
	newSite(t, lab.Options{}, lab.Config{}) // skips or fails without root
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	start := time.Now()
	out, err := exec.CommandContext(ctx, binary, "demo").CombinedOutput()
	if err != nil || contains(string(out), "FAIL") {
		t.Errorf("vra demo: %v\n%s", err, out)
	}
	t.Logf("took %v\n%s", time.Since(start), out)
}

// output is a writer whose content a test can wait for.
type output struct {
	file *os.File
	t    *testing.T
}

func newOutput(t *testing.T) output {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "output"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return output{f, t}
}

func (o output) String() string {
	o.t.Helper()
	b, err := os.ReadFile(o.file.Name())
	must(o.t, err)
	return string(b)
}

// TestDemoKeepsTheLab leaves the demonstration's lab up, looks around as it says, and
// interrupts it: nothing stays behind.
func TestDemoKeepsTheLab(t *testing.T) {
	newSite(t, lab.Options{}, lab.Config{}) // skips or fails without root
	out := newOutput(t)
	cmd := exec.CommandContext(t.Context(), binary, "demo", "--keep")
	cmd.Stdout, cmd.Stderr = out.file, out.file
	must(t, cmd.Start())
	defer cmd.Process.Kill()
	eventually(t, 30*time.Second, "the demo says that the lab stays up", func() bool { return contains(out.String(), "Hosts:") })
	tried := 0
	_, advice, _ := strings.Cut(out.String(), "The lab stays up")
	for line := range strings.Lines(advice) {
		line = strings.TrimSpace(line)
		if !contains(line, " ping ") && !contains(line, " show ") {
			continue
		}
		tried++
		if text, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, text)
		}
	}
	if tried < 3 {
		t.Errorf("only %d commands to try in:\n%s", tried, out)
	}
	_, hosts, _ := strings.Cut(out.String(), "Hosts:")
	must(t, cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted demo: %v\n%s", err, out)
	}
	for host := range strings.FieldsSeq(hosts) {
		if _, err := os.Stat("/run/netns/" + host); !os.IsNotExist(err) {
			t.Errorf("namespace %s stays behind: %v", host, err)
		}
	}
}

// TestDemoWithoutRoot shows the bundled capture to those who are not root.
func TestDemoWithoutRoot(t *testing.T) {
	newSite(t, lab.Options{}, lab.Config{}) // root is needed to become nobody
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755))
	}
	text, err := os.ReadFile(binary)
	must(t, err)
	copied := filepath.Join(dir, "vra")
	must(t, os.WriteFile(copied, text, 0o755))
	cmd := exec.CommandContext(t.Context(), copied, "demo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Env = []string{"HOME=/", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"root", "outside", "inside", "tunnel_not_configured", "ttl_exceeded"} {
		if err != nil || !contains(string(out), want) {
			t.Fatalf("vra demo as nobody: %v; want %q in:\n%s", err, want, out)
		}
	}
}

// TestOperatorCommands asks the running gateway by the command, as an operator does.
func TestOperatorCommands(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	must(t, s.Client.TCP(t.Context(), lab.InternetAddr, addrPort(lab.OutsideAddr, lab.Pod2Port), lab.Transfer{Up: 100, Down: 100}))
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), binary, append(args, "--socket", s.Socket())...).CombinedOutput()
		if err != nil {
			t.Errorf("vra %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	for _, row := range []struct {
		args string
		want []string
	}{
		{"status", []string{"generation 1", s.ConfigPath()}},
		{"show ports", []string{"outside", "203.0.113.2/24", "af_packet"}},
		{"show routes", []string{"10.0.1.0/24", "172.30.0.0/16", "calico"}},
		{"show neighbors", []string{"203.0.113.1", "10.0.0.254"}},
		{"show tunnels", []string{"calico", "CrossSubnet", "10.0.1.12"}},
		{"show sessions --port 8081", []string{"203.0.113.2", "172.30.2.10", "web2"}},
		{"show drops", []string{"REASON"}},
		{"show config", []string{"pods-out", "icmpErrorsPerSecond"}},
		{"reload", []string{"generation 2"}},
	} {
		out := run(strings.Fields(row.args)...)
		for _, want := range row.want {
			if !contains(out, want) {
				t.Errorf("vra %s does not say %q:\n%s", row.args, want, out)
			}
		}
	}
	var ports []admin.Port
	if err := json.Unmarshal([]byte(run("show", "ports", "-o", "json")), &ports); err != nil || len(ports) < 2 || ports[0].Name != "outside" {
		t.Errorf("ports as JSON: %+v, %v; want outside, inside", ports, err)
	}
	must(t, s.WriteConfigText("ports: 7\n"))
	out, err := exec.CommandContext(t.Context(), binary, "reload", "--socket", s.Socket()).CombinedOutput()
	if err == nil || !contains(string(out), s.ConfigPath()+":1") {
		t.Errorf("reload of a bad file: %v: %s; want exit status 1 and the line", err, out)
	}
}

// dialLoopback dials inside the gateway's namespace.
func (s *site) dialLoopback(ctx context.Context, _, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return s.Gateway.DialTCP(ctx, netip.Addr{}, to)
}

// TestMetrics reads the metrics where they are served, on the gateway's loopback.
func TestMetrics(t *testing.T) {
	s := start(t, lab.Options{}, lab.Config{})
	must(t, s.Pod1.TCP(t.Context(), lab.Pod1Addr, internet, lab.Transfer{Up: 100, Down: 100}))
	client := http.Client{Transport: &http.Transport{DialContext: s.dialLoopback}, Timeout: 5 * time.Second}
	r, err := client.Get("http://127.0.0.1:9478/metrics")
	must(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	for _, want := range []string{"vra_drops_total", "vra_sessions", "vra_build_info"} {
		if !contains(string(body), want) {
			t.Errorf("no metric %s", want)
		}
	}
}
