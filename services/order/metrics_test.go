package order_test

import (
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/services/internal/kittest"
)

// TestMetrics: what became of orders, and how long it took, can be scraped.
func TestMetrics(t *testing.T) {
	h := start(t)
	customer := h.customer()
	confirmed, pending := h.place(customer), h.place(customer)
	h.reserve(confirmed)
	h.eventually(confirmed.OrderID, "confirmed")
	h.Do("POST", "/orders/"+pending.OrderID+"/cancel", nil)
	kittest.Eventually(t, "the orders are counted", func() bool {
		text := string(h.Do("GET", "/metrics", nil).Body)
		for _, want := range []string{
			`quokka_orders_total{status="pending"} 2`, `quokka_orders_total{status="confirmed"} 1`,
			`quokka_orders_total{status="rejected"} 0`, `quokka_orders_total{status="cancelled"} 1`,
			`quokka_order_settle_seconds_count{status="confirmed"} 1`,
			`quokka_consumer_rebalances_total{group="order",kind="assigned"} 1`,
		} {
			if !strings.Contains(text, want) {
				t.Log("not yet: ", want)
				return false
			}
		}
		return !strings.Contains(text, `quokka_order_settle_seconds_count{status="cancelled"}`)
	})
}
