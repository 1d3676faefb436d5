package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"openvra/appliance/admin"
	"openvra/tools/ipip"
)

// counts is what the gateway and the workers counted.
type counts struct {
	status           admin.Status
	outside, inside  admin.Port
	sessions         int
	drops            []admin.Drop
	worker1, worker2 ipip.Counters
}

// read asks the gateway.
func read(ctx context.Context, c *admin.Client) (n counts, err error) {
	var errs [4]error
	var ports []admin.Port
	var sessions admin.SessionList
	n.status, errs[0] = c.Status(ctx)
	ports, errs[1] = c.Ports(ctx)
	sessions, errs[2] = c.Sessions(ctx, url.Values{"limit": {"1"}})
	n.drops, errs[3] = c.Drops(ctx)
	n.sessions = sessions.Total
	for _, p := range ports {
		switch p.Name {
		case "outside":
			n.outside = p
		case "inside":
			n.inside = p
		}
	}
	return n, errors.Join(errs[:]...)
}

func draw(w io.Writer, n counts) {
	p := n.status.Packets
	fmt.Fprintf(w, `
  client  198.51.100.10
     │
     │ outside 203.0.113.2/24     %s
  ┌──┴────────────────────────────────────────────────────────────
  │ gateway   %d sessions
  │           %d in = %d out + %d local + %d held + %d dropped
  └──┬────────────────────────────────────────────────────────────
     │ inside 10.0.0.1/24         %s
     │
     ├── plain ─────────────────── worker1 10.0.0.11 ── pod1 172.30.1.10
     │                             IP-in-IP: %s
     │
     └── router ══ IP-in-IP ══════ worker2 10.0.1.12 ── pod2 172.30.2.10
                                   IP-in-IP: %s
`, traffic(n.outside), n.sessions, p.In, p.Out, p.Local, p.Held, p.Dropped, traffic(n.inside), tunneled(n.worker1), tunneled(n.worker2))
	for _, d := range n.drops {
		if d.Count > 0 {
			fmt.Fprintf(w, "  dropped %d: %s (%s)\n", d.Count, d.Reason, d.Text)
		}
	}
}

func traffic(p admin.Port) string {
	return fmt.Sprintf("%d packets in, %d out", p.RxPackets, p.TxPackets)
}

func tunneled(c ipip.Counters) string {
	return fmt.Sprintf("%d packets out, %d in, %d dropped", c.Encapsulated, c.Decapsulated, c.Dropped)
}
