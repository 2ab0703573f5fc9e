package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/tracequery"
)

// TestOneOrderIsOneTrace: the backend's own query API tells each order's whole
// story: one root, no orphan, and every edge from HTTP over SQL, send and
// process to the mail and the index.
func TestOneOrderIsOneTrace(t *testing.T) {
	dir := dataDir(t)
	p, at := up(t, dir)
	client := &http.Client{Timeout: 10 * time.Second}
	customer := field(t, post(t, client, at.OrderURL+"/customers", map[string]any{"name": "Ada", "email": "ada@example.test"}, http.StatusCreated), "customer_id")
	put(t, client, at.InventoryURL+"/products/E2E-1", map[string]any{"name": "Lamp", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 5})
	confirmed := placeOrder(t, client, at, customer, "E2E-1", 2)
	rejected := placeOrder(t, client, at, customer, "E2E-1", 100)
	if out := quokka(t, 0, "verify", "--data-dir", dir, "--traces", "--newest", "2"); !strings.Contains(out, "2 traces checked, 0 no longer kept") {
		t.Errorf("verify printed:\n%s", out)
	}

	for order, want := range map[string]string{confirmed: "confirmed", rejected: "rejected"} {
		if got := field(t, get(t, client, at.OrderURL+"/orders/"+order), "status"); got != want {
			t.Errorf("order %s is %s, want %s", order, got, want)
		}
		out := quokka(t, 0, "trace", order, "--data-dir", dir)
		for _, hop := range []string{"order         POST /orders", "send orders.v1", "inventory         process orders.v1", "send inventory.v1", "process inventory.v1", "notification", "search-sync"} {
			if !strings.Contains(out, hop) {
				t.Errorf("%q is not in:\n%s", hop, out)
			}
		}
		id := out[strings.LastIndex(out, "/trace/")+len("/trace/"):][:32]
		trace, err := tracequery.Client{URL: at.TracesURL, HTTP: client}.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		checkTrace(t, trace)
		// The page behind the printed link.
		resp, err := client.Get(at.TracesURL + "/trace/" + id)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("the trace's page: %v, %v", resp, err)
		}
		resp.Body.Close()
	}
	client.CloseIdleConnections()
	stop(t, p, dir)
}

// checkTrace looks at every edge of an order's trace.
func checkTrace(t *testing.T, trace tracequery.Trace) {
	t.Helper()
	for _, problem := range append(trace.Problems(), trace.Missing(tracequery.OrderHops())...) {
		t.Error(problem)
	}
	if extra := len(trace.Hops()) - len(tracequery.OrderHops()); extra != 0 {
		t.Errorf("%d hops that are not expected: %v", extra, trace.Hops())
	}
	spans := map[string]tracequery.Span{}
	sql := map[string]int{} // statements by the service that made them
	for _, s := range trace.Spans {
		spans[s.ID] = s
		if s.Tags["db.system"]+s.Tags["db.system.name"] != "" {
			sql[s.Service]++
		}
	}
	for _, service := range []string{"order", "inventory", "notification"} {
		if sql[service] == 0 {
			t.Errorf("no SQL of %s in the trace: %v", service, sql)
		}
	}
	mails := 0
	for _, s := range trace.Spans {
		if s.Service == "notification" && s.Name == "send mail" {
			mails++
		}
		if s.Kind != "consumer" {
			continue
		}
		// A process span is the child of the send span, in another service, and
		// names the record it is about.
		send := spans[s.Parent]
		if send.Kind != "producer" || send.Name != "send "+strings.TrimPrefix(s.Name, "process ") {
			t.Errorf("%s %s is the child of %s %s", s.Service, s.Name, send.Service, send.Name)
		}
		for _, tag := range []string{"messaging.system", "messaging.destination.name", "messaging.destination.partition.id", "messaging.kafka.offset", "messaging.consumer.group.name"} {
			if s.Tags[tag] == "" {
				t.Errorf("%s %s lacks %s: %v", s.Service, s.Name, tag, s.Tags)
			}
		}
		if s.Start.Before(send.Start) {
			t.Errorf("%s %s begins before its record was sent", s.Service, s.Name)
		}
	}
	if mails != 2 {
		t.Errorf("%d mails in the trace, want 2", mails)
	}
}
