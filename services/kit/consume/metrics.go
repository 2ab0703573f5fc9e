package consume

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// metrics are the consumer's Prometheus metrics.
type metrics struct {
	group        string
	records      *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	held         prometheus.Gauge
	heldBytes    prometheus.Gauge
	running      prometheus.Gauge
	parkedKeys   prometheus.Gauge
	lag          *prometheus.GaugeVec
	lagSeconds   *prometheus.GaugeVec
	commitErrors prometheus.Counter
	rebalances   *prometheus.CounterVec
}

// How a member's partitions change.
const (
	rebalanceAssigned = "assigned"
	rebalanceRevoked  = "revoked"
	rebalanceLost     = "lost"
)

func newMetrics(group string, reg prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"group": group}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		group: group,
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quokka_consumer_records_total", ConstLabels: labels,
			Help: "Attempts by how they ended: handled, duplicate, unhandled, retried, dead_lettered, stopped.",
		}, []string{"topic", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "messaging_process_duration_seconds", ConstLabels: labels,
			Help:    "Duration of one attempt to handle a record, or a batch.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"topic"}),
		held:       gauge("quokka_consumer_held_records", "Records fetched and not done."),
		heldBytes:  gauge("quokka_consumer_held_bytes", "Bytes of the records fetched and not done."),
		running:    gauge("quokka_consumer_running", "Records or batches being handled."),
		parkedKeys: gauge("quokka_consumer_parked_keys", "Keys that wait to be tried again."),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quokka_consumer_lag_records", ConstLabels: labels,
			Help: "Records between the watermark and the end of the partition.",
		}, []string{"topic", "partition"}),
		lagSeconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quokka_consumer_lag_seconds", ConstLabels: labels,
			Help: "Age of the oldest record fetched and not done; 0 if there is none.",
		}, []string{"topic", "partition"}),
		commitErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quokka_consumer_commit_errors_total", ConstLabels: labels,
			Help: "Offset commits that failed; their offsets are committed with the next.",
		}),
		rebalances: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quokka_consumer_rebalances_total", ConstLabels: labels,
			Help: "Changes of the partitions this member has, by kind: assigned, revoked, lost.",
		}, []string{"kind"}),
	}
	// Rates need a first value.
	for _, kind := range []string{rebalanceAssigned, rebalanceRevoked, rebalanceLost} {
		m.rebalances.WithLabelValues(kind)
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.rebalances, m.records, m.duration, m.held, m.heldBytes, m.running, m.parkedKeys, m.lag, m.lagSeconds, m.commitErrors} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// expect lets the failures of a topic count from zero: the first dead letter is
// an increase only if there was a value before it.
func (m *metrics) expect(topic string) {
	for _, outcome := range []string{outcomeRetried, outcomeDeadLettered, outcomeStopped} {
		m.records.WithLabelValues(topic, outcome)
	}
}

func (m *metrics) processed(topic, outcome string, took time.Duration, sc trace.SpanContext) {
	m.records.WithLabelValues(topic, outcome).Inc()
	h := m.duration.WithLabelValues(topic)
	if sc.IsSampled() {
		h.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	h.Observe(took.Seconds())
}

// observe brings the gauges up to date. It runs in the engine.
func (m *metrics) observe(s *scheduler, parts map[string]map[int32]*live) {
	m.held.Set(float64(s.held))
	m.heldBytes.Set(float64(s.bytes))
	m.running.Set(float64(s.running))
	m.parkedKeys.Set(float64(len(s.parked)))
	m.lag.Reset()
	m.lagSeconds.Reset()
	now := time.Now()
	for topic, ps := range parts {
		for p, l := range ps {
			partition := strconv.Itoa(int(p))
			if next, _, ok := l.tracker.watermark(); ok {
				m.lag.WithLabelValues(topic, partition).Set(float64(max(0, l.highWater-next)))
			} else {
				m.lag.WithLabelValues(topic, partition).Set(float64(l.tracker.window()))
			}
			age := 0.0
			if millis, ok := l.tracker.oldest(); ok {
				age = max(0, now.Sub(time.UnixMilli(millis)).Seconds())
			}
			m.lagSeconds.WithLabelValues(topic, partition).Set(age)
		}
	}
}
