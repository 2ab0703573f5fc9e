package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func record(traceparent string) *kgo.Record {
	r := &kgo.Record{Topic: "orders.v1", Partition: 3, Offset: 42, Key: []byte("customer"), Value: []byte("abc"), Headers: []kgo.RecordHeader{{Key: "ce_subject", Value: []byte("order-1")}}}
	if traceparent != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte(traceparent)})
	}
	return r
}

func TestStartProcess(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	_, first := telemetry.StartProcess(t.Context(), tracer, record(sampled), telemetry.Process{Group: "inventory", MessageID: "e1", Attempt: 1})
	first.End()
	_, second := telemetry.StartProcess(t.Context(), tracer, record(sampled), telemetry.Process{Group: "inventory", MessageID: "e1", Attempt: 2, LastAttempt: first.SpanContext()})
	second.End()
	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want 2", len(ended))
	}
	for i, s := range ended {
		if s.Name() != "process orders.v1" || s.SpanKind() != trace.SpanKindConsumer {
			t.Errorf("span %q of kind %v", s.Name(), s.SpanKind())
		}
		if s.Parent().SpanID().String() != "b7ad6b7169203331" || s.SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("parent %v", s.Parent())
		}
		if links := s.Links(); len(links) != i+1 || links[0].SpanContext.SpanID() != s.Parent().SpanID() {
			t.Errorf("attempt %d has links %v; want the send context, and the attempt before", i+1, links)
		}
		got := map[attribute.Key]string{}
		for _, a := range s.Attributes() {
			got[a.Key] = a.Value.String()
		}
		for key, want := range map[attribute.Key]string{
			"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
			"messaging.destination.name": "orders.v1", "messaging.destination.partition.id": "3", "messaging.kafka.offset": "42",
			"messaging.kafka.message.key": "customer", "messaging.consumer.group.name": "inventory", "messaging.message.id": "e1",
			"messaging.message.conversation_id": "order-1", "messaging.message.body.size": "3", "quokka.delivery.attempt": fmt.Sprint(i + 1),
		} {
			if got[key] != want {
				t.Errorf("attribute %s is %q, want %q", key, got[key], want)
			}
		}
	}
}

// With Link the span begins a trace of its own, and what it leads to is in there.
func TestStartProcessLinked(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	ctx, span := telemetry.StartProcess(t.Context(), tracer, record(sampled), telemetry.Process{Group: "inventory", MessageID: "e1", Attempt: 1, Parentage: telemetry.Link})
	if got := trace.SpanContextFromContext(ctx); !got.Equal(span.SpanContext()) {
		t.Errorf("the context has %v, want the span's", got)
	}
	span.End()
	s := spans.Ended()[0]
	if s.Parent().IsValid() || s.SpanContext().TraceID().String() == "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("parent %v, trace %v", s.Parent(), s.SpanContext().TraceID())
	}
	if links := s.Links(); len(links) != 1 || links[0].SpanContext.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("links %v, want one to the send context", links)
	}
}

func TestParentage(t *testing.T) {
	for text, ok := range map[string]bool{"parent": true, "link": true, "": false, "both": false} {
		var p telemetry.Parentage
		if err := p.UnmarshalText([]byte(text)); (err == nil) != ok || ok && string(p) != text {
			t.Errorf("%q: %q, %v", text, p, err)
		}
	}
}

// Records outside a sampled trace make no traces of their own.
func TestStartProcessOutsideATrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	for _, traceparent := range []string{"", "garbage", sampled[:len(sampled)-1] + "0"} {
		ctx, span := telemetry.StartProcess(t.Context(), tracer, record(traceparent), telemetry.Process{})
		span.End()
		if trace.SpanContextFromContext(ctx).IsSampled() {
			t.Errorf("%q: the handler's context is sampled", traceparent)
		}
	}
	_, batch := telemetry.StartBatch(t.Context(), tracer, "logs.v1", "g", []trace.Span{trace.SpanFromContext(context.Background())})
	batch.End()
	if n := len(spans.Ended()); n != 0 {
		t.Errorf("%d spans, want none", n)
	}
}

// A batch's span only links.
func TestStartBatch(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	_, one := telemetry.StartProcess(t.Context(), tracer, record(sampled), telemetry.Process{})
	_, none := telemetry.StartProcess(t.Context(), tracer, record(""), telemetry.Process{})
	_, batch := telemetry.StartBatch(t.Context(), tracer, "orders.v1", "search-sync", []trace.Span{one, none})
	batch.End()
	s := spans.Ended()[0]
	if s.Parent().IsValid() || len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != one.SpanContext().SpanID() {
		t.Errorf("parent %v, links %v; want no parent and one link", s.Parent(), s.Links())
	}
	one.End()
}

func TestErrorType(t *testing.T) {
	err := fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", errors.New("x")))
	if got := telemetry.ErrorType(err).Value.AsString(); got != "*errors.errorString" {
		t.Errorf("error.type %q", got)
	}
}
