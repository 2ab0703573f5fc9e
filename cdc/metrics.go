package cdc

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quokka-stream/quokka/schemas/debezium"
)

// metrics are the relay's, shared by its sources.
type metrics struct {
	rows            *prometheus.CounterVec // source, table, op
	unrepresentable *prometheus.CounterVec // source, table
	stopped         *prometheus.GaugeVec   // source, table
	transactions    *prometheus.CounterVec // source
	errors          *prometheus.CounterVec // source, kind
	spilled         *prometheus.CounterVec // source
	buffered        *prometheus.GaugeVec   // source
	lagBytes        *prometheus.GaugeVec   // source
	lagSeconds      *prometheus.GaugeVec   // source
	position        *prometheus.GaugeVec   // source
	status          *prometheus.GaugeVec   // source, state
	snapshotRows    *prometheus.GaugeVec   // source, table
	snapshotTotal   *prometheus.GaugeVec   // source, table
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	var errs []error
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "quokka", Subsystem: "cdc", Name: name, Help: help}, append([]string{"source"}, labels...))
		errs = append(errs, r.Register(v))
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "quokka", Subsystem: "cdc", Name: name, Help: help}, append([]string{"source"}, labels...))
		errs = append(errs, r.Register(v))
		return v
	}
	m := &metrics{
		rows:            counter("rows_total", "Changes handed to the Kafka client, by operation.", "table", "op"),
		unrepresentable: counter("unrepresentable_values_total", "Changes with a value that Avro cannot hold, written as null.", "table"),
		stopped:         gauge("table_stopped", "1 while a table is stopped and the slot keeps its changes.", "table"),
		transactions:    counter("transactions_total", "Committed transactions received."),
		errors:          counter("errors_total", "Sessions that ended with an error, by kind.", "kind"),
		spilled:         counter("spilled_bytes_total", "Bytes of open transactions written to disk."),
		buffered:        gauge("buffered_bytes", "Bytes of transactions held in memory."),
		lagBytes:        gauge("slot_lag_bytes", "Log that the server has written and the slot has not confirmed."),
		lagSeconds:      gauge("slot_lag_seconds", "Age of the oldest transaction received and not acknowledged by the broker."),
		position:        gauge("confirmed_lsn", "The position confirmed to the server."),
		status:          gauge("state", "1 for the state the source is in.", "state"),
		snapshotRows:    gauge("snapshot_rows", "Rows read by the latest snapshot of a table.", "table"),
		snapshotTotal:   gauge("snapshot_rows_expected", "The server's estimate of a table's rows when its snapshot began.", "table"),
	}
	return m, errors.Join(errs...)
}

// tableMetrics are a table's, looked up once.
type tableMetrics struct {
	ops             map[debezium.Op]prometheus.Counter
	unrepresentable prometheus.Counter
	stopped         prometheus.Gauge
	snapshotRows    prometheus.Gauge
	snapshotTotal   prometheus.Gauge
}

func (m *metrics) table(source, table string) tableMetrics {
	t := tableMetrics{
		ops:             map[debezium.Op]prometheus.Counter{},
		unrepresentable: m.unrepresentable.WithLabelValues(source, table),
		stopped:         m.stopped.WithLabelValues(source, table),
		snapshotRows:    m.snapshotRows.WithLabelValues(source, table),
		snapshotTotal:   m.snapshotTotal.WithLabelValues(source, table),
	}
	for _, op := range []debezium.Op{debezium.Read, debezium.Create, debezium.Update, debezium.Delete, debezium.Truncate} {
		t.ops[op] = m.rows.WithLabelValues(source, table, string(op))
	}
	t.stopped.Set(0)
	return t
}

func (t tableMetrics) rows(op debezium.Op) prometheus.Counter { return t.ops[op] }
