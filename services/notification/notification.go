package notification

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/schemas/events"
)

// Channel is a way to reach a customer.
type Channel string

// Email is the only channel so far.
const Email Channel = "email"

// Status of a notification.
type Status string

// A notification is recorded once its fate is known.
const (
	// Sent: the mail server took responsibility for it.
	Sent Status = "sent"
	// Skipped: the customer had been deleted, there is nobody to reach.
	Skipped Status = "skipped"
)

// Address is an entry of the address book.
type Address struct {
	CustomerID uuid.UUID
	Name       string
	Email      string
	// Deleted entries keep their position, so that an older change that arrives
	// late does not bring the customer back.
	Deleted bool
	// CommitLSN and Ordinal are the position of the change the entry shows.
	CommitLSN uint64
	Ordinal   uint64
}

// Notification is what was done about one event on one channel.
type Notification struct {
	EventID    string     `json:"event_id"`
	Channel    Channel    `json:"channel"`
	OrderID    uuid.UUID  `json:"order_id"`
	CustomerID uuid.UUID  `json:"customer_id"`
	Type       string     `json:"type"`
	MessageID  string     `json:"message_id"`
	Status     Status     `json:"status"`
	CreatedAt  time.Time  `json:"created_at"`
	SentAt     *time.Time `json:"sent_at,omitempty"`
}

// Mail is a message to one customer.
type Mail struct {
	To        string
	Name      string
	MessageID string
	OrderID   string
	Subject   string
	Body      string
}

// MessageID is the Message-ID of the mail about an event, without brackets. It
// depends on the event only, so that a mail sent again is recognised.
func MessageID(eventID string) string { return eventID + "@quokka.local" }

// Compose writes the mail about an order's event. Events it does not know are
// not mailed: it returns false.
func Compose(eventID string, event events.Event, to Address) (Mail, bool) {
	var orderID, subject, body string
	switch e := event.(type) {
	case *events.OrderPlaced:
		orderID = e.OrderID
		subject = "We have received your order"
		body = "Thank you for your order:\n\n" + lines(e.Lines) + "\nWe are checking our stock and will write again in a moment."
	case *events.OrderConfirmed:
		orderID = e.OrderID
		subject = "Your order is confirmed"
		body = "Everything you ordered is in stock and reserved for you."
	case *events.OrderRejected:
		orderID = e.OrderID
		subject = "We cannot fulfil your order"
		body = "We are sorry: " + rejection(e.Reason, e.SKUs) + "\nNothing has been reserved, and you owe nothing."
	case *events.OrderCancelled:
		orderID = e.OrderID
		subject = "Your order is cancelled"
		body = "As you asked, we have cancelled your order."
	default:
		return Mail{}, false
	}
	return Mail{
		To:        to.Email,
		Name:      to.Name,
		MessageID: MessageID(eventID),
		OrderID:   orderID,
		Subject:   subject,
		Body:      fmt.Sprintf("Dear %s,\n\n%s\n\nOrder %s\n", to.Name, body, orderID),
	}, true
}

func lines(lines []events.OrderLine) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%6d × %s\n", line.Quantity, line.SKU)
	}
	return b.String()
}

func rejection(reason string, skus []string) string {
	which := strings.Join(skus, ", ")
	switch reason {
	case "unknown_sku":
		return "we do not sell " + which + "."
	case "insufficient_stock":
		return "there is not enough left of " + which + "."
	default:
		return "we cannot deliver " + which + "."
	}
}
