package order_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/order"
)

func TestBadInput(t *testing.T) {
	h := start(t)
	customer := h.customer()
	valid := fmt.Sprintf(`{"customer_id":%q,"lines":[{"sku":"apple","quantity":1}]}`, customer)
	with := func(old, new string) string { return strings.Replace(valid, old, new, 1) }
	many := make([]order.Line, 101)
	for i := range many {
		many[i] = order.Line{SKU: fmt.Sprintf("s%d", i), Quantity: 1}
	}
	for _, tc := range []struct {
		name    string
		method  string
		path    string
		body    any
		headers []string
		status  int
		code    string
	}{
		{"unknown field", "POST", "/orders", with(`"lines"`, `"priority":1,"lines"`), nil, 400, "unknown_field"},
		{"unknown field in a line", "POST", "/orders", with(`"quantity":1`, `"quantity":1,"price":2`), nil, 400, "unknown_field"},
		{"field twice", "POST", "/orders", with(`"quantity":1`, `"quantity":1,"quantity":2`), nil, 400, "duplicate_field"},
		{"field twice in other letters", "POST", "/orders", with(`"quantity":1`, `"quantity":1,"Quantity":2`), nil, 400, "duplicate_field"},
		{"wrong type", "POST", "/orders", with(`"quantity":1`, `"quantity":"1"`), nil, 400, "invalid_type"},
		{"fraction", "POST", "/orders", with(`"quantity":1`, `"quantity":1.5`), nil, 400, "invalid_type"},
		{"quantity beyond int32", "POST", "/orders", with(`"quantity":1`, `"quantity":4294967297`), nil, 400, "invalid_type"},
		{"no JSON", "POST", "/orders", "customer=1", nil, 400, "invalid_json"},
		{"cut off", "POST", "/orders", valid[:len(valid)-1], nil, 400, "invalid_json"},
		{"something behind", "POST", "/orders", valid + valid, nil, 400, "invalid_json"},
		{"a list", "POST", "/orders", "[" + valid + "]", nil, 400, "invalid_type"},
		{"null", "POST", "/orders", "null", nil, 400, "invalid_json"},
		{"empty body", "POST", "/orders", "", nil, 400, "invalid_json"},
		{"deep nesting", "POST", "/orders", strings.Repeat(`{"a":`, 11000), nil, 400, "invalid_json"},
		{"wrong content type", "POST", "/orders", valid, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		{"form", "POST", "/orders", valid, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"},
		{"too large", "POST", "/orders", with("apple", strings.Repeat("a", 64<<10)), nil, 413, "body_too_large"},
		{"negative quantity", "POST", "/orders", with(`"quantity":1`, `"quantity":-1`), nil, 422, "invalid_order"},
		{"no quantity", "POST", "/orders", with(`"quantity":1`, `"quantity":0`), nil, 422, "invalid_order"},
		{"no lines", "POST", "/orders", placementOf(customer, []order.Line{}), nil, 422, "invalid_order"},
		{"too many lines", "POST", "/orders", placementOf(customer, many), nil, 422, "invalid_order"},
		{"one sku twice", "POST", "/orders", placementOf(customer, []order.Line{{SKU: "a", Quantity: 1}, {SKU: "a", Quantity: 1}}), nil, 422, "invalid_order"},
		{"empty sku", "POST", "/orders", with("apple", ""), nil, 422, "invalid_order"},
		{"NUL in sku", "POST", "/orders", with("apple", `a\u0000b`), nil, 422, "invalid_order"},
		{"customer is no uuid", "POST", "/orders", with(customer, "ada"), nil, 422, "invalid_order"},
		{"customer in another form of uuid", "POST", "/orders", with(customer, "urn:uuid:"+customer), nil, 422, "invalid_order"},
		{"unknown customer", "POST", "/orders", with(customer, uuid.NewString()), nil, 422, "unknown_customer"},
		{"idempotency key with space", "POST", "/orders", valid, []string{"Idempotency-Key", "a b"}, 400, "invalid_idempotency_key"},
		{"idempotency key too long", "POST", "/orders", valid, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid_idempotency_key"},
		{"from another site", "POST", "/orders", valid, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		{"no such order", "GET", "/orders/" + uuid.NewString(), nil, nil, 404, "order_not_found"},
		{"order id is no uuid", "GET", "/orders/7", nil, nil, 404, "order_not_found"},
		{"history of no order", "GET", "/orders/" + uuid.NewString() + "/history", nil, nil, 404, "order_not_found"},
		{"cancel no order", "POST", "/orders/" + uuid.NewString() + "/cancel", nil, nil, 404, "order_not_found"},
		{"no such customer", "GET", "/customers/" + uuid.NewString(), nil, nil, 404, "customer_not_found"},
		{"change no customer", "PUT", "/customers/" + uuid.NewString(), map[string]string{"name": "A", "email": "a@b.c"}, nil, 404, "customer_not_found"},
		{"delete no customer", "DELETE", "/customers/" + uuid.NewString(), nil, nil, 404, "customer_not_found"},
		{"customer without name", "POST", "/customers", map[string]string{"email": "a@b.c"}, nil, 422, "invalid_customer"},
		{"customer with a header in the name", "POST", "/customers", map[string]string{"name": "A\r\nBcc: b@c.d", "email": "a@b.c"}, nil, 422, "invalid_customer"},
		{"customer with no address", "POST", "/customers", map[string]string{"name": "A", "email": "nowhere"}, nil, 422, "invalid_customer"},
		{"customer with two addresses", "POST", "/customers", map[string]string{"name": "A", "email": "a@b.c, d@e.f"}, nil, 422, "invalid_customer"},
		{"unknown query parameter", "GET", "/orders?customer=1", nil, nil, 400, "invalid_query"},
		{"limit too large", "GET", "/orders?limit=501", nil, nil, 400, "invalid_query"},
		{"status unknown", "GET", "/orders?status=lost", nil, nil, 400, "invalid_query"},
		{"no such route", "GET", "/nothing", nil, nil, 404, "no_route"},
		{"no such method", "DELETE", "/orders", nil, nil, 405, "method_not_allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := h.Do(tc.method, tc.path, tc.body, tc.headers...)
			if a.Status != tc.status || a.Code() != tc.code {
				t.Errorf("%d %s, want %d %s\n%s", a.Status, a.Code(), tc.status, tc.code, a.Body)
			}
			if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q, want application/problem+json", got)
			}
		})
	}
	if n := h.count(`select count(*) from orders`); n != 0 {
		t.Errorf("%d orders came of bad input", n)
	}
}

func placementOf(customer string, lines []order.Line) map[string]any {
	return map[string]any{"customer_id": customer, "lines": lines}
}

func TestPlacingTwiceWithOneKey(t *testing.T) {
	h := start(t)
	customer := h.customer()
	key := []string{"Idempotency-Key", uuid.NewString()}
	first := h.Do("POST", "/orders", placement(customer), key...)
	if first.Status != 202 || !strings.HasPrefix(first.Header.Get("Location"), "/orders/") {
		t.Fatalf("first: %d %s", first.Status, first.Body)
	}
	// The same request with other spacing and another order of fields.
	again := h.Do("POST", "/orders", fmt.Sprintf(`{ "lines": [ {"quantity": 2, "sku": "apple"} ], "customer_id": %q }`, customer), key...)
	if again.Status != first.Status || !bytes.Equal(again.Body, first.Body) || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("second answer:\n%d %s\nfirst answer:\n%d %s", again.Status, again.Body, first.Status, first.Body)
	}
	if again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" {
		t.Error("the second answer should say that it is a repetition, the first not")
	}
	other := h.Do("POST", "/orders", placement(customer, order.Line{SKU: "apple", Quantity: 3}), key...)
	if other.Status != 422 || other.Code() != "idempotency_key_reused" {
		t.Errorf("another body: %d %s, want 422 idempotency_key_reused", other.Status, other.Code())
	}
	stranger := h.Do("POST", "/orders", placement(h.customer()), key...)
	if stranger.Status != 422 || stranger.Code() != "idempotency_key_reused" {
		t.Errorf("another customer: %d %s, want 422 idempotency_key_reused", stranger.Status, stranger.Code())
	}
	// A request that was refused leaves its key free.
	refused := []string{"Idempotency-Key", uuid.NewString()}
	if a := h.Do("POST", "/orders", placement(uuid.NewString()), refused...); a.Status != 422 {
		t.Errorf("unknown customer: %d", a.Status)
	}
	if a := h.Do("POST", "/orders", placement(customer), refused...); a.Status != 202 {
		t.Errorf("after the refusal: %d %s, want 202", a.Status, a.Body)
	}
	if n := h.count(`select count(*) from orders`); n != 2 {
		t.Errorf("%d orders, want 2", n)
	}
}

// A key sent many times at once places one order, and everybody gets its answer.
func TestOneKeyAtTheSameTime(t *testing.T) {
	h := start(t)
	customer := h.customer()
	key := uuid.NewString()
	var wg sync.WaitGroup
	bodies := make([]string, 10)
	for i := range bodies {
		wg.Go(func() {
			a, err := h.Try("POST", "/orders", placement(customer), "Idempotency-Key", key)
			if err != nil || a.Status != 202 {
				t.Errorf("%d %s %v", a.Status, a.Body, err)
			}
			bodies[i] = string(a.Body)
		})
	}
	wg.Wait()
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("answers differ:\n%s%s", b, bodies[0])
		}
	}
	if n := h.count(`select count(*) from orders`); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

func TestListOrders(t *testing.T) {
	h := start(t)
	ada, bob := h.customer(), h.customer()
	var adas []string
	for range 5 {
		adas = append(adas, h.place(ada).OrderID)
		h.place(bob)
	}
	if a := h.Do("POST", "/orders/"+adas[1]+"/cancel", nil); a.Status != 200 {
		t.Fatalf("cancel: %d %s", a.Status, a.Body)
	}
	list := func(query string) (ids []string, next string) {
		var page struct {
			Orders []orderBody `json:"orders"`
			Next   string      `json:"next"`
		}
		a := h.Do("GET", "/orders?"+query, nil)
		if a.Status != 200 {
			t.Fatalf("GET /orders?%s: %d %s", query, a.Status, a.Body)
		}
		a.Into(t, &page)
		for _, o := range page.Orders {
			ids = append(ids, o.OrderID)
			if len(o.Lines) != 1 {
				t.Errorf("order in the list has lines %v", o.Lines)
			}
		}
		return ids, page.Next
	}
	var all []string
	for next, pages := "", 0; pages < 4; pages++ {
		query := "limit=2&customer_id=" + ada
		if next != "" {
			query += "&after=" + next
		}
		var ids []string
		ids, next = list(query)
		if all = append(all, ids...); next == "" {
			break
		}
	}
	if strings.Join(all, " ") != strings.Join(adas, " ") {
		t.Errorf("pages give\n%v, want\n%v", all, adas)
	}
	if ids, _ := list("status=cancelled"); len(ids) != 1 || ids[0] != adas[1] {
		t.Errorf("cancelled orders: %v, want %v", ids, adas[1])
	}
	if a := h.Do("GET", "/orders?customer_id="+uuid.NewString(), nil); strings.TrimSpace(string(a.Body)) != `{"orders":[]}` {
		t.Errorf("a customer without orders: %s", a.Body)
	}
}

func TestCustomers(t *testing.T) {
	h := start(t)
	id := h.customer()
	changed := h.Do("PUT", "/customers/"+id, map[string]string{"name": "Ada L.", "email": "ada@example.net"})
	var c order.Customer
	changed.Into(t, &c)
	if changed.Status != 200 || c.Name != "Ada L." || !c.UpdatedAt.After(c.CreatedAt) {
		t.Errorf("PUT: %d %s", changed.Status, changed.Body)
	}
	again := h.Do("PUT", "/customers/"+id, map[string]string{"name": "Ada L.", "email": "ada@example.net"})
	if !bytes.Equal(again.Body, changed.Body) {
		t.Errorf("the same PUT again changed something: %s", again.Body)
	}
	if a := h.Do("GET", "/customers/"+id, nil); !bytes.Equal(a.Body, changed.Body) {
		t.Errorf("GET: %s, want %s", a.Body, changed.Body)
	}
	h.place(id)
	if a := h.Do("DELETE", "/customers/"+id, nil); a.Status != 409 || a.Code() != "customer_has_orders" {
		t.Errorf("DELETE with orders: %d %s, want 409 customer_has_orders", a.Status, a.Code())
	}
	other := h.customer()
	if a := h.Do("DELETE", "/customers/"+other, nil); a.Status != 204 || len(a.Body) != 0 {
		t.Errorf("DELETE: %d %s, want 204", a.Status, a.Body)
	}
	if a := h.Do("GET", "/customers/"+other, nil); a.Status != 404 {
		t.Errorf("GET of the deleted: %d", a.Status)
	}
}

func TestHealth(t *testing.T) {
	h := start(t)
	if a := h.Do("GET", "/healthz", nil); a.Status != 200 {
		t.Errorf("/healthz: %d", a.Status)
	}
	kittest.Eventually(t, "the service to be ready", func() bool {
		a := h.Do("GET", "/readyz", nil)
		var ready struct {
			Checks map[string]string `json:"checks"`
		}
		if err := json.Unmarshal(a.Body, &ready); err != nil || ready.Checks["postgres"] == "" || ready.Checks["consumer"] == "" {
			t.Fatalf("/readyz: %d %s", a.Status, a.Body)
		}
		return a.Status == 200 && ready.Checks["postgres"] == "ok" && ready.Checks["consumer"] == "ok"
	})
	h.place(h.customer())
	metrics := string(h.Do("GET", "/metrics", nil).Body)
	for _, name := range []string{"http_server_request_duration_seconds_count", `http_route="POST /orders"`, "quokka_consumer_held_records", "messaging_client_operation_duration_seconds"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
}
