package admin

import "context"

// A Gateway is what this package shows. Safe for concurrent use. Every call returns
// values of its own, which the caller may keep and change.
type Gateway interface {
	Status() Status
	// Reload reads the configuration file again and applies it, all or nothing.
	// It returns when that is done. When ctx ends first, the reload goes on and
	// the result says that it was not waited for.
	Reload(ctx context.Context) ReloadResult
	// Ports and the other lists are in the order of the configuration, or of the
	// address where the configuration has none.
	Ports() []Port
	Routes() []Route
	Neighbors() []Neighbor
	Tunnels() []Tunnel
	// Sessions returns at most limit sessions that f matches, and how many it
	// matches in all. limit is 1 to MaxSessions.
	Sessions(f SessionFilter, limit int) (shown []Session, total int)
	// Drops returns every reason there is, counts of zero included, in the order
	// in which a packet meets them.
	Drops() []Drop
	// Config returns the effective configuration as YAML.
	Config() []byte
}
