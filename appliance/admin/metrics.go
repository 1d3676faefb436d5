package admin

import (
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsHandler serves the gateway's and the Go runtime's metrics at /metrics.
func metricsHandler(g Gateway) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(g), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4,
	}))
	return withoutBody(mux)
}

// A reading is what one scrape asks of the gateway, once.
type reading struct {
	Status
	ports   []Port
	tunnels []Tunnel
	drops   []Drop
}

// A Metric is one line of the table of metrics.
type Metric struct {
	Name, Help string
	Labels     []string
	Counter    bool // else a gauge
	// read gives each value with those of its labels.
	read func(r *reading, emit func(v float64, labels ...string))
}

// Metrics returns the table of metrics, in the order of the README.
func Metrics() []Metric {
	return append(append(gatewayMetrics(), workerMetrics()...), itemMetrics()...)
}

func gatewayMetrics() []Metric {
	return []Metric{
		gauge("vra_build_info", "1, with the program's version and Go's.", func(r *reading, emit emitter) {
			emit(1, r.Version, runtime.Version())
		}, "version", "go"),
		gauge("vra_start_time_seconds", "When the gateway started, in seconds since 1970.", func(r *reading, emit emitter) {
			emit(float64(r.Started.UnixMilli()) / 1000)
		}),
		gauge("vra_config_generation", "Number of the configuration in force.", func(r *reading, emit emitter) {
			emit(float64(r.Generation))
		}),
		counter("vra_reloads_total", "Reloads by result: applied or refused.", func(r *reading, emit emitter) {
			emit(float64(r.Reloads.Applied), "applied")
			emit(float64(r.Reloads.Refused), "refused")
		}, "result"),
		gauge("vra_last_reload_ok", "1 if the last reload was applied, or none was asked for; 0 if it was refused.", func(r *reading, emit emitter) {
			emit(number(r.LastReload.OK || r.LastReload.Time.IsZero()))
		}),
		gauge("vra_last_reload_time_seconds", "When the last reload ended, in seconds since 1970; 0 before the first.", func(r *reading, emit emitter) {
			if t := r.LastReload.Time; !t.IsZero() {
				emit(float64(t.UnixMilli()) / 1000)
			} else {
				emit(0)
			}
		}),
		usage("vra_neighbors", "Neighbors known", func(r *reading) int { return r.Neighbors.Used }),
		usage("vra_neighbors_limit", "Neighbors there is room for", func(r *reading) int { return r.Neighbors.Limit }),
		usage("vra_sessions_limit", "Sessions there is room for", func(r *reading) int { return r.Sessions.Limit }),
		usage("vra_fragmented_datagrams", "Datagrams whose fragments are tracked", func(r *reading) int { return r.Fragments.Used }),
		usage("vra_fragmented_datagrams_limit", "Datagrams there is room for", func(r *reading) int { return r.Fragments.Limit }),
		usage("vra_routes", "Routes of all tables", func(r *reading) int { return r.Routes }),
		gauge("vra_packets_unaccounted", "Packets that came in less those sent, delivered, held and given up: 0 but for those under way.", func(r *reading, emit emitter) {
			emit(float64(r.Packets.Unaccounted()))
		}),
		counter("vra_drops_total", "Packets given up, by reason.", func(r *reading, emit emitter) {
			for _, d := range r.drops {
				emit(float64(d.Count), d.Reason)
			}
		}, "reason"),
	}
}

func workerMetrics() []Metric {
	return []Metric{
		perWorker("vra_worker_packets_in_total", "Packets that came in.", true, func(w *Worker) float64 { return float64(w.Packets.In) }),
		perWorker("vra_worker_packets_out_total", "Packets sent.", true, func(w *Worker) float64 { return float64(w.Packets.Out) }),
		perWorker("vra_worker_packets_local_total", "Packets delivered to the gateway itself.", true, func(w *Worker) float64 { return float64(w.Packets.Local) }),
		perWorker("vra_worker_packets_dropped_total", "Packets given up.", true, func(w *Worker) float64 { return float64(w.Packets.Dropped) }),
		perWorker("vra_worker_packets_made_total", "Packets of the gateway's own, part of those that came in.", true, func(w *Worker) float64 { return float64(w.Packets.Made) }),
		perWorker("vra_worker_packets_held", "Packets that wait for a neighbor or for fragments.", false, func(w *Worker) float64 { return float64(w.Packets.Held) }),
		perWorker("vra_worker_handovers_total", "Packets given to the worker that owns their flow.", true, func(w *Worker) float64 { return float64(w.HandedOver) }),
		perWorker("vra_worker_panics_total", "Faults of the program's own that the worker survived.", true, func(w *Worker) float64 { return float64(w.Panics) }),
		perWorker("vra_sessions", "Sessions that live.", false, func(w *Worker) float64 { return float64(w.Sessions) }),
	}
}

func itemMetrics() []Metric {
	return []Metric{
		gaugePerPort("vra_port_up", "1 if the port's device carries frames.", func(p *Port) float64 { return number(p.Up) }),
		perPort("vra_port_rx_packets_total", "Frames received.", func(p *Port) uint64 { return p.RxPackets }),
		perPort("vra_port_rx_bytes_total", "Bytes received.", func(p *Port) uint64 { return p.RxBytes }),
		perPort("vra_port_tx_packets_total", "Frames sent.", func(p *Port) uint64 { return p.TxPackets }),
		perPort("vra_port_tx_bytes_total", "Bytes sent.", func(p *Port) uint64 { return p.TxBytes }),
		perPort("vra_port_rx_missed_total", "Frames for which the kernel or the device had no room.", func(p *Port) uint64 { return p.RxMissed }),
		perPort("vra_port_tx_refused_total", "Frames that the device did not take.", func(p *Port) uint64 { return p.TxRefused }),
		perPort("vra_port_dropped_total", "Packets that came in here and were given up.", func(p *Port) uint64 { return p.Dropped }),
		perPeer("vra_tunnel_rx_packets_total", "Packets taken out of the tunnel.", true, func(w *TunnelWorker) float64 { return float64(w.RxPackets) }),
		perPeer("vra_tunnel_tx_packets_total", "Packets sent through the tunnel.", true, func(w *TunnelWorker) float64 { return float64(w.TxPackets) }),
		perPeer("vra_tunnel_dropped_total", "Packets of the tunnel given up.", true, func(w *TunnelWorker) float64 { return float64(w.Dropped) }),
		perPeer("vra_tunnel_reachable", "1 unless the way to the worker was reported broken.", false, func(w *TunnelWorker) float64 { return number(w.Reachable) }),
		perPeer("vra_tunnel_mtu_bytes", "MTU learned of the way to the worker; 0 if none was.", false, func(w *TunnelWorker) float64 { return float64(w.MTU) }),
	}
}

type emitter = func(v float64, labels ...string)

func gauge(name, help string, read func(*reading, emitter), labels ...string) Metric {
	return Metric{Name: name, Help: help, Labels: labels, read: read}
}

func counter(name, help string, read func(*reading, emitter), labels ...string) Metric {
	return Metric{Name: name, Help: help, Labels: labels, Counter: true, read: read}
}

func usage(name, help string, get func(*reading) int) Metric {
	return gauge(name, help+".", func(r *reading, emit emitter) { emit(float64(get(r))) })
}

func perWorker(name, help string, isCounter bool, get func(*Worker) float64) Metric {
	return Metric{name, help, []string{"worker"}, isCounter, func(r *reading, emit emitter) {
		for i := range r.Workers {
			emit(get(&r.Workers[i]), strconv.Itoa(r.Workers[i].Worker))
		}
	}}
}

func gaugePerPort(name, help string, get func(*Port) float64) Metric {
	return gauge(name, help, func(r *reading, emit emitter) {
		for i := range r.ports {
			emit(get(&r.ports[i]), r.ports[i].Name)
		}
	}, "port")
}

func perPort(name, help string, get func(*Port) uint64) Metric {
	m := gaugePerPort(name, help, func(p *Port) float64 { return float64(get(p)) })
	m.Counter = true
	return m
}

func perPeer(name, help string, isCounter bool, get func(*TunnelWorker) float64) Metric {
	return Metric{name, help, []string{"tunnel", "worker"}, isCounter, func(r *reading, emit emitter) {
		for i := range r.tunnels {
			for j := range r.tunnels[i].Workers {
				w := &r.tunnels[i].Workers[j]
				emit(get(w), r.tunnels[i].Name, w.Name)
			}
		}
	}}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
