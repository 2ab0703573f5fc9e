package outbox

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the relay tells Prometheus.
type metrics struct {
	published   *prometheus.CounterVec
	redelivered prometheus.Counter
	errors      prometheus.Counter
	rotations   prometheus.Counter
	pending     prometheus.Gauge
	leader      prometheus.Gauge

	// oldest is when the oldest event known to be waiting was written, in Unix
	// nanoseconds; 0 = none waits.
	oldest atomic.Int64
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "outbox", Name: name, Help: help}
	}
	m := &metrics{
		published:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("published_total", "Events acknowledged by Kafka.")), []string{"topic"}),
		redelivered: prometheus.NewCounter(prometheus.CounterOpts(opts("redelivered_total", "Events sent although they may have been sent before, after a fault."))),
		errors:      prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Failures to read or publish, each followed by another attempt."))),
		rotations:   prometheus.NewCounter(prometheus.CounterOpts(opts("rotations_total", "Event tables emptied."))),
		pending:     prometheus.NewGauge(prometheus.GaugeOpts(opts("pending_rows", "Events waiting to be published, counted every few seconds, up to 100000."))),
		leader:      prometheus.NewGauge(prometheus.GaugeOpts(opts("leader", "1 while this relay holds the lease, 0 while it stands by."))),
	}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("lag_seconds", "Age of the oldest event known to be waiting; 0 if none waits.")), func() float64 {
		if t := m.oldest.Load(); t != 0 {
			return max(0, time.Since(time.Unix(0, t)).Seconds())
		}
		return 0
	})
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.published, m.redelivered, m.errors, m.rotations, m.pending, m.leader, lag} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
