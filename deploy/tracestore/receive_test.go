package tracestore

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TestReceive: what another process exports by OTLP/HTTP, the store has as if it
// had been exported here.
func TestReceive(t *testing.T) {
	store := New(Config{})
	server := httptest.NewServer(store.Handler())
	defer server.Close()
	for _, compression := range []otlptracehttp.Compression{otlptracehttp.NoCompression, otlptracehttp.GzipCompression} {
		exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"), otlptracehttp.WithCompression(compression), otlptracehttp.WithTimeout(3*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "elsewhere"))))
		ctx, root := provider.Tracer("scope").Start(t.Context(), "root", trace.WithSpanKind(trace.SpanKindServer))
		_, child := provider.Tracer("scope").Start(ctx, "child", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(trace.LinkFromContext(ctx)),
			trace.WithAttributes(attribute.Int("n", 7), attribute.Bool("b", true), attribute.Float64("f", 0.5), attribute.String("s", "text")))
		child.RecordError(errors.New("boom"))
		child.SetStatus(codes.Error, "boom")
		child.End()
		root.End()
		if err := provider.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		got, ok := store.Trace(root.SpanContext().TraceID())
		if !ok || len(got.Spans) != 2 {
			t.Fatalf("%v: stored %v, %+v", compression, ok, got)
		}
		s := got.Spans[1]
		if s.Name != "child" || s.Service != "elsewhere" || s.Scope != "scope" || s.Kind != trace.SpanKindConsumer || s.Parent != root.SpanContext().SpanID() ||
			s.Status.Description != "boom" || !s.Failed() || len(s.Events) != 1 || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != s.Parent ||
			s.Start.IsZero() || s.Duration() > time.Minute {
			t.Errorf("%v: %+v", compression, s)
		}
		want := attribute.NewSet(attribute.Int("n", 7), attribute.Bool("b", true), attribute.Float64("f", 0.5), attribute.String("s", "text"))
		if got := attribute.NewSet(s.Attributes...); !got.Equals(&want) {
			t.Errorf("%v: attributes %v", compression, s.Attributes)
		}
	}
}

func TestReceiveRefuses(t *testing.T) {
	handler := New(Config{}).Handler()
	for _, c := range []struct {
		name, kind, encoding string
		body                 []byte
		want                 int
	}{
		{"JSON", "application/json", "", []byte("{}"), http.StatusUnsupportedMediaType},
		{"nonsense", "application/x-protobuf", "", []byte("nonsense"), http.StatusBadRequest},
		{"what is not packed", "application/x-protobuf", "gzip", []byte("nonsense"), http.StatusBadRequest},
		{"ids that are none", "application/x-protobuf", "", []byte{0x0a, 4, 0x12, 2, 0x12, 0}, http.StatusBadRequest},
		{"too much", "application/x-protobuf", "", bytes.Repeat([]byte{0}, maxReceived+1), http.StatusRequestEntityTooLarge},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("Content-Encoding", c.encoding)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
	}
}
