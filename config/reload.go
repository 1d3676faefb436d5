package config

import "reflect"

// NeedsRestart returns the keys, as limits.sessions, whose values differ from old's and take effect
// only when the gateway starts again.
func (c *Config) NeedsRestart(old *Config) []string {
	return changed(rootObject(), reflect.ValueOf(c).Elem(), reflect.ValueOf(old).Elem(), "")
}

// changed returns the keys that need a restart and differ between a and b, lists of objects aside.
func changed(o *object, a, b reflect.Value, prefix string) (keys []string) {
	for _, f := range o.fields {
		x, y := a.Field(f.index), b.Field(f.index)
		switch {
		case f.object != nil && !f.list:
			keys = append(keys, changed(f.object, x, y, prefix+f.key+".")...)
		case f.reload == "restart" && !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, prefix+f.key)
		}
	}
	return keys
}
