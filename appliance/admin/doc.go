// Package admin shows a running gateway to its operator: an HTTP/JSON interface
// over a unix socket, its client, and Prometheus metrics over a loopback listener.
//
// It stands beside the path and never on it. A running gateway implements Gateway,
// whose methods are called from the goroutines of HTTP requests, several at once;
// they sum per-worker counters when asked, so nothing is kept up to date per packet.
//
// Who may open the socket may do everything: the file's mode (0600, or 0660 with a
// configured group) is the only access control. The metrics listener serves GET
// /metrics and nothing else.
//
// The interface, with the views of view.go as JSON:
//
//	GET  /v1/status      Status
//	GET  /v1/ports       []Port
//	GET  /v1/routes      []Route
//	GET  /v1/neighbors   []Neighbor
//	GET  /v1/tunnels     []Tunnel
//	GET  /v1/sessions    SessionList; the filters of SessionFilter as query
//	GET  /v1/drops       []Drop
//	GET  /v1/config      the effective configuration, YAML
//	POST /v1/reload      ReloadResult, once the reload is done
//
// An error is {"error": text} with a status of 400 or above. A refused reload is no
// error here: it is a ReloadResult whose OK is false.
package admin
