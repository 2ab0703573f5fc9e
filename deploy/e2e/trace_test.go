package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// TestOneOrderIsOneTrace: each order's whole story is one trace, which `quokka
// trace` prints, and a change of a customer or product is followed through the
// log of its database.
func TestOneOrderIsOneTrace(t *testing.T) {
	dir := dataDir(t)
	p, at := up(t, dir)
	client := &http.Client{Timeout: patience}
	customer := addCustomer(t, client, at)
	put(t, client, at.InventoryURL+"/products/E2E-1", map[string]any{"name": "Lamp", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 5})
	confirmed := placeOrder(t, client, at, customer, "E2E-1", 2)
	rejected := placeOrder(t, client, at, customer, "E2E-1", 100)
	verified(t, dir, "2 of 2")

	for order, want := range map[string]string{confirmed: "confirmed", rejected: "rejected"} {
		if got := field(t, get(t, client, at.OrderURL+"/orders/"+order), "status"); got != want {
			t.Errorf("order %s is %s, want %s", order, got, want)
		}
		out := quokka(t, 0, "trace", order, "--data-dir", dir)
		for _, hop := range []string{"order         POST /orders", "send orders.v1", "inventory         process orders.v1", "send inventory.v1", "process inventory.v1", "notification", "search-sync", want + " after"} {
			if !strings.Contains(out, hop) {
				t.Errorf("%q is not in:\n%s", hop, out)
			}
		}
		id := out[strings.LastIndex(out, "/trace/")+len("/trace/"):][:32]
		trace, err := tracequery.Client{URL: at.TracesURL, HTTP: client}.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range trace.Spans {
			if s.Service == "broker" {
				t.Errorf("the broker's tracing is off, and there is its span %s", s.Name)
			}
		}
		// The page behind the printed link.
		resp, err := client.Get(at.TracesURL + "/trace/" + id)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("the trace's page: %v, %v", resp, err)
		}
		resp.Body.Close()
	}

	const customers, products = "cdc.order.public.customers", "cdc.inventory.public.products"
	changed(t, client, at, http.MethodPost, at.OrderURL+"/customers", map[string]any{"name": "Bob", "email": "bob@example.test"},
		tracequery.Hop{From: "order: POST /customers", To: "notification: process " + customers},
		tracequery.Hop{From: "order: POST /customers", To: "search-sync: process " + customers})
	changed(t, client, at, http.MethodPut, at.InventoryURL+"/products/E2E-2", map[string]any{"name": "Desk", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 1},
		tracequery.Hop{From: "inventory: PUT /products/{sku}", To: "search-sync: process " + products})
	client.CloseIdleConnections()
	stop(t, p, dir)
}

// verified has `quokka verify` check the newest traces, and expects so many.
func verified(t *testing.T, dir, want string, args ...string) {
	t.Helper()
	out := quokka(t, 0, append([]string{"verify", "--data-dir", dir, "--wait", "4m", "--traces"}, args...)...)
	if !strings.Contains(out, want+" orders are one trace each") {
		t.Errorf("want %s traces, verify printed:\n%s", want, out)
		return
	}
	t.Logf("quokka verify --traces printed:\n%s", out) // with -v, which make trace-test gives
}

func addCustomer(t *testing.T, client *http.Client, at platform.Running) string {
	t.Helper()
	return field(t, post(t, client, at.OrderURL+"/customers", map[string]any{"name": "Ada", "email": "ada@example.test"}, http.StatusCreated), "customer_id")
}

// changed makes a change under a trace of its own and expects its hops: exactly
// these, with consumers that are children of the request and linked to it.
func changed(t *testing.T, client *http.Client, at platform.Running, method, url string, body any, want ...tracequery.Hop) {
	t.Helper()
	id := strings.Repeat("c", 31) + string("0123456789abcdef"[len(url)%16])
	traced := &http.Client{Timeout: client.Timeout, Transport: header{"traceparent", "00-" + id + "-00f067aa0ba902b7-01"}}
	send(t, traced, method, url, body, 0)
	trace, err := tracequery.Client{URL: at.TracesURL, HTTP: client}.Await(t.Context(), id, time.Minute, func(got tracequery.Trace) bool {
		hops := got.Hops()
		for _, hop := range want {
			if hops[hop] != 1 {
				return false
			}
		}
		return len(hops) == len(want)
	})
	if err != nil || len(trace.Hops()) != len(want) {
		t.Fatalf("%s %s: %v, hops %v, want %v", method, url, err, trace.Hops(), want)
	}
	for _, s := range trace.Spans {
		if s.Kind == "consumer" && (len(s.Links) != 1 || s.Links[0] != s.Parent) {
			t.Errorf("%s: links %v, want one to its parent %s", s.Name, s.Links, s.Parent)
		}
	}
}

// header sends a header with every request.
type header struct{ key, value string }

func (h header) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(h.key, h.value)
	return http.DefaultTransport.RoundTrip(r)
}
