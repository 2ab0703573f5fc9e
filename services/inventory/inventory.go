package inventory

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/schemas/events"
)

// Product is an entry of the catalogue.
type Product struct {
	SKU         string    `json:"sku"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	PriceCents  int64     `json:"price_cents"`
	Currency    string    `json:"currency"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Stock is how much there is of a product.
type Stock struct {
	SKU       string `json:"sku"`
	Initial   int64  `json:"initial"`
	Available int64  `json:"available"`
}

// Kind is why stock moved.
type Kind string

// Movements are signed: a reservation takes away.
const (
	KindInitial Kind = "initial"
	KindRestock Kind = "restock"
	KindReserve Kind = "reserve"
	KindRelease Kind = "release"
)

// Status is where an order's reservation stands.
type Status string

// reserved → released; rejected → cancelled. cancelled without a reservation
// before it remembers that the order was cancelled before it could be placed here.
const (
	Reserved  Status = "reserved"  // the stock is set aside
	Rejected  Status = "rejected"  // there was not enough
	Released  Status = "released"  // it was set aside and given back
	Cancelled Status = "cancelled" // nothing is, or will be, set aside
)

// Reservation is what became of one order.
type Reservation struct {
	OrderID    uuid.UUID
	CustomerID uuid.UUID
	Status     Status
	Lines      []Line
}

// Line is a quantity of one product.
type Line struct {
	SKU      string
	Quantity int64
}

// Decision is the answer to an order: a reservation, or why there is none.
type Decision struct {
	Reservation Reservation
	// Reason and SKUs say why an order is rejected, and for which products.
	Reason string
	SKUs   []string
}

// Needs adds up an order's lines by product, in the order of the skus: that in
// which rows are locked, so that two orders never wait for each other in a circle.
func Needs(lines []events.OrderLine) []Line {
	sum := map[string]int64{}
	for _, l := range lines {
		sum[l.SKU] += int64(l.Quantity)
	}
	out := make([]Line, 0, len(sum))
	for _, sku := range slices.Sorted(maps.Keys(sum)) {
		out = append(out, Line{SKU: sku, Quantity: sum[sku]})
	}
	return out
}

// Reserve decides about an order, given what is available of the products it
// needs; products that are not in available do not exist. All lines or none: a
// product that is unknown, or short, rejects the order, unknown ones first.
func Reserve(order, customer uuid.UUID, needs []Line, available map[string]int64) Decision {
	d := Decision{Reservation: Reservation{OrderID: order, CustomerID: customer}}
	var unknown, short []string
	for _, n := range needs {
		have, exists := available[n.SKU]
		switch {
		case !exists:
			unknown = append(unknown, n.SKU)
		case have < n.Quantity, n.Quantity > math.MaxInt32: // more than an event can say
			short = append(short, n.SKU)
		}
	}
	switch {
	case len(unknown) > 0:
		d.Reservation.Status = Rejected
		d.Reason, d.SKUs = events.StockRejectionReasonUnknownSKU, unknown
	case len(short) > 0:
		d.Reservation.Status = Rejected
		d.Reason, d.SKUs = events.StockRejectionReasonInsufficientStock, short
	default:
		d.Reservation.Status = Reserved
		d.Reservation.Lines = needs
	}
	return d
}

// Event is what the decision is announced by.
func (d Decision) Event(at time.Time) events.Event {
	r := d.Reservation
	if r.Status == Rejected {
		return &events.StockRejected{
			OrderID: r.OrderID.String(), CustomerID: r.CustomerID.String(), OccurredAt: instant(at),
			Reason: d.Reason, SKUs: d.SKUs,
		}
	}
	return &events.StockReserved{OrderID: r.OrderID.String(), CustomerID: r.CustomerID.String(), OccurredAt: instant(at), Lines: stockLines(r.Lines)}
}

// Release decides about a cancelled order: what its reservation becomes, and which
// lines go back to the stock. done says that it was released before, and nothing
// is to be done or said.
func (r Reservation) Release() (status Status, back []Line, done bool) {
	switch r.Status {
	case Reserved:
		return Released, r.Lines, false
	case Released, Cancelled:
		return r.Status, nil, true
	default: // rejected, or never placed here
		return Cancelled, nil, false
	}
}

// ReleasedEvent announces that a cancelled order holds no stock; lines may be
// empty.
func ReleasedEvent(order, customer uuid.UUID, lines []Line, at time.Time) *events.StockReleased {
	return &events.StockReleased{OrderID: order.String(), CustomerID: customer.String(), OccurredAt: instant(at), Lines: stockLines(lines)}
}

func stockLines(lines []Line) []events.StockLine {
	out := make([]events.StockLine, len(lines))
	for i, l := range lines {
		out[i] = events.StockLine{SKU: l.SKU, Quantity: int32(l.Quantity)}
	}
	return out
}

// instant is a time as precise as events and PostgreSQL keep it.
func instant(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }
