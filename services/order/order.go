package order

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/schemas/events"
)

// Status is where an order stands.
type Status string

// pending → confirmed | rejected | cancelled; confirmed → cancelled.
const (
	Pending   Status = "pending"   // waiting for stock
	Confirmed Status = "confirmed" // stock is reserved
	Rejected  Status = "rejected"  // there is no stock for it; final
	Cancelled Status = "cancelled" // by the customer; final
)

// Line is a quantity of one product.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int32  `json:"quantity"`
}

// State is an order after some of its events. The zero value is the order before
// its first event.
type State struct {
	OrderID    uuid.UUID
	CustomerID uuid.UUID
	Status     Status
	// Version counts the order's events: the first makes it 1.
	Version int32
	Lines   []Line
	// Reason says why an order was rejected or cancelled.
	Reason    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Errors of decisions about an order.
var (
	// ErrRejected: the order was rejected, there is nothing to cancel.
	ErrRejected = errors.New("the order was rejected")
	// ErrContradiction: inventory says the opposite of what it said before.
	ErrContradiction = errors.New("contradicts the order's state")
)

// GapError says that an event cannot follow a state.
type GapError struct {
	OrderID uuid.UUID
	Have    int32
	Status  Status
	Event   string
	Got     int32
}

func (e *GapError) Error() string {
	return fmt.Sprintf("order %s is %q at version %d; %s with version %d cannot follow", e.OrderID, e.Status, e.Have, e.Event, e.Got)
}

// Apply returns the state after an event. An event that the state already contains
// changes nothing, so folding a topic with repetitions is safe; an event that
// leaves a gap, or a transition that does not exist, is a *GapError. Events of
// other kinds than orders' are an error.
func Apply(s State, event events.Event) (State, error) {
	var (
		version int32
		at      time.Time
		id      string
		next    = s
		allowed bool
	)
	switch e := event.(type) {
	case *events.OrderPlaced:
		version, at, id = e.Version, e.OccurredAt, e.OrderID
		allowed = s.Version == 0
		if !allowed {
			break
		}
		var err1, err2 error
		next.OrderID, err1 = uuid.Parse(e.OrderID)
		next.CustomerID, err2 = uuid.Parse(e.CustomerID)
		if err := errors.Join(err1, err2); err != nil {
			return s, fmt.Errorf("%s: %w", e.AvroName(), err)
		}
		next.Status, next.CreatedAt = Pending, at
		next.Lines = make([]Line, len(e.Lines))
		for i, l := range e.Lines {
			next.Lines[i] = Line{SKU: l.SKU, Quantity: l.Quantity}
		}
	case *events.OrderConfirmed:
		version, at, id = e.Version, e.OccurredAt, e.OrderID
		allowed = s.Status == Pending
		next.Status = Confirmed
	case *events.OrderRejected:
		version, at, id = e.Version, e.OccurredAt, e.OrderID
		allowed = s.Status == Pending
		next.Status, next.Reason = Rejected, e.Reason
	case *events.OrderCancelled:
		version, at, id = e.Version, e.OccurredAt, e.OrderID
		allowed = s.Status == Pending || s.Status == Confirmed
		next.Status, next.Reason = Cancelled, e.Reason
	default:
		return s, fmt.Errorf("%s is not an event of an order", event.AvroName())
	}
	if s.Version > 0 && id != s.OrderID.String() {
		return s, fmt.Errorf("%s of order %s does not belong to order %s", event.AvroName(), id, s.OrderID)
	}
	if version >= 1 && version <= s.Version {
		return s, nil
	}
	if !allowed || version != s.Version+1 {
		return s, &GapError{OrderID: s.OrderID, Have: s.Version, Status: s.Status, Event: event.AvroName(), Got: version}
	}
	next.Version, next.UpdatedAt = version, at
	return next, nil
}

// Place is the event of a new order.
func Place(orderID, customerID uuid.UUID, lines []Line, at time.Time) *events.OrderPlaced {
	e := &events.OrderPlaced{OrderID: orderID.String(), CustomerID: customerID.String(), Version: 1, OccurredAt: instant(at)}
	for _, l := range lines {
		e.Lines = append(e.Lines, events.OrderLine{SKU: l.SKU, Quantity: l.Quantity})
	}
	return e
}

// Cancel decides about the customer's wish to cancel. A nil event says that the
// order is cancelled already; ErrRejected that it never will be.
func (s State) Cancel(reason string, at time.Time) (events.Event, error) {
	switch s.Status {
	case Pending, Confirmed:
		return &events.OrderCancelled{
			OrderID: s.OrderID.String(), CustomerID: s.CustomerID.String(),
			Version: s.Version + 1, OccurredAt: s.after(at), Reason: reason,
		}, nil
	case Cancelled:
		return nil, nil
	default:
		return nil, ErrRejected
	}
}

// StockReserved decides about inventory's yes. A nil event says that nothing
// changes: the order was cancelled meanwhile, or knows it.
func (s State) StockReserved(at time.Time) (events.Event, error) {
	switch s.Status {
	case Pending:
		return &events.OrderConfirmed{
			OrderID: s.OrderID.String(), CustomerID: s.CustomerID.String(),
			Version: s.Version + 1, OccurredAt: s.after(at),
		}, nil
	case Confirmed, Cancelled:
		return nil, nil
	default:
		return nil, fmt.Errorf("stock reserved for %s order %s: %w", s.Status, s.OrderID, ErrContradiction)
	}
}

// StockRejected decides about inventory's no. A nil event says that nothing
// changes, as for StockReserved.
func (s State) StockRejected(reason string, skus []string, at time.Time) (events.Event, error) {
	switch s.Status {
	case Pending:
		return &events.OrderRejected{
			OrderID: s.OrderID.String(), CustomerID: s.CustomerID.String(),
			Version: s.Version + 1, OccurredAt: s.after(at), Reason: reason, SKUs: skus,
		}, nil
	case Rejected, Cancelled:
		return nil, nil
	default:
		return nil, fmt.Errorf("stock rejected for %s order %s: %w", s.Status, s.OrderID, ErrContradiction)
	}
}

// after is the time of an event that follows the state's last one: never before
// it, whatever the clocks of two instances say, so that folding up to an instant
// takes a prefix of the versions.
func (s State) after(at time.Time) time.Time {
	if at = instant(at); at.Before(s.UpdatedAt) {
		return s.UpdatedAt
	}
	return at
}

// instant is a time as precise as events and PostgreSQL keep it.
func instant(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }
