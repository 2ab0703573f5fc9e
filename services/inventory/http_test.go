package inventory_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/services/inventory"
)

func TestBadInput(t *testing.T) {
	h := start(t)
	h.product("apple", 1)
	valid := `{"name":"Pear","price_cents":100,"currency":"EUR"}`
	with := func(old, new string) string { return strings.Replace(valid, old, new, 1) }
	for _, tc := range []struct {
		name, method, path string
		body               any
		headers            []string
		status             int
		code               string
	}{
		{"unknown field", "PUT", "/products/pear", with(`"name"`, `"colour":"green","name"`), nil, 400, "unknown_field"},
		{"field twice", "PUT", "/products/pear", with(`"name"`, `"name":"x","name"`), nil, 400, "duplicate_field"},
		{"wrong type", "PUT", "/products/pear", with("100", `"100"`), nil, 400, "invalid_type"},
		{"wrong content type", "PUT", "/products/pear", valid, []string{"Content-Type", "text/json"}, 415, "unsupported_media_type"},
		{"too large", "PUT", "/products/pear", with("Pear", strings.Repeat("p", 70_000)), nil, 413, "body_too_large"},
		{"no name", "PUT", "/products/pear", with("Pear", ""), nil, 422, "invalid_product"},
		{"negative price", "PUT", "/products/pear", with("100", "-1"), nil, 422, "invalid_product"},
		{"currency in words", "PUT", "/products/pear", with("EUR", "euro"), nil, 422, "invalid_product"},
		{"negative stock", "PUT", "/products/pear", with(`"name"`, `"initial_stock":-1,"name"`), nil, 422, "invalid_product"},
		{"sku with space", "PUT", "/products/pe%20ar", valid, nil, 422, "invalid_product"},
		{"sku too long", "PUT", "/products/" + strings.Repeat("p", 65), valid, nil, 422, "invalid_product"},
		{"NUL in the description", "PUT", "/products/pear", with(`"name"`, `"description":"\u0000","name"`), nil, 422, "invalid_product"},
		{"no such product", "GET", "/products/pear", nil, nil, 404, "product_not_found"},
		{"a sku that cannot be", "GET", "/products/%00", nil, nil, 404, "product_not_found"},
		{"delete no product", "DELETE", "/products/pear", nil, nil, 404, "product_not_found"},
		{"stock of no product", "GET", "/stock/pear", nil, nil, 404, "product_not_found"},
		{"restock no product", "POST", "/stock/pear/restock", `{"quantity":1}`, nil, 404, "product_not_found"},
		{"restock nothing", "POST", "/stock/apple/restock", `{"quantity":0}`, nil, 422, "invalid_restock"},
		{"restock less than nothing", "POST", "/stock/apple/restock", `{"quantity":-5}`, nil, 422, "invalid_restock"},
		{"restock without body", "POST", "/stock/apple/restock", nil, []string{"Content-Type", "application/json"}, 400, "invalid_json"},
		{"unknown query parameter", "GET", "/products?page=2", nil, nil, 400, "invalid_query"},
		{"limit is no number", "GET", "/products?limit=all", nil, nil, 400, "invalid_query"},
		{"no such method", "PATCH", "/products/apple", nil, nil, 405, "method_not_allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := h.Do(tc.method, tc.path, tc.body, tc.headers...)
			if a.Status != tc.status || a.Code() != tc.code {
				t.Errorf("%d %s, want %d %s\n%s", a.Status, a.Code(), tc.status, tc.code, a.Body)
			}
		})
	}
	if st := h.stock("apple"); st.Available != 1 {
		t.Errorf("bad input moved the stock to %d", st.Available)
	}
	h.conserved()
}

func TestProducts(t *testing.T) {
	h := start(t)
	body := map[string]any{"name": "Apple", "description": "red", "price_cents": 120, "currency": "EUR", "initial_stock": 7}
	first := h.Do("PUT", "/products/apple", body)
	if first.Status != 201 || first.Header.Get("Location") != "/products/apple" {
		t.Fatalf("create: %d %s", first.Status, first.Body)
	}
	if again := h.Do("PUT", "/products/apple", body); again.Status != 200 || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("the same again: %d %s, want 200 and nothing changed", again.Status, again.Body)
	}
	body["initial_stock"] = 8
	if a := h.Do("PUT", "/products/apple", body); a.Status != 409 || a.Code() != "initial_stock_fixed" {
		t.Errorf("another initial stock: %d %s, want 409 initial_stock_fixed", a.Status, a.Code())
	}
	delete(body, "initial_stock")
	body["name"] = "Big apple"
	var p inventory.Product
	if a := h.Do("PUT", "/products/apple", body); a.Status != 200 {
		t.Errorf("rename: %d %s", a.Status, a.Body)
	}
	h.Do("GET", "/products/apple", nil).Into(t, &p)
	if p.Name != "Big apple" || p.Description != "red" || p.PriceCents != 120 || p.Currency != "EUR" {
		t.Errorf("product %+v", p)
	}
	a := h.Do("POST", "/stock/apple/restock", map[string]int{"quantity": 3})
	if st := h.stock("apple"); a.Status != 200 || st.Available != 10 || st.Initial != 7 {
		t.Errorf("restock: %d, stock %+v; want 10 available, 7 initially", a.Status, st)
	}
	// Deleted and created again: the stock is still there.
	if a := h.Do("DELETE", "/products/apple", nil); a.Status != 204 {
		t.Errorf("delete: %d %s", a.Status, a.Body)
	}
	if a := h.Do("GET", "/stock/apple", nil); a.Status != 404 {
		t.Errorf("stock of a deleted product: %d", a.Status)
	}
	if a := h.Do("PUT", "/products/apple", body); a.Status != 201 {
		t.Errorf("create again: %d %s", a.Status, a.Body)
	}
	if st := h.stock("apple"); st.Available != 10 {
		t.Errorf("available %d after all, want 10", st.Available)
	}
	h.conserved()
}

func TestListProducts(t *testing.T) {
	h := start(t)
	if a := h.Do("GET", "/products", nil); strings.TrimSpace(string(a.Body)) != `{"products":[]}` {
		t.Errorf("empty catalogue: %s", a.Body)
	}
	var want []string
	for i := range 5 {
		sku := fmt.Sprintf("p%d", i)
		h.product(sku, 0)
		want = append(want, sku)
	}
	var got []string
	for after := ""; ; {
		var page struct {
			Products []inventory.Product
			Next     string
		}
		query := "/products?limit=2"
		if after != "" {
			query += "&after=" + after
		}
		h.Do("GET", query, nil).Into(t, &page)
		for _, p := range page.Products {
			got = append(got, p.SKU)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("pages give %v, want %v", got, want)
	}
}

// Restocks and orders at the same time: nothing is lost.
func TestConcurrentRestocks(t *testing.T) {
	h := start(t)
	h.product("apple", 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if a, err := h.Try("POST", "/stock/apple/restock", map[string]int{"quantity": 2}); err != nil || a.Status != 200 {
					t.Errorf("restock: %d %s %v", a.Status, a.Body, err)
				}
			}
		})
	}
	var orders []order
	for range 10 {
		o := newOrder()
		orders = append(orders, o)
		h.send(o, o.placed(line("apple", 1)))
	}
	wg.Wait()
	h.settled()
	h.conserved()
	reserved := int64(0)
	for _, o := range orders {
		if h.status(o) == "reserved" {
			reserved++
		}
	}
	if st := h.stock("apple"); st.Available != 80-reserved {
		t.Errorf("available %d with %d reserved of 80", st.Available, reserved)
	}
}
