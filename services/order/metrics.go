package order

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// metrics counts what becomes of orders.
type metrics struct {
	reached *prometheus.CounterVec
	settled *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reached: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quokka_orders_total",
			Help: "Orders that reached a status: pending, confirmed, rejected, cancelled.",
		}, []string{"status"}),
		settled: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quokka_order_settle_seconds",
			Help:    "Time from accepting an order to confirming or rejecting it.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"status"}),
	}
	// Rates need a first value of every status.
	for _, s := range []Status{Pending, Confirmed, Rejected, Cancelled} {
		m.reached.WithLabelValues(string(s))
	}
	if err := reg.Register(m.reached); err != nil {
		return nil, err
	}
	return m, reg.Register(m.settled)
}

// changed counts a change that has been committed. How long a customer took to
// cancel says nothing about the platform.
func (m *metrics) changed(ctx context.Context, o State) {
	m.reached.WithLabelValues(string(o.Status)).Inc()
	if o.Status != Confirmed && o.Status != Rejected {
		return
	}
	h := m.settled.WithLabelValues(string(o.Status))
	took := max(o.UpdatedAt.Sub(o.CreatedAt), time.Duration(0)).Seconds()
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		h.(prometheus.ExemplarObserver).ObserveWithExemplar(took, prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	h.Observe(took)
}
