package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"openvra/appliance/admin"
)

// The tables of "vra show": one line an item, columns parted by tabs, units in the
// header. "-" is what there is none of.

func portTable(w io.Writer, ports []admin.Port) {
	fmt.Fprint(w, "PORT\tDEVICE\tDRIVER\tZONE\tSTATE\tMAC\tMTU BYTES\tADDRESSES\t"+
		"RX PACKETS\tRX BYTES\tTX PACKETS\tTX BYTES\tDROPPED\tRX MISSED\tTX REFUSED\n")
	for _, p := range ports {
		state := "down"
		if p.Up {
			state = "up"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n",
			p.Name, dash(p.Device), p.Driver, p.Zone, state, dash(p.MAC), p.MTU, join(p.Addresses),
			p.RxPackets, p.RxBytes, p.TxPackets, p.TxBytes, p.Dropped, p.RxMissed, p.TxRefused)
	}
}

func routeTable(w io.Writer, routes []admin.Route) {
	fmt.Fprint(w, "TABLE\tPREFIX\tKIND\tVIA\tPORT\tTUNNEL\tWEIGHT\tNEIGHBOR\tSOURCE\n")
	for _, r := range routes {
		if len(r.Hops) == 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\t-\t-\t%s\n", r.Table, r.Prefix, r.Kind, dash(r.Source))
		}
		for _, h := range r.Hops {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Table, r.Prefix, r.Kind,
				address(h.Via), dash(h.Port), dash(h.Tunnel), h.Weight, dash(h.Neighbor), dash(r.Source))
		}
	}
}

func neighborTable(w io.Writer, neighbors []admin.Neighbor) {
	fmt.Fprint(w, "PORT\tADDRESS\tMAC\tSTATE\tAGE\n")
	for _, n := range neighbors {
		age := seconds(n.AgeSeconds)
		if n.Static {
			age = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Port, n.Address, dash(n.MAC), n.State, age)
	}
}

func tunnelTable(w io.Writer, tunnels []admin.Tunnel) {
	fmt.Fprint(w, "TUNNEL\tMODE\tLOCAL\tWORKER\tADDRESS\tSTATE\tMTU BYTES\tBLOCKS\tRX PACKETS\tTX PACKETS\tDROPPED\tSOURCE\n")
	for _, t := range tunnels {
		for _, k := range t.Workers {
			state, mtu := "unreachable", "-"
			if k.Reachable {
				state = "reachable"
			}
			if k.MTU != 0 {
				mtu = fmt.Sprint(k.MTU)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", t.Name, t.Mode, t.Local,
				k.Name, k.Address, state, mtu, join(k.Blocks), k.RxPackets, k.TxPackets, k.Dropped, dash(t.Source))
		}
	}
}

// sessionTable prints why each session is as it is in the last column.
func sessionTable(w io.Writer, v *admin.SessionList) {
	fmt.Fprint(w, "PROTOCOL\tSTATE\tORIGINAL\tREPLY\tIN\tOUT\tPACKETS\tBYTES\tAGE\tIDLE\tEXPIRES\tWORKER\tWHY\n")
	for i := range v.Sessions {
		s := &v.Sessions[i]
		o, r := &s.Original, &s.Reply
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d+%d\t%d+%d\t%s\t%s\t%s\t%d\t%s\n", s.Protocol, s.State,
			direction(o), direction(r), dash(s.In), dash(s.Out), o.Packets, r.Packets, o.Bytes, r.Bytes,
			seconds(s.AgeSeconds), seconds(s.IdleSeconds), seconds(s.ExpiresSeconds), s.Worker, why(s.Why))
	}
	fmt.Fprintf(w, "\n%d of %d sessions; packets and bytes are original+reply\n", len(v.Sessions), v.Total)
}

func direction(d *admin.Direction) string {
	if d.SrcPort == 0 && d.DstPort == 0 {
		return fmt.Sprintf("%s>%s", d.Src, d.Dst)
	}
	return fmt.Sprintf("%s:%d>%s:%d", d.Src, d.SrcPort, d.Dst, d.DstPort)
}

func why(reasons []admin.Reason) string {
	var list []string
	for _, r := range reasons {
		text := r.Kind + " " + r.Name
		if r.Source != "" {
			text += " (" + r.Source + ")"
		}
		list = append(list, text)
	}
	return dash(strings.Join(list, ", "))
}

// dropTable prints the reasons that dropped something.
func dropTable(w io.Writer, drops []admin.Drop) {
	fmt.Fprint(w, "PACKETS\tREASON\tMEANING\tASKED FOR BY\n")
	quiet := 0
	for _, d := range drops {
		if d.Count == 0 {
			quiet++
			continue
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", d.Count, d.Reason, d.Text, dash(d.RFC))
	}
	fmt.Fprintf(w, "\nreasons that dropped nothing: %d (-o json lists them)\n", quiet)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

func join(prefixes []netip.Prefix) string {
	var list []string
	for _, p := range prefixes {
		list = append(list, p.String())
	}
	return dash(strings.Join(list, ","))
}
