package order_test

import (
	"testing"

	"github.com/quokka-stream/quokka/services/internal/kittest"
)

func TestOrderIsConfirmed(t *testing.T) {
	h := start(t)
	customer := h.customer()
	o := h.place(customer)
	if o.Status != "pending" || o.Version != 1 {
		t.Errorf("placed order is %s at version %d, want pending at 1", o.Status, o.Version)
	}
	h.reserve(o)
	kittest.Eventually(t, "the order to be confirmed", func() bool { return h.get(o.OrderID).Status == "confirmed" })
	kittest.Eventually(t, "both events on the topic", func() bool { return len(h.published()[customer]) == 2 })
}
