package checker

import (
	"cmp"
	"slices"
)

// Check holds the facts against every invariant.
func Check(f Facts) Verdict {
	c := newCheck(f)
	c.settled()
	c.published()
	c.mailed()
	c.givenUp()
	c.oncePerKey()
	c.onceMoved()
	c.onceEnded()
	c.versionsRise()
	c.inboxFollowsOffsets()
	c.stockConserved()
	c.indexAgrees()
	return Verdict{Violations: c.found.sorted(), MailRedeliveries: c.redeliveries}
}

// check holds the facts in the forms that the rules look them up by.
type check struct {
	Facts
	found        findings
	redeliveries int

	events       map[string][]Event // orders.v1 by order, first occurrences in offset order
	eventOrder   map[string]string  // event id → order id, of both topics
	orders       map[string]Order
	reservations map[string]Reservation
	live         map[string][]Line // order → what the topics say it holds in stock
}

func newCheck(f Facts) *check {
	c := &check{
		Facts: f, found: findings{}, events: map[string][]Event{}, eventOrder: map[string]string{},
		orders: map[string]Order{}, reservations: map[string]Reservation{}, live: map[string][]Line{},
	}
	for _, o := range f.Orders {
		c.orders[o.ID] = o
	}
	for _, r := range f.Reservations {
		c.reservations[r.OrderID] = r
	}
	for _, e := range firstOccurrences(f.Events) {
		c.events[e.OrderID] = append(c.events[e.OrderID], e)
		c.eventOrder[e.ID] = e.OrderID
	}
	c.foldReservations()
	return c
}

// firstOccurrences sorts events by partition and offset and drops those whose
// id came before: a relay that restarts may publish an event again, and every
// consumer takes the first.
func firstOccurrences(events []Event) []Event {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(events, func(e Event) bool {
		again := seen[e.ID]
		seen[e.ID] = true
		return again
	})
}

// foldReservations derives from the topics what each order holds in stock.
// inventory.v1 says it directly but forgets after its retention; for orders it
// no longer knows, orders.v1, which is for ever, does.
func (c *check) foldReservations() {
	known := map[string]bool{}
	released := map[string]bool{}
	for _, e := range firstOccurrences(c.StockEvents) {
		known[e.OrderID] = true
		c.eventOrder[e.ID] = e.OrderID
		switch e.Type {
		case StockReserved:
			c.live[e.OrderID] = e.Lines
		case StockReleased:
			released[e.OrderID] = true
		}
	}
	for id := range released {
		delete(c.live, id)
	}
	for id, events := range c.events {
		if known[id] {
			continue
		}
		if status, _ := fold(events); status == "confirmed" {
			c.live[id] = placedLines(events)
		}
	}
}

func placedLines(events []Event) []Line {
	for _, e := range events {
		if e.Type == Placed {
			return e.Lines
		}
	}
	return nil
}

// fold returns the state and version that an order's events lead to; events
// that the states do not allow change nothing here, onceEnded reports them.
func fold(events []Event) (status string, version int32) {
	for _, e := range events {
		if next, allowed := transition(status, e.Type); allowed {
			status, version = next, e.Version
		}
	}
	return status, version
}

// transition is the order's state machine:
// pending → confirmed | rejected | cancelled; confirmed → cancelled.
func transition(status, event string) (next string, allowed bool) {
	switch {
	case event == Placed && status == "":
		return "pending", true
	case event == Confirmed && status == "pending":
		return "confirmed", true
	case event == Rejected && status == "pending":
		return "rejected", true
	case event == Cancelled && (status == "pending" || status == "confirmed"):
		return "cancelled", true
	}
	return status, false
}
