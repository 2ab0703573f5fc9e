package tracestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

func tracer(s *Store, service string) trace.Tracer {
	return sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(s),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(service))),
	).Tracer("test")
}

// order makes the trace of an order: a request in one service, a linked child in another.
func order(s *Store, number int) trace.TraceID {
	ctx, root := tracer(s, "order").Start(context.Background(), "POST /orders",
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.Int("http.status", 202), attribute.String("order.id", fmt.Sprint("o-", number))))
	_, child := tracer(s, "inventory").Start(ctx, "process orders.v1",
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(trace.Link{SpanContext: root.SpanContext()}))
	child.RecordError(errors.New("<no stock>"))
	child.SetStatus(codes.Error, "<no stock>")
	child.End()
	root.End()
	return root.SpanContext().TraceID()
}

func get(t *testing.T, s *Store, path string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("GET %s: %v in %s", path, err, w.Body)
		}
	}
	return w.Code
}

func TestOldestTraceGoes(t *testing.T) {
	s := New(Config{MaxTraces: 3})
	var ids []trace.TraceID
	for i := range 5 {
		ids = append(ids, order(s, i))
	}
	if s.Len() != 3 {
		t.Errorf("%d traces kept, want 3", s.Len())
	}
	for i, id := range ids {
		if _, ok := s.Trace(id); ok != (i >= 2) {
			t.Errorf("trace %d kept: %t", i, ok)
		}
	}
	var got []trace.TraceID
	s.newest(func(t Trace) bool { got = append(got, t.ID); return true })
	if len(got) != 3 || got[0] != ids[4] || got[2] != ids[2] {
		t.Errorf("newest first: %v of %v", got, ids)
	}
}

func TestLongTraceIsCutAndSaysSo(t *testing.T) {
	s := New(Config{MaxSpansPerTrace: 2})
	ctx, root := tracer(s, "order").Start(context.Background(), "root")
	for range 4 {
		_, child := tracer(s, "order").Start(ctx, "child")
		child.End()
	}
	root.End()
	var got struct {
		Data []struct {
			Spans    []any
			Warnings []string
		}
	}
	get(t, s, "/api/traces/"+root.SpanContext().TraceID().String(), &got)
	if len(got.Data[0].Spans) != 2 || len(got.Data[0].Warnings) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestJaegerQueryAPI(t *testing.T) {
	s := New(Config{})
	first := order(s, 1)
	order(s, 2)

	var services struct{ Data []string }
	get(t, s, "/api/services", &services)
	if strings.Join(services.Data, " ") != "inventory order" {
		t.Errorf("services: %v", services.Data)
	}
	var plain struct{ Data []string }
	get(t, s, "/api/services/inventory/operations", &plain)
	var operations struct{ Data []map[string]string }
	get(t, s, "/api/operations?service=order", &operations)
	if len(plain.Data) != 1 || plain.Data[0] != "process orders.v1" || operations.Data[0]["spanKind"] != "server" {
		t.Errorf("operations: %v, %v", plain, operations)
	}

	var one struct {
		Data []struct {
			TraceID string
			Spans   []struct {
				TraceID, SpanID, OperationName, ProcessID string
				References                                []struct{ RefType, SpanID string }
				StartTime, Duration                       int64
				Tags                                      []struct {
					Key, Type string
					Value     any
				}
				Logs []struct{ Fields []struct{ Key string } }
			}
			Processes map[string]struct{ ServiceName string }
		}
	}
	if code := get(t, s, "/api/traces/"+first.String(), &one); code != 200 {
		t.Fatalf("status %d", code)
	}
	got := one.Data[0]
	root, child := got.Spans[0], got.Spans[1]
	if root.OperationName != "POST /orders" || len(root.References) != 0 || root.StartTime == 0 {
		t.Errorf("root: %+v", root)
	}
	if got.Processes[child.ProcessID].ServiceName != "inventory" || len(child.References) != 2 ||
		child.References[0].RefType != "CHILD_OF" || child.References[0].SpanID != root.SpanID || child.References[1].RefType != "FOLLOWS_FROM" {
		t.Errorf("child: %+v", child)
	}
	tags := map[string]any{}
	for _, tag := range child.Tags {
		tags[tag.Key] = tag.Value
	}
	if tags["span.kind"] != "consumer" || tags["error"] != true || tags["otel.status_description"] != "<no stock>" || len(child.Logs) != 1 {
		t.Errorf("tags: %v, logs: %v", tags, child.Logs)
	}

	for path, want := range map[string]int{
		"/api/traces?service=order":                                                 2,
		"/api/traces?service=order&limit=1":                                         1,
		"/api/traces?service=nobody":                                                0,
		"/api/traces?operation=process+orders.v1":                                   2,
		"/api/traces?tags=" + url.QueryEscape(`{"order.id":"o-1"}`):                 1,
		"/api/traces?service=inventory&tags=" + url.QueryEscape(`{"error":"true"}`): 2,
		"/api/traces?start=1&end=2":                                                 0,
		"/api/traces?minDuration=1h":                                                0,
		"/api/traces?maxDuration=1h":                                                2,
	} {
		var found struct{ Data []any }
		get(t, s, path, &found)
		if len(found.Data) != want {
			t.Errorf("GET %s: %d traces, want %d", path, len(found.Data), want)
		}
	}
	for path, want := range map[string]int{
		"/api/traces/xyz": 400, "/api/traces/00000000000000000000000000000001": 404, "/api/traces/1": 404,
		"/api/traces?limit=no": 400, "/api/traces?tags=x": 400, "/api/traces?start=x": 400, "/api/traces?minDuration=x": 400,
	} {
		var failed struct{ Errors []struct{ Msg string } }
		if got := get(t, s, path, &failed); got != want || len(failed.Errors) != 1 {
			t.Errorf("GET %s: %d %v, want %d", path, got, failed, want)
		}
	}
}

func TestOTLPForm(t *testing.T) {
	s := New(Config{})
	id := order(s, 1)
	var got struct {
		Result struct {
			ResourceSpans []struct {
				Resource struct {
					Attributes []struct {
						Key   string
						Value struct{ StringValue string }
					}
				}
				ScopeSpans []struct {
					Spans []struct {
						TraceID, SpanID, ParentSpanID string
						Kind                          int
						StartTimeUnixNano             string
						Status                        struct{ Code int }
						Links                         []any
					}
				}
			}
		}
	}
	get(t, s, "/api/v3/traces/"+id.String(), &got)
	if len(got.Result.ResourceSpans) != 2 {
		t.Fatalf("got %+v", got)
	}
	inventory := got.Result.ResourceSpans[0]
	span := inventory.ScopeSpans[0].Spans[0]
	if inventory.Resource.Attributes[0].Value.StringValue != "inventory" || span.Kind != 5 || span.ParentSpanID == "" ||
		span.TraceID != id.String() || span.Status.Code != 2 || len(span.Links) != 1 {
		t.Errorf("got %+v", inventory)
	}
}

func TestPages(t *testing.T) {
	s := New(Config{})
	id := order(s, 1)
	for _, path := range []string{"/", "/?service=order", "/trace/" + id.String()} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		page := w.Body.String()
		if w.Code != 200 || !strings.Contains(page, "POST /orders") || strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no stock>") {
			t.Errorf("GET %s: %d %s", path, w.Code, page)
		}
	}
	rows, services := waterfall(func() Trace { t, _ := s.Trace(id); return t }())
	if len(rows) != 2 || rows[1].Depth != 1 || rows[1].Orphan || len(services) != 2 {
		t.Errorf("rows: %+v", rows)
	}
}

// TestOrphanStandsAtTheTop: a trace seen in part, or damaged, still shows all its spans.
func TestOrphanStandsAtTheTop(t *testing.T) {
	s := New(Config{})
	ctx, root := tracer(s, "order").Start(context.Background(), "never ends")
	_, child := tracer(s, "order").Start(ctx, "child")
	child.End()
	got, _ := s.Trace(root.SpanContext().TraceID())
	rows, _ := waterfall(got)
	if len(rows) != 1 || !rows[0].Orphan || got.root().Name != "child" {
		t.Errorf("rows: %+v", rows)
	}
}

func TestManyExportersAtOnce(t *testing.T) {
	s := New(Config{MaxTraces: 20})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				order(s, i)
				s.find(query{limit: 5})
			}
		})
	}
	wg.Wait()
	if s.Len() != 20 {
		t.Errorf("%d traces, want 20", s.Len())
	}
}
