package notification

import (
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/schemas/events"
)

func TestCompose(t *testing.T) {
	const order, customer = "0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002"
	to := Address{Name: "Ada", Email: "ada@example.test"}
	tests := []struct {
		event   events.Event
		subject string
		says    string
	}{
		{&events.OrderPlaced{OrderID: order, CustomerID: customer, Version: 1, OccurredAt: time.Now(), Lines: []events.OrderLine{{SKU: "SKU-7", Quantity: 3}}}, "received", "3 × SKU-7"},
		{&events.OrderConfirmed{OrderID: order, CustomerID: customer, Version: 2}, "confirmed", "reserved for you"},
		{&events.OrderRejected{OrderID: order, CustomerID: customer, Version: 2, Reason: "unknown_sku", SKUs: []string{"SKU-8", "SKU-9"}}, "cannot fulfil", "do not sell SKU-8, SKU-9"},
		{&events.OrderRejected{OrderID: order, CustomerID: customer, Version: 2, Reason: "insufficient_stock", SKUs: []string{"SKU-8"}}, "cannot fulfil", "not enough left of SKU-8"},
		{&events.OrderCancelled{OrderID: order, CustomerID: customer, Version: 3}, "cancelled", "have cancelled"},
	}
	for _, tt := range tests {
		mail, ok := Compose("event-1", tt.event, to)
		if !ok {
			t.Errorf("%T is not mailed", tt.event)
			continue
		}
		if !strings.Contains(mail.Subject, tt.subject) || !strings.Contains(mail.Body, tt.says) || !strings.Contains(mail.Body, order) {
			t.Errorf("%T: subject %q, body %q", tt.event, mail.Subject, mail.Body)
		}
		if mail.To != to.Email || mail.OrderID != order || mail.MessageID != "event-1@quokka.local" {
			t.Errorf("%T: envelope %+v", tt.event, mail)
		}
	}
	if _, ok := Compose("event-1", &events.StockReserved{}, to); ok {
		t.Error("an event that is not the customer's business is mailed")
	}
}
