package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// ports checks ports and sub-ports and lists them.
func (k *checker) ports() {
	devices := map[string]int{}
	for i := range k.Ports {
		p := &k.Ports[i]
		if p.Device == "" {
			p.Device = p.Name
			if len(p.Name) > 15 && p.Driver.onLinux() {
				k.wrong("nothing", "a device, as the port's name is longer than the 15 characters Linux allows", "ports", i, "device")
			}
		}
		if p.Zone == "" {
			p.Zone = p.Name
		}
		k.once(k.names, p.Name, p.Line, "a name", "ports", i, "name")
		if p.Driver.onLinux() && p.Device != p.Name {
			k.once(devices, p.Device, p.Line, "a device", "ports", i, "device")
		} else if p.Driver.onLinux() {
			k.once(devices, p.Device, p.Line, "a device", "ports", i, "name")
		}
		k.iface(iface{p.Name, p.Zone, p.Addresses, p.VIPs, p.Line, []any{"ports", i}})
		if p.Driver == TUN {
			k.layer3(i, p)
		}
		k.vlans(i, p)
	}
	if k.Host.Enabled {
		k.once(devices, k.Host.Device, 0, "a device", "host", "device")
	}
}

// onLinux reports whether the driver has a Linux network device.
func (d Driver) onLinux() bool { return d == AFPacket || d == TAP || d == TUN }

// layer3 refuses what needs Ethernet on a TUN.
func (k *checker) layer3(i int, p *Port) {
	if p.MAC != (MAC{}) {
		k.wrong("", "no Ethernet address on a tun port", "ports", i, "mac")
	}
	if len(p.VLANs) > 0 {
		k.wrong("", "no sub-ports on a tun port", "ports", i, "vlans")
	}
}

// vlans checks the sub-ports of port i.
func (k *checker) vlans(i int, p *Port) {
	tags := map[string]int{}
	for j := range p.VLANs {
		v := &p.VLANs[j]
		at := []any{"ports", i, "vlans", j}
		if v.Zone == "" {
			v.Zone = v.Name
		}
		if v.Protocol == "" {
			v.Protocol = "802.1Q"
			if v.Outer != 0 {
				v.Protocol = "802.1ad"
			}
		}
		double := v.Outer != 0 || v.Inner != 0
		switch {
		case k.broken["ports"]: // a tag that could not be read looks absent
		case v.ID == 0 && !double:
			k.wrong("nothing", "a VLAN identifier, or outer and inner ones", join(at, "id")...)
		case v.ID != 0 && double:
			k.wrong("", "either id, or outer and inner", join(at, "id")...)
		case double && v.Outer == 0:
			k.wrong("nothing", "an outer VLAN identifier beside the inner one", join(at, "outer")...)
		case double && v.Inner == 0:
			k.wrong("nothing", "an inner VLAN identifier beside the outer one", join(at, "inner")...)
		case double:
			k.once(tags, fmt.Sprint(v.Protocol, v.Outer, ".", v.Inner), v.Line, "a pair of tags", join(at, "inner")...)
		default:
			k.once(tags, fmt.Sprint(v.Protocol, v.ID), v.Line, "a tag", join(at, "id")...)
		}
		if p.MTU != 0 && v.MTU > p.MTU {
			k.wrong("", fmt.Sprintf("at most the port's MTU of %d bytes", p.MTU), join(at, "mtu")...)
		}
		k.once(k.names, v.Name, v.Line, "a name", join(at, "name")...)
		k.iface(iface{v.Name, v.Zone, v.Addresses, v.VIPs, v.Line, at})
	}
}

// iface lists a port or sub-port.
func (k *checker) iface(f iface) {
	k.isPort[f.name] = true
	if _, again := k.zoneLines[f.zone]; !again && f.zone != "" {
		k.zoneLines[f.zone] = f.line
	}
	k.ifaces = append(k.ifaces, f)
}

// zones checks policy routing. It runs after ports, and knows the tunnels' zones itself.
func (k *checker) zones() {
	for i := range k.Tunnels {
		t := &k.Tunnels[i]
		if t.Zone == "" {
			t.Zone = t.Name
		}
		if _, again := k.zoneLines[t.Zone]; !again && t.Zone != "" {
			k.zoneLines[t.Zone] = t.Line
		}
	}
	for _, f := range k.ifaces {
		if _, isZone := k.zoneLines[f.name]; isZone && f.zone != f.name && f.zone != "" {
			k.wrong("", fmt.Sprintf("the zone %q, as a zone has this port's name", f.name), join(f.path, "zone")...)
		}
	}
	tables := map[string]bool{MainTable: true}
	for i := range k.Routes {
		tables[k.Routes[i].Table] = true
	}
	names := map[string]int{}
	for i, z := range k.Zones {
		k.once(names, z.Name, z.Line, "a zone", "zones", i, "name")
		if _, ok := k.zoneLines[z.Name]; !ok && z.Name != "" && !k.broken["ports"] && !k.broken["tunnels"] {
			k.wrong("", "the zone of a port, sub-port or tunnel", "zones", i, "name")
		}
		if !tables[z.Table] && z.Table != "" && !k.broken["routes"] {
			k.wrong("", "the table of a route, or main", "zones", i, "table")
		}
	}
}

// owned is a subnet of a port.
type owned struct {
	subnet netip.Prefix
	iface  int
	path   []any
}

// subnets checks addresses: usable ones, each once, and no subnet behind two ports of a table.
func (k *checker) subnets() {
	tableOf := map[string]string{}
	for _, z := range k.Zones {
		tableOf[z.Name] = z.Table
	}
	tables := map[string][]owned{}
	for n, f := range k.ifaces {
		if k.connected[f.name] == nil {
			k.connected[f.name] = &prefixSet{}
		}
		for i, a := range f.addresses {
			if at := join(f.path, "addresses", i); k.ownAddress(a.Addr(), f.line, at) && k.hostAddress(a, at) {
				subnet := a.Masked()
				k.connected[""].add(subnet, f.name)
				k.connected[f.name].add(subnet, f.name)
				table := cmp.Or(tableOf[f.zone], MainTable)
				tables[table] = append(tables[table], owned{subnet, n, at})
			}
		}
		for i, a := range f.vips {
			k.ownAddress(a, f.line, join(f.path, "vips", i))
		}
	}
	k.overlaps(tables)
}

// ownAddress notes an address of the gateway.
func (k *checker) ownAddress(a netip.Addr, line int, at []any) bool {
	if !a.IsValid() {
		return false
	}
	if !unicast(a) {
		k.wrong("", "the address of one host, not loopback, multicast, broadcast or 0.0.0.0/8", at...)
		return false
	}
	if before, again := k.own[a]; again {
		k.wrong("", fmt.Sprintf("an address of its own; the port on line %d has this one", before), at...)
		return false
	}
	k.own[a] = line
	return true
}

// hostAddress refuses the network and broadcast addresses of a subnet (RFC 3021 frees them in a /31).
func (k *checker) hostAddress(p netip.Prefix, at []any) bool {
	if p.Bits() == 0 {
		k.wrong("", "a prefix length from 1 to 32", at...)
		return false
	}
	if p.Bits() <= 30 && (p.Addr() == p.Masked().Addr() || p.Addr() == lastAddress(p)) {
		k.wrong("", "a host's address, not the subnet's first or last", at...)
		return false
	}
	return true
}

// unicast reports whether a can be one host's address.
func unicast(a netip.Addr) bool {
	b := a.As4()
	return b[0] != 0 && b[0] != 127 && b[0] < 224
}

// overlaps reports subnets of different ports, in one table, of which one holds the other.
func (k *checker) overlaps(tables map[string][]owned) {
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		all := tables[table]
		overlapping(len(all), func(i int) netip.Prefix { return all[i].subnet }, func(first, later int) {
			if all[first].iface != all[later].iface {
				k.wrong("", fmt.Sprintf("a subnet that does not overlap %s of port %q",
					all[first].subnet, k.ifaces[all[first].iface].name), all[later].path...)
			}
		})
	}
}

// neighbors checks static neighbors.
func (k *checker) neighbors() {
	type key struct {
		port    string
		address netip.Addr
	}
	seen := map[key]int{}
	for i, n := range k.Neighbors {
		k.port(n.Port, "neighbours", i, "port")
		if !n.Address.IsValid() || n.Port == "" {
			continue
		}
		if before, again := seen[key{n.Port, n.Address}]; again {
			k.wrong("", fmt.Sprintf("a neighbor of its own; line %d has this one", before), "neighbours", i, "address")
			continue
		}
		seen[key{n.Port, n.Address}] = n.Line
		k.onSubnet(n.Port, n.Address, "neighbours", i, "address")
	}
}

// onSubnet reports an address that is not another host's in a subnet of port.
func (k *checker) onSubnet(port string, a netip.Addr, path ...any) {
	if k.broken["ports"] || k.connected[port] == nil || !a.IsValid() {
		return
	}
	if _, own := k.own[a]; own {
		k.wrong("", "another host's address, not the gateway's own", path...)
		return
	}
	subnet, _, ok := k.connected[port].covering(single(a))
	if !ok && port == "" {
		k.wrong("", "an address in a subnet of a port", path...)
	} else if !ok {
		k.wrong("", fmt.Sprintf("an address in a subnet of port %q", port), path...)
	} else if subnet.Bits() <= 30 && (a == subnet.Addr() || a == lastAddress(subnet)) {
		k.wrong("", "a host's address, not the subnet's first or last", path...)
	}
}
