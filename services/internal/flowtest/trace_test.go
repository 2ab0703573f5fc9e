// Package flowtest runs order and inventory together and looks at what only shows
// between services.
package flowtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/order"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flow is both services on one platform, in one process, exporting to one place.
type flow struct {
	t                *testing.T
	platform         *kittest.Platform
	order, inventory *kittest.Running
	spans            *tracetest.InMemoryExporter
	tels             []*telemetry.Telemetry
}

func start(t *testing.T) *flow {
	t.Helper()
	f := &flow{t: t, platform: kittest.NewPlatform(t), spans: tracetest.NewInMemoryExporter()}
	tel := func(name string) *telemetry.Telemetry {
		tel := kittest.Telemetry(t, telemetry.Config{Service: name, Exporter: f.spans, Output: io.Discard})
		f.tels = append(f.tels, tel)
		return tel
	}
	oc := order.Config{Config: f.platform.Config, Listener: kittest.Listener(t)}
	oc.ShipLogs = true
	oc.PostgresURL, oc.Database = kittest.Database(t)
	o, err := order.New(t.Context(), oc, tel(order.Name))
	if err != nil {
		t.Fatal(err)
	}
	f.order = kittest.Run(t, o)
	ic := inventory.Config{Config: f.platform.Config, Listener: kittest.Listener(t)}
	ic.ShipLogs = true
	ic.PostgresURL, ic.Database = kittest.Database(t)
	i, err := inventory.New(t.Context(), ic, tel(inventory.Name))
	if err != nil {
		t.Fatal(err)
	}
	f.inventory = kittest.Run(t, i)
	if a := f.inventory.Do("PUT", "/products/apple", map[string]any{"name": "Apple", "price_cents": 1, "currency": "EUR", "initial_stock": 100}); a.Status != 201 {
		t.Fatalf("PUT /products: %d %s", a.Status, a.Body)
	}
	return f
}

// place places an order under a trace of the test's own choice.
func (f *flow) place() (orderID, traceID string, headers []string) {
	f.t.Helper()
	var c order.Customer
	f.order.Do("POST", "/customers", map[string]string{"name": "Ada", "email": "ada@example.org"}).Into(f.t, &c)
	traceID = strings.ReplaceAll(uuid.NewString(), "-", "")
	headers = []string{"Idempotency-Key", uuid.NewString(), "traceparent", "00-" + traceID + "-b7ad6b7169203331-01"}
	var placed struct {
		OrderID string `json:"order_id"`
	}
	a := f.order.Do("POST", "/orders", map[string]any{"customer_id": c.CustomerID, "lines": []order.Line{{SKU: "apple", Quantity: 1}}}, headers...)
	a.Into(f.t, &placed)
	if a.Status != 202 {
		f.t.Fatalf("POST /orders: %d %s", a.Status, a.Body)
	}
	return placed.OrderID, traceID, headers
}

func (f *flow) settled(id, status string) {
	f.t.Helper()
	kittest.Eventually(f.t, "order to be "+status, func() bool {
		var o struct{ Status string }
		f.order.Do("GET", "/orders/"+id, nil).Into(f.t, &o)
		return o.Status == status
	})
}

// trace returns the spans of a trace once there are n that are no SQL.
func (f *flow) trace(id string, n int) (spans tracetest.SpanStubs) {
	f.t.Helper()
	kittest.Eventually(f.t, fmt.Sprintf("%d hops in the trace", n), func() bool {
		for _, tel := range f.tels {
			if err := tel.Flush(f.t.Context()); err != nil {
				f.t.Fatal(err)
			}
		}
		spans = nil
		hops := 0
		for _, s := range f.spans.GetSpans() {
			if s.SpanContext.TraceID().String() == id {
				spans = append(spans, s)
				if !isSQL(s) {
					hops++
				}
			}
		}
		return hops >= n
	})
	return spans
}

func isSQL(s tracetest.SpanStub) bool {
	return strings.Contains(s.InstrumentationScope.Name, "otelpgx")
}

func attr(attrs []attribute.KeyValue, key string) string {
	for _, a := range attrs {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

func service(s tracetest.SpanStub) string { return attr(s.Resource.Attributes(), "service.name") }

func TestOneOrderIsOneTrace(t *testing.T) {
	f := start(t)
	id, traceID, _ := f.place()
	f.settled(id, "confirmed")
	spans := f.trace(traceID, 7)

	// Every span's parent is in the trace, but for the request's, which is the
	// caller's.
	byID := map[trace.SpanID]tracetest.SpanStub{}
	for _, s := range spans {
		byID[s.SpanContext.SpanID()] = s
	}
	edges, sql := map[string]int{}, map[string]int{}
	for _, s := range spans {
		if s.Status.Code == codes.Error {
			t.Errorf("%s %s failed: %s", service(s), s.Name, s.Status.Description)
		}
		name := service(s) + " " + s.Name
		parent, ok := byID[s.Parent.SpanID()]
		switch {
		case isSQL(s):
			if !ok {
				t.Errorf("%s has no parent", name)
			}
			sql[service(s)+" "+parent.Name]++
		case !ok:
			edges["→ "+name]++
		default:
			edges[service(parent)+" "+parent.Name+" → "+name]++
		}
		if strings.HasPrefix(s.Name, "process ") {
			if s.SpanKind != trace.SpanKindConsumer || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != s.Parent.SpanID() {
				t.Errorf("%s: kind %v, links %v; want a consumer linked to its parent", name, s.SpanKind, s.Links)
			}
			if got := attr(s.Attributes, "messaging.message.conversation_id"); got != id {
				t.Errorf("%s: conversation %q, want the order", name, got)
			}
		}
	}
	want := map[string]int{
		"→ order POST /orders":                                      1,
		"order POST /orders → order send orders.v1":                 1,
		"order send orders.v1 → inventory process orders.v1":        2, // OrderPlaced, and OrderConfirmed without handler
		"inventory process orders.v1 → inventory send inventory.v1": 1,
		"inventory send inventory.v1 → order process inventory.v1":  1,
		"order process inventory.v1 → order send orders.v1":         1,
	}
	if !maps.Equal(edges, want) {
		t.Errorf("edges:\n%s\nwant:\n%s", list(edges), list(want))
	}
	for _, hop := range []string{"order POST /orders", "inventory process orders.v1", "order process inventory.v1"} {
		if sql[hop] == 0 {
			t.Errorf("no SQL under %s; there is under %v", hop, slices.Sorted(maps.Keys(sql)))
		}
	}
}

// A cancellation and a repeated request are traces of their own, linked to the
// order's.
func TestLinkedTraces(t *testing.T) {
	f := start(t)
	id, traceID, headers := f.place()
	f.settled(id, "confirmed")
	var o struct {
		CustomerID string `json:"customer_id"`
	}
	f.order.Do("GET", "/orders/"+id, nil).Into(t, &o)
	again := strings.ReplaceAll(uuid.NewString(), "-", "")
	cancel := strings.ReplaceAll(uuid.NewString(), "-", "")
	f.order.Do("POST", "/orders", map[string]any{"customer_id": o.CustomerID, "lines": []order.Line{{SKU: "apple", Quantity: 1}}},
		headers[0], headers[1], "traceparent", "00-"+again+"-b7ad6b7169203331-01")
	f.order.Do("POST", "/orders/"+id+"/cancel", nil, "traceparent", "00-"+cancel+"-b7ad6b7169203331-01")
	for name, got := range map[string]tracetest.SpanStubs{
		"POST /orders": f.trace(again, 1),
		// request, send, process at inventory, send, process at order (no handler)
		"POST /orders/{id}/cancel": f.trace(cancel, 5),
	} {
		i := slices.IndexFunc(got, func(s tracetest.SpanStub) bool { return s.Name == name })
		if i < 0 {
			t.Errorf("no span %s", name)
			continue
		}
		if links := got[i].Links; len(links) != 1 || links[0].SpanContext.TraceID().String() != traceID {
			t.Errorf("%s: links %v, want one to the order's trace %s", name, links, traceID)
		}
	}
}

// An event that comes twice shows as a redelivery in the order's trace.
func TestRedeliveryIsMarked(t *testing.T) {
	f := start(t)
	id, traceID, _ := f.place()
	f.settled(id, "confirmed")
	records := kittest.ReadAll(t, f.platform.Config.KafkaBrokers, schemas.TopicOrders)
	f.platform.Produce(t, &kgo.Record{Topic: records[0].Topic, Key: records[0].Key, Value: records[0].Value, Headers: records[0].Headers})
	marked := 0
	for _, s := range f.trace(traceID, 8) {
		if attr(s.Attributes, "quokka.redelivered") == "true" {
			marked++
			if s.Name != "process orders.v1" || attr(s.Attributes, "quokka.outcome") != "duplicate" {
				t.Errorf("%s with outcome %s is marked", s.Name, attr(s.Attributes, "quokka.outcome"))
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d spans are marked as redelivered, want 1", marked)
	}
}

// Log lines reach logs.v1 under the service's name and with the order's trace, and
// shipping them makes no spans.
func TestLogsAreShipped(t *testing.T) {
	f := start(t)
	id, traceID, _ := f.place()
	f.settled(id, "confirmed")
	found := map[string]bool{}
	want := []string{"order: order placed", "inventory: stock reserved", "order: order confirmed"}
	kittest.Eventually(t, fmt.Sprintf("the order's log lines %q", want), func() bool {
		for _, r := range kittest.ReadAll(t, f.platform.Config.KafkaBrokers, schemas.TopicLogs) {
			e, err := f.platform.Serde.Decode(context.Background(), r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if line := lineOf(e); line.TraceID == traceID {
				found[line.Service+": "+line.Message] = true
				if line.Attributes["order_id"] != id {
					t.Errorf("line %+v without the order", line)
				}
			}
		}
		return !slices.ContainsFunc(want, func(line string) bool { return !found[line] })
	})
	for _, s := range f.spans.GetSpans() {
		if strings.Contains(s.Name, schemas.TopicLogs) {
			t.Errorf("span %q", s.Name)
		}
	}
}

func list(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "  %d × %s\n", m[k], k)
	}
	return b.String()
}
