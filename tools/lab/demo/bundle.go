package demo

import "embed"

//go:embed bundle
var bundle embed.FS

// A Capture is a configuration and what comes in by its ports, for a replay.
type Capture struct {
	// Config is a configuration file.
	Config []byte
	// Ports are the pcap files of the ports, by port name.
	Ports map[string][]byte
}

// Bundle returns the bundled capture: a client fetches a page from pod2, by DNAT and
// IP-in-IP; it pings pod1 by an outside address of its own; pod1 asks a name
// server by masquerade; one packet has no hop left, and one comes out of a tunnel
// that is not ours.
func Bundle() (Capture, error) {
	c := Capture{Ports: map[string][]byte{}}
	var err error
	if c.Config, err = bundle.ReadFile("bundle/gateway.yaml"); err != nil {
		return c, err
	}
	for _, port := range []string{"outside", "inside"} {
		if c.Ports[port], err = bundle.ReadFile("bundle/" + port + ".pcap"); err != nil {
			return c, err
		}
	}
	return c, nil
}
