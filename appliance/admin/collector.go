package admin

import "github.com/prometheus/client_golang/prometheus"

// A collector reads the gateway when Prometheus scrapes, and never in between.
type collector struct {
	gateway Gateway
	metrics []Metric
	descs   []*prometheus.Desc // of metrics, by index
}

func newCollector(g Gateway) *collector {
	c := &collector{gateway: g, metrics: Metrics()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	r := reading{c.gateway.Status(), c.gateway.Ports(), c.gateway.Tunnels(), c.gateway.Drops()}
	for i, m := range c.metrics {
		kind := prometheus.GaugeValue
		if m.Counter {
			kind = prometheus.CounterValue
		}
		m.read(&r, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], kind, v, labels...)
		})
	}
}
