package registry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the registry counts.
type metrics struct {
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	conflicts prometheus.Counter
	subjects  prometheus.Gauge
	schemas   prometheus.Gauge
	offset    prometheus.Gauge
	skipped   prometheus.Gauge
}

func newMetrics(reg *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quokka_registry_requests_total", Help: "Requests by endpoint and HTTP status.",
		}, []string{"endpoint", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quokka_registry_request_seconds", Help: "Time to answer a request, by endpoint.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"endpoint"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quokka_registry_write_conflicts_total", Help: "Writes decided anew because another instance wrote first.",
		}),
		subjects: prometheus.NewGauge(prometheus.GaugeOpts{Name: "quokka_registry_subjects", Help: "Subjects, with soft-deleted ones."}),
		schemas:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "quokka_registry_schemas", Help: "Distinct schema ids in all contexts."}),
		offset:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "quokka_registry_applied_offset", Help: "Offset in the schemas topic up to which records are applied."}),
		skipped:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "quokka_registry_skipped_records", Help: "Records of the schemas topic that could not be understood or applied."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.latency, m.conflicts, m.subjects, m.schemas, m.offset, m.skipped} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(st *state) {
	m.subjects.Set(float64(len(st.subjects)))
	ids := 0
	for _, space := range st.contexts {
		ids += len(space.byID)
	}
	m.schemas.Set(float64(ids))
	m.offset.Set(float64(st.offset))
	m.skipped.Set(float64(st.skipped))
}

func (m *metrics) request(endpoint string, status int, took time.Duration) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(endpoint).Observe(took.Seconds())
}
