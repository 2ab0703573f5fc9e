package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestOrdersAsOf: the state of an order now, folded from its events, is what
// the service says, field by field; and at each earlier moment what it was then.
func TestOrdersAsOf(t *testing.T) {
	dir := dataDir(t)
	p, at := up(t, dir)
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	customer := field(t, post(t, client, at.OrderURL+"/customers", map[string]any{"name": "Ada", "email": "ada@example.test"}, http.StatusCreated), "customer_id")
	put(t, client, at.InventoryURL+"/products/E2E-1", map[string]any{"name": "Lamp", "description": "", "price_cents": 100, "currency": "EUR", "initial_stock": 5})

	confirmed := placeOrder(t, client, at, customer, "E2E-1", 1)
	rejected := placeOrder(t, client, at, customer, "NONE", 1)
	cancelled := placeOrder(t, client, at, customer, "E2E-1", 2)
	quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m")
	post(t, client, at.OrderURL+"/orders/"+cancelled+"/cancel", map[string]any{"reason": "changed my mind"}, http.StatusOK)
	quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m")

	for order, status := range map[string]string{confirmed: "confirmed", rejected: "rejected", cancelled: "cancelled"} {
		var fold map[string]any
		if err := json.Unmarshal([]byte(quokka(t, 0, "orders", "as-of", order, "--json", "--data-dir", dir)), &fold); err != nil {
			t.Fatal(err)
		}
		row := get(t, client, at.OrderURL+"/orders/"+order)
		if fold["status"] != status {
			t.Errorf("order %s folds to %v, want %s", order, fold["status"], status)
		}
		for name, value := range row {
			got, want := mustJSON(t, fold[name]), mustJSON(t, value)
			if strings.HasSuffix(name, "_at") {
				got, want = instant(t, fold[name]), instant(t, value)
			}
			if got != want {
				t.Errorf("order %s: %s folds to %s, its row says %s", order, name, got, want)
			}
		}
		// A moment after it was placed it was pending.
		placed := row["created_at"].(string)
		if out := quokka(t, 0, "orders", "as-of", order, placed, "--data-dir", dir); !strings.Contains(out, "pending") || !strings.Contains(out, "OrderPlaced") || !strings.Contains(out, "later") {
			t.Errorf("as of %s:\n%s", placed, out)
		}
		if out := quokka(t, 1, "orders", "as-of", order, "1h", "--data-dir", dir); !strings.Contains(out, "did not exist yet") {
			t.Errorf("an hour ago:\n%s", out)
		}
	}
	if out := quokka(t, 1, "orders", "as-of", "no-such-order", "--data-dir", dir); !strings.Contains(out, "there is no order no-such-order") {
		t.Errorf("unknown order:\n%s", out)
	}
	stop(t, p, dir)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// instant is a time without the way it was written.
func instant(t *testing.T, v any) string {
	t.Helper()
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC().Format(time.RFC3339Nano)
}
