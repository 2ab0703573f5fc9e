package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

func counter(t *testing.T, g prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A record produced inside a trace gets a send span and its context; one that
// carries a context keeps it. Two clients of a service share their metrics.
func TestKafkaOpts(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tel := newTelemetry(t, telemetry.Config{Service: "order", Exporter: exporter, Output: &bytes.Buffer{}})
	brokers := brokertest.Brokers(t)
	topic := kittest.Unique("send")
	for range 2 {
		opts, err := tel.KafkaOpts()
		if err != nil {
			t.Fatal(err)
		}
		client := kittest.Client(t, brokers, opts...)
		ctx, span := tel.Tracer.Tracer("test").Start(t.Context(), "request")
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("new")},
			&kgo.Record{Topic: topic, Value: []byte("carried"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(sampled)}}}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		span.End()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("untraced")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sends := map[string]bool{}
	for _, s := range exporter.GetSpans() {
		if s.Name == "send "+topic {
			if s.SpanKind != trace.SpanKindProducer || !s.Parent.IsValid() {
				t.Errorf("send span of kind %v with parent %v", s.SpanKind, s.Parent)
			}
			sends[s.SpanContext.SpanID().String()] = true
		}
	}
	if len(sends) != 4 {
		t.Errorf("%d send spans, want 4", len(sends))
	}
	for _, r := range kittest.ReadAll(t, brokers, topic) {
		var traceparent string
		for _, h := range r.Headers {
			if h.Key == "traceparent" {
				traceparent = string(h.Value)
			}
		}
		switch value := string(r.Value); value {
		case "new":
			if parts := strings.Split(traceparent, "-"); len(parts) != 4 || !sends[parts[2]] {
				t.Errorf("%s: traceparent %q is not of a send span", value, traceparent)
			}
		case "carried":
			if traceparent != sampled {
				t.Errorf("%s: traceparent %q, want its own", value, traceparent)
			}
		default:
			if traceparent != "" {
				t.Errorf("%s: traceparent %q", value, traceparent)
			}
		}
	}
	if n := counter(t, tel.Metrics, "messaging_client_sent_messages_total"); n != 6 {
		t.Errorf("%v sent messages counted, want 6", n)
	}
}

// plain encodes events as what a test can read.
type plain struct{ err error }

func (p plain) Encode(_ context.Context, _ string, e events.Event) ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	return events.Encode(e)
}

func TestShipper(t *testing.T) {
	brokers := brokertest.Brokers(t)
	var out bytes.Buffer
	tel := newTelemetry(t, telemetry.Config{Service: "order", Output: &out, Exporter: tracetest.NewInMemoryExporter()})
	topic := kittest.Unique("logs")
	shipper, err := tel.NewShipper(brokers, plain{}, kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	shipper.SetGrace(3 * time.Minute) // for a topic that has to be made first
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- shipper.Run(ctx) }()

	traced, span := tel.Tracer.Tracer("test").Start(t.Context(), "request")
	tel.Logger.With("part", "relay").WithGroup("order").WarnContext(traced, "stuck \xff", "id", 7, "at", time.Unix(0, 0), slog.Group("deep", "x", 1.5))
	span.End()
	tel.Logger.Debug("not shipped")
	tel.Local.Error("not shipped either")
	cancel() // what is queued is sent on the way out
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var got []*kgo.Record
	kittest.Eventually(t, "the line", func() bool { // the leader has it, consumers soon
		got = kittest.ReadAll(t, brokers, topic)
		return len(got) > 0
	})
	if len(got) != 1 || got[0].Key != nil {
		t.Fatalf("%d lines shipped, want 1 without key", len(got))
	}
	var line events.LogLine
	if err := events.Decode(got[0].Value, &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "WARN" || line.Service != "order" || line.Message != "stuck \uFFFD" || line.TraceID != span.SpanContext().TraceID().String() || line.SpanID == "" {
		t.Errorf("line %+v", line)
	}
	for key, want := range map[string]string{"part": "relay", "order.id": "7", "order.at": "1970-01-01T00:00:00Z", "order.deep.x": "1.5"} {
		if line.Attributes[key] != want {
			t.Errorf("attribute %s is %q, want %q", key, line.Attributes[key], want)
		}
	}
	if len(line.Attributes) != 4 {
		t.Errorf("attributes %v", line.Attributes)
	}
}

// Whatever is wrong with the way to Kafka, logging goes on, and what is lost is
// counted and said once, on the output only.
func TestShipperNeverBlocks(t *testing.T) {
	var out bytes.Buffer
	tel := newTelemetry(t, telemetry.Config{Service: "order", Output: &out})
	shipper, err := tel.NewShipper([]string{"127.0.0.1:1"}, plain{err: errors.New("registry away")})
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 { // nobody ships yet: the queue takes 4096
		tel.Logger.Info("line")
	}
	if n := counter(t, tel.Metrics, "quokka_log_lines_dropped_total"); n != 5000-4096 {
		t.Errorf("%v dropped, want %d", n, 5000-4096)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shipper.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := counter(t, tel.Metrics, "quokka_log_lines_dropped_total"); n != 5000 {
		t.Errorf("%v dropped, want all 5000", n)
	}
	if n := strings.Count(out.String(), "registry away"); n != 1 {
		t.Errorf("said %d times, want once", n)
	}
}
