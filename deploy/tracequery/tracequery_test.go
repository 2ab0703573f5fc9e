package tracequery

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	got, err := b.Await(t.Context(), root.SpanContext().TraceID().String(), time.Minute, func(t Trace) bool { return len(t.Spans) == 4 })
	if err != nil {
		t.Fatal(err)
	}
	tree := got.Tree()
	if len(tree) != 4 || tree[3].Depth != 3 || tree[3].Service != "inventory" || tree[3].Kind != "consumer" {
		t.Errorf("tree: %+v", tree)
	}
	// The SQL between is passed over.
	if n := got.Hops()[Hop{"order: POST /orders", "order: send orders.v1"}]; n != 1 {
		t.Errorf("hops: %v", got.Hops())
	}
}

func TestUnknownTrace(t *testing.T) {
	b := newBackend(t)
	if _, err := b.Get(t.Context(), strings.Repeat("1", 32)); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Await(ctx, strings.Repeat("1", 32), time.Minute, func(Trace) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// It is given up once it has not grown for long enough.
	if _, err := b.Await(t.Context(), strings.Repeat("1", 32), time.Nanosecond, func(Trace) bool { return true }); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// slowly answers each request after a while.
type slowly struct {
	handler http.Handler
	while   func() time.Duration
}

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.while())
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestMachineStoodStill: who sends the spans did so too, and sends them later.
func TestMachineStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{store: tracestore.New(tracestore.Config{})}
		_, root := b.span(t.Context(), "order", "POST /orders", trace.SpanKindServer, false)
		asked := 0
		b.Client = Client{URL: "http://traces", HTTP: &http.Client{Transport: slowly{b.store.Handler(), func() time.Duration {
			switch asked++; asked {
			case 2:
				return time.Minute
			case 4:
				root.End()
			}
			return 0
		}}}}
		got, err := b.Await(t.Context(), root.SpanContext().TraceID().String(), 5*time.Second, func(t Trace) bool { return len(t.Spans) == 1 })
		if err != nil || len(got.Spans) != 1 {
			t.Errorf("%+v, %v, after %d requests", got, err, asked)
		}
	})
}
