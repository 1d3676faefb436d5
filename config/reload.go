package config

import "reflect"

// NeedsRestart returns the keys, as limits.sessions, whose values differ from old's and take effect
// only when the gateway starts again.
func (c *Config) NeedsRestart(old *Config) []string {
	return changed(rootObject(), reflect.ValueOf(c).Elem(), reflect.ValueOf(old).Elem(), "restart", "")
}

// NeedsReopen returns the keys whose values differ from old's and that close the port and open it
// anew; the port's sessions stay.
func (p *Port) NeedsReopen(old *Port) []string {
	o := make(types).object(reflect.TypeFor[Port]())
	return changed(o, reflect.ValueOf(p).Elem(), reflect.ValueOf(old).Elem(), "port", "")
}

// changed returns the keys of a kind whose values differ between a and b, lists of objects aside.
func changed(o *object, a, b reflect.Value, kind, prefix string) (keys []string) {
	for _, f := range o.fields {
		x, y := a.Field(f.index), b.Field(f.index)
		switch {
		case f.object != nil && !f.list:
			keys = append(keys, changed(f.object, x, y, kind, prefix+f.key+".")...)
		case f.reload == kind && !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, prefix+f.key)
		}
	}
	return keys
}

// Table returns the routing table that packets from zone ask first.
func (c *Config) Table(zone string) string {
	for _, z := range c.Zones {
		if z.Name == zone {
			return z.Table
		}
	}
	return MainTable
}

// Members returns the ports, sub-ports and tunnels that name stands for in a rule: all of a zone's
// when there is such a zone, else the port alone. A port of the same name as a zone is part of it.
func (c *Config) Members(name string) (members []string) {
	alone := false
	add := func(member, zone string) {
		if zone == name {
			members = append(members, member)
		}
		alone = alone || member == name
	}
	for i := range c.Ports {
		p := &c.Ports[i]
		add(p.Name, p.Zone)
		for j := range p.VLANs {
			add(p.VLANs[j].Name, p.VLANs[j].Zone)
		}
	}
	for i := range c.Tunnels {
		add(c.Tunnels[i].Name, c.Tunnels[i].Zone)
	}
	if members == nil && alone {
		return []string{name}
	}
	return members
}
