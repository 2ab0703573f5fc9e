package tracequery

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/deploy/tracestore"
)

// backend is a store behind HTTP, and a way to make spans in it.
type backend struct {
	Client
	store *tracestore.Store
}

func newBackend(t *testing.T) *backend {
	store := tracestore.New(tracestore.Config{})
	server := httptest.NewServer(store.Handler())
	t.Cleanup(server.Close)
	return &backend{Client{URL: server.URL}, store}
}

func (b *backend) span(ctx context.Context, service, name string, kind trace.SpanKind, linked bool) (context.Context, trace.Span) {
	opts := []trace.SpanStartOption{trace.WithSpanKind(kind)}
	if linked {
		opts = append(opts, trace.WithLinks(trace.LinkFromContext(ctx)))
	}
	return sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.store), //nolint:spancheck // the caller ends it
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(service)))).Tracer("t").Start(ctx, name, opts...)
}

func TestShapeOfATrace(t *testing.T) {
	b := newBackend(t)
	ctx, root := b.span(t.Context(), "order", "POST /orders", trace.SpanKindServer, false)
	sql, insert := b.span(ctx, "order", "insert", trace.SpanKindClient, false)
	sql, send := b.span(sql, "order", "send orders.v1", trace.SpanKindProducer, false)
	_, process := b.span(sql, "inventory", "process orders.v1", trace.SpanKindConsumer, true)
	for _, s := range []trace.Span{process, send, insert, root} {
		s.End()
	}
	got, err := b.Settled(t.Context(), root.SpanContext().TraceID().String(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if problems := got.Problems(); problems != nil {
		t.Errorf("problems: %v", problems)
	}
	tree := got.Tree()
	if len(tree) != 4 || tree[3].Depth != 3 || tree[3].Service != "inventory" || tree[3].Kind != "consumer" {
		t.Errorf("tree: %+v", tree)
	}
	// The SQL between is passed over.
	if n := got.Hops()[Hop{"order: POST /orders", "order: send orders.v1"}]; n != 1 {
		t.Errorf("hops: %v", got.Hops())
	}
	missing := got.Missing(OrderHops())
	if len(missing) != 6 || !slices.Contains(missing, "order: send orders.v1 → inventory: process orders.v1: 1 times, want 2") {
		t.Errorf("missing: %v", missing)
	}
}

func TestProblems(t *testing.T) {
	b := newBackend(t)
	ctx, root := b.span(t.Context(), "order", "never ended", trace.SpanKindServer, false)
	_, process := b.span(ctx, "inventory", "process orders.v1", trace.SpanKindConsumer, false)
	process.SetStatus(codes.Error, "boom")
	process.End()
	got, err := b.Get(t.Context(), root.SpanContext().TraceID().String())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got.Problems(), "\n")
	for _, want := range []string{"that is not in the trace", "ended in an error: boom", "not linked", "0 roots"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in:\n%s", want, all)
		}
	}
}

func TestUnknownTrace(t *testing.T) {
	b := newBackend(t)
	if _, err := b.Get(t.Context(), strings.Repeat("1", 32)); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Settled(ctx, strings.Repeat("1", 32), time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
