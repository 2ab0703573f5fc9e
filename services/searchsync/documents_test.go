package searchsync

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
)

func TestChangeDocument(t *testing.T) {
	products := table{kind: Products, key: "sku"}
	row := map[string]any{"sku": "SKU-1", "name": "Kettle", "price_cents": int64(1990)}
	at := Version{Major: 7, Minor: 2}
	tests := []struct {
		name   string
		change debezium.Envelope
		want   Document
		fails  bool
	}{
		{name: "snapshot row", change: debezium.Envelope{Op: debezium.Read, After: row}, want: Document{Kind: Products, ID: "SKU-1", Version: at, Fields: row}},
		{name: "update", change: debezium.Envelope{Op: debezium.Update, After: row}, want: Document{Kind: Products, ID: "SKU-1", Version: at, Fields: row}},
		{name: "delete", change: debezium.Envelope{Op: debezium.Delete, Before: map[string]any{"sku": "SKU-1"}}, want: Document{Kind: Products, ID: "SKU-1", Version: at, Deleted: true}},
		{
			name:   "numbers that JSON has not",
			change: debezium.Envelope{Op: debezium.Create, After: map[string]any{"sku": "S", "weight": math.NaN(), "least": float32(math.Inf(-1)), "most": 2.5}},
			want:   Document{Kind: Products, ID: "S", Version: at, Fields: map[string]any{"sku": "S", "weight": "NaN", "least": "-Inf", "most": 2.5}},
		},
		{name: "truncate", change: debezium.Envelope{Op: debezium.Truncate}, fails: true},
		{name: "no key", change: debezium.Envelope{Op: debezium.Create, After: map[string]any{"name": "x"}}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := products.document(at, &tt.change)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want one: %v", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" && !tt.fails {
				t.Error(diff)
			}
		})
	}
}

func TestChangeVersion(t *testing.T) {
	headers := map[string]string{headerCommitLSN: "18446744073709551615", headerOrdinal: "3"}
	got, err := changeVersion(func(k string) string { return headers[k] })
	if err != nil || got != (Version{Major: 1<<64 - 1, Minor: 3}) {
		t.Errorf("got %v, %v", got, err)
	}
	delete(headers, headerOrdinal)
	if _, err := changeVersion(func(k string) string { return headers[k] }); err == nil {
		t.Error("a change without its ordinal has a version")
	}
}

// TestOrderDocuments: the events of an order, told in any order, add up.
func TestOrderDocuments(t *testing.T) {
	placedAt := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	placed, _ := orderDocument(&events.OrderPlaced{OrderID: "o", CustomerID: "c", Version: 1, OccurredAt: placedAt,
		Lines: []events.OrderLine{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 3}}})
	confirmed, _ := orderDocument(&events.OrderConfirmed{OrderID: "o", CustomerID: "c", Version: 2})
	cancelled, _ := orderDocument(&events.OrderCancelled{OrderID: "o", CustomerID: "c", Version: 3, Reason: "changed my mind"})
	want := map[string]any{
		"order_id": "o", "customer_id": "c", "status": "cancelled", "reason": "changed my mind",
		"skus": []any{"A", "B"}, "quantity": 5, "placed_at": placedAt,
	}
	for _, told := range [][]Document{{placed, confirmed, cancelled}, {cancelled, placed, confirmed, placed}} {
		var doc *Document
		for _, next := range told {
			state, _ := supersede(doc, next)
			doc = &state
		}
		if diff := cmp.Diff(want, doc.Fields); diff != "" {
			t.Error(diff)
		}
	}
}
