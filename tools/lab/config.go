package lab

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed gateway.yaml.tmpl
var gatewayYAML string

// Config is what varies in the gateway's configuration. The zero value is the
// drawing of the package comment. The lists hold further items, each a YAML flow
// mapping on one line.
type Config struct {
	// Socket is the admin socket's path; Write fills it in if it is empty.
	Socket string
	// Trunk adds the port of Options.Trunk.
	Trunk bool
	// Workers is the number of workers, 0 for the gateway's default.
	Workers int
	// Mode of the tunnel; CrossSubnet if empty.
	Mode string
	// LogLevel is info if empty.
	LogLevel string

	Ports, Routes, Neighbors, SourceNAT []string
	// Host are services of a host device; there is none without them.
	Host []string
}

// YAML returns the configuration file.
func (c Config) YAML() (string, error) {
	t, err := template.New("gateway.yaml").Parse(gatewayYAML)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, c)
	return b.String(), err
}

// ConfigPath is where WriteConfig writes.
func (l *Lab) ConfigPath() string { return filepath.Join(l.Dir, "gateway.yaml") }

// Socket is the admin socket of a gateway that uses WriteConfig's file.
func (l *Lab) Socket() string { return filepath.Join(l.Dir, "admin.sock") }

// WriteConfig replaces the gateway's configuration file in one step.
func (l *Lab) WriteConfig(c Config) error {
	if c.Socket == "" {
		c.Socket = l.Socket()
	}
	text, err := c.YAML()
	if err != nil {
		return err
	}
	return l.WriteConfigText(text)
}

// WriteConfigText is WriteConfig for a text that need not be a configuration.
func (l *Lab) WriteConfigText(text string) error {
	next := l.ConfigPath() + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, l.ConfigPath())
}
