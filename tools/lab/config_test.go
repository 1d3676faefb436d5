package lab

import (
	"testing"

	"openvra/config"
)

func TestConfigIsAccepted(t *testing.T) {
	full := Config{
		Socket: "/run/vra/x.sock", Trunk: true, Workers: 2, Mode: "Always", LogLevel: "debug",
		Ports:     []string{"{name: more, driver: tun, addresses: 100.64.0.1/32}"},
		Routes:    []string{"{to: 198.51.100.128/25, blackhole: true}"},
		Neighbors: []string{"{port: inside, address: 10.0.0.11, mac: 02:00:00:00:00:01}"},
		SourceNAT: []string{"{name: more, out: internet, from: 10.0.0.0/16, translate: masquerade}"},
		Host:      []string{"{name: ssh, protocol: tcp, ports: 22}"},
	}
	for name, c := range map[string]Config{"zero": {Socket: "/run/vra/x.sock"}, "full": full} {
		text, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse(name, []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
