package consume

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestFailuresCountFromZero: an alert on the increase of dead letters sees the
// first one, because the counter was there before it.
func TestFailuresCountFromZero(t *testing.T) {
	registry := prometheus.NewRegistry()
	c, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Group: "g", Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	c.OnMessage("orders.v1", func(context.Context, *Message) error { return nil })
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "quokka_consumer_records_total" {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "outcome" {
					values[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	for _, outcome := range []string{outcomeRetried, outcomeDeadLettered, outcomeStopped} {
		if n, ok := values[outcome]; !ok || n != 0 {
			t.Errorf("before any record %s is %v, there: %v; want 0", outcome, n, ok)
		}
	}
}
