package outbox

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// spanRecorder is a tracer provider whose spans can be read.
type spanRecorder struct {
	*sdktrace.TracerProvider
	*tracetest.SpanRecorder
}

func newSpans() *spanRecorder {
	rec := tracetest.NewSpanRecorder()
	return &spanRecorder{sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)), rec}
}

// Shutdown and ForceFlush exist twice; the provider's are meant.
func (s *spanRecorder) Shutdown(ctx context.Context) error   { return s.TracerProvider.Shutdown(ctx) }
func (s *spanRecorder) ForceFlush(ctx context.Context) error { return s.TracerProvider.ForceFlush(ctx) }

// redelivered returns the spans that say that the event may have been sent before.
func (s *spanRecorder) redelivered() map[trace.SpanID]bool {
	out := map[trace.SpanID]bool{}
	for _, span := range s.Ended() {
		if slices.Contains(span.Attributes(), AttrRedelivered.Bool(true)) {
			out[span.SpanContext().SpanID()] = true
		}
	}
	return out
}

// sampled returns a context with the span of a request that is traced.
func sampled(ctx context.Context) context.Context { return withSpan(ctx, trace.FlagsSampled) }

func withSpan(ctx context.Context, flags trace.TraceFlags) context.Context {
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		panic(err)
	}
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5, 6}, TraceFlags: flags, TraceState: state,
	}))
}

func headersOf(r *kgo.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[h.Key] += string(h.Value)
	}
	return out
}

func TestTraceContext(t *testing.T) {
	stale := Header{Key: "traceparent", Value: []byte("caller's own")}
	tests := map[string]struct {
		ctx      func(context.Context) context.Context
		tracer   bool
		wantSpan bool
		want     map[string]string // where the relay opens no span
	}{
		"sampled":        {ctx: sampled, tracer: true, wantSpan: true},
		"no tracer":      {ctx: sampled, want: map[string]string{"traceparent": "00-01020300000000000000000000000000-0405060000000000-01", "tracestate": "vendor=1"}},
		"not sampled":    {ctx: func(ctx context.Context) context.Context { return withSpan(ctx, 0) }, tracer: true, want: map[string]string{"traceparent": "00-01020300000000000000000000000000-0405060000000000-00", "tracestate": "vendor=1"}},
		"no span at all": {ctx: func(ctx context.Context) context.Context { return ctx }, tracer: true, want: map[string]string{"traceparent": "caller's own"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			tl := e.tail(e.topic)
			spans := newSpans()
			cfg := e.config()
			if tt.tracer {
				cfg.Tracer = spans
			}
			r := e.run(cfg)
			ev := e.event("customer", 1)
			ev.Headers = []Header{stale, {Key: "ce_type", Value: []byte("x")}}
			tx, err := e.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := Write(tt.ctx(t.Context()), tx, ev); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			record := tl.await(t, 1)[0]
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			got := headersOf(record)
			if got["ce_type"] != "x" {
				t.Errorf("headers %v", got)
			}
			delete(got, "ce_type")
			if !tt.wantSpan {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if n := len(spans.Ended()); n != 0 {
					t.Errorf("%d spans", n)
				}
				return
			}
			checkSend(t, e, spans.Ended(), record)
		})
	}
}

// checkSend checks the one span of a publication.
func checkSend(t *testing.T, e *env, ended []sdktrace.ReadOnlySpan, record *kgo.Record) {
	t.Helper()
	if len(ended) != 1 {
		t.Fatalf("%d spans, want one", len(ended))
	}
	s := ended[0]
	if s.Name() != "send "+e.topic || s.SpanKind() != trace.SpanKindProducer {
		t.Errorf("span %q of kind %v", s.Name(), s.SpanKind())
	}
	if s.Parent().SpanID() != (trace.SpanID{4, 5, 6}) || s.SpanContext().TraceID() != (trace.TraceID{1, 2, 3}) || !s.Parent().IsRemote() {
		t.Errorf("parent %v, trace %v", s.Parent(), s.SpanContext().TraceID())
	}
	if got := spanOf(record); got != s.SpanContext().SpanID() {
		t.Errorf("the record names span %v, want the send span %v", got, s.SpanContext().SpanID())
	}
	if got := headersOf(record)["tracestate"]; got != "vendor=1" {
		t.Errorf("tracestate %q", got)
	}
	attrs := map[attribute.Key]string{}
	for _, kv := range s.Attributes() {
		attrs[kv.Key] = kv.Value.String()
	}
	delete(attrs, attrMessageID)
	want := map[attribute.Key]string{
		"messaging.system": "kafka", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": e.topic, "messaging.destination.partition.id": partitionID(record.Partition),
		"messaging.message.body.size": "1", "messaging.kafka.message.key": "customer", "messaging.kafka.offset": "0",
	}
	if diff := cmp.Diff(want, attrs); diff != "" {
		t.Error(diff)
	}
}
