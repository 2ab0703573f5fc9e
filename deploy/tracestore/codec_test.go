package tracestore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// TestCodec: what is decoded is what the SDK handed over, lists as their text.
func TestCodec(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("scope")
	ctx, parent := tracer.Start(context.Background(), "parent")
	for i := range 3 * maxDistinct { // beyond what the dictionary takes of one attribute
		_, span := tracer.Start(ctx, fmt.Sprint("name ", i),
			trace.WithSpanKind(trace.SpanKind(i%6)), trace.WithTimestamp(time.Unix(1_700_000_000, int64(i))),
			trace.WithLinks(trace.LinkFromContext(ctx, attribute.Bool("linked", true))),
			trace.WithAttributes(
				attribute.String("id", fmt.Sprint("id-", i)), attribute.String("topic", "orders.v1"), attribute.String("empty", ""),
				attribute.Int("n", -i), attribute.Float64("f", 1.5), attribute.Bool("yes", true), attribute.Bool("no", false),
				attribute.StringSlice("list", []string{"a", "b"}),
			))
		span.RecordError(errors.New("failed"))
		span.SetStatus(codes.Error, "because")
		span.End(trace.WithTimestamp(time.Unix(1_700_000_001, 7)))
	}
	parent.End()

	words := newDictionary()
	var encoded []byte
	for _, s := range recorder.Ended() {
		encoded = words.appendSpan(encoded, s)
	}
	r := decoder{words, encoded}
	for _, want := range recorder.Ended() {
		got := r.span(want.SpanContext().TraceID())
		if got.ID != want.SpanContext().SpanID() || got.Parent != want.Parent().SpanID() || got.Name != want.Name() || got.Kind != want.SpanKind() ||
			!got.Start.Equal(want.StartTime()) || !got.End.Equal(want.EndTime()) || got.Scope != "scope" || got.Status != want.Status() ||
			got.Service == "" || len(got.resource) == 0 {
			t.Fatalf("decoded %+v from %+v", got, want)
		}
		if d := cmp.Diff(text(want.Attributes()), text(got.Attributes)); d != "" {
			t.Fatal(d)
		}
		if len(got.Events) != len(want.Events()) || len(got.Links) != len(want.Links()) {
			t.Fatalf("decoded %d events and %d links", len(got.Events), len(got.Links))
		}
		for i, e := range want.Events() {
			if got.Events[i].Name != e.Name || !got.Events[i].Time.Equal(e.Time) || !cmp.Equal(text(got.Events[i].Attributes), text(e.Attributes)) {
				t.Fatalf("event %+v, want %+v", got.Events[i], e)
			}
		}
		for i, l := range want.Links() {
			if got.Links[i].SpanContext.SpanID() != l.SpanContext.SpanID() || got.Links[i].SpanContext.TraceID() != l.SpanContext.TraceID() || !cmp.Equal(text(got.Links[i].Attributes), text(l.Attributes)) {
				t.Fatalf("link %+v, want %+v", got.Links[i], l)
			}
		}
	}
	if len(r.b) != 0 {
		t.Errorf("%d bytes are left", len(r.b))
	}
	if len(words.texts) > 4*maxDistinct {
		t.Errorf("the dictionary has %d texts", len(words.texts))
	}
}

func text(attrs []attribute.KeyValue) []string {
	var out []string
	for _, kv := range attrs {
		out = append(out, string(kv.Key)+"="+kv.Value.String())
	}
	return out
}
