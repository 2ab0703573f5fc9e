package checker

import (
	"fmt"
	"strings"
)

// settled: every accepted order has come to an end that its row, its events
// and inventory agree on, and no group has records before it.
func (c *check) settled() {
	accepted := map[string]bool{}
	for _, a := range c.Accepted {
		accepted[a.OrderID] = true
		if _, ok := c.orders[a.OrderID]; !ok {
			c.found.add(Lost, "order "+a.OrderID, "accepted, but not in the table orders")
		}
	}
	for id, o := range c.orders {
		if problem := c.unsettled(o); problem != "" {
			c.found.add(Lost, "order "+id, "%s", problem)
		}
	}
	// An order on the topic without a row was accepted by someone, once.
	for id := range c.events {
		if _, ok := c.orders[id]; !ok && !accepted[id] {
			c.found.add(Lost, "order "+id, "on orders.v1, but not in the table orders")
		}
	}
	for _, lag := range c.Lags {
		if lag.Records > 0 {
			c.found.add(Lost, fmt.Sprintf("group %s on %s[%d]", lag.Group, lag.Topic, lag.Partition), "%d records behind", lag.Records)
		}
	}
}

// unsettled says what keeps an order from being settled, or nothing.
func (c *check) unsettled(o Order) string {
	reservation := "none"
	if r, ok := c.reservations[o.ID]; ok {
		reservation = r.Status
	}
	var agrees bool
	switch o.Status {
	case "confirmed":
		agrees = reservation == "reserved"
	case "rejected":
		agrees = reservation == "rejected"
	case "cancelled":
		// Cancelled before inventory saw it, or after it had reserved or rejected.
		agrees = reservation == "released" || reservation == "cancelled" || reservation == "rejected"
	case "pending":
		return "still pending; inventory's reservation: " + reservation
	default:
		return fmt.Sprintf("is in the unknown state %q", o.Status)
	}
	if !agrees {
		return fmt.Sprintf("%s, but inventory's reservation is: %s", o.Status, reservation)
	}
	return ""
}

// published: orders.v1 tells each order's whole story: every event that the
// order's transaction wrote down, from the first on, leading to the row's state.
func (c *check) published() {
	for _, a := range c.Accepted {
		if len(c.events[a.OrderID]) == 0 {
			c.found.add(Lost, "order "+a.OrderID, "accepted, but missing on orders.v1")
		}
	}
	for id, o := range c.orders {
		events := c.events[id]
		if len(events) == 0 {
			c.found.add(Lost, "order "+id, "missing on orders.v1")
			continue
		}
		if placedLines(events) == nil {
			c.found.add(Lost, "order "+id, "OrderPlaced is missing on orders.v1")
		}
		if status, version := fold(events); status != o.Status || version != o.Version {
			c.found.add(Lost, "order "+id, "%s at version %d in the table, %s at version %d by orders.v1", o.Status, o.Version, status, version)
		}
	}
	for _, h := range c.History {
		if _, ok := c.eventOrder[h.EventID]; !ok {
			c.found.add(Lost, "order "+h.OrderID, "%s, version %d, event %s, is missing on orders.v1", short(h.Type), h.Version, h.EventID)
		}
	}
}

// mailDomain is what follows the event id in the Message-ID of its mail.
const mailDomain = "@quokka.local"

// mailed: each event of an order has its mail, under one Message-ID.
func (c *check) mailed() {
	happened := map[string]bool{}
	for _, h := range c.History {
		happened[h.EventID] = true
	}
	deliveries := map[string]int{}
	for _, m := range c.Mails {
		id := strings.TrimSuffix(strings.Trim(m.MessageID, "<>"), mailDomain)
		deliveries[id]++
		if deliveries[id] > 1 {
			c.redeliveries++
			continue
		}
		// A Message-ID that is no event's, about an order that exists: some
		// event was announced under another name.
		if _, known := c.eventOrder[id]; !known && !happened[id] && len(c.events[m.OrderID]) > 0 {
			c.found.add(Duplicate, "order "+m.OrderID, "a mail with Message-ID %s, which is no event of it", m.MessageID)
		}
	}
	for id, events := range c.events {
		for _, e := range events {
			if deliveries[e.ID] == 0 {
				c.found.add(Lost, "order "+id, "no mail for %s (event %s)", short(e.Type), e.ID)
			}
		}
	}
}

// givenUp: no record is on a dead-letter topic without having been replayed.
func (c *check) givenUp() {
	for _, d := range c.DeadLetters {
		subject := fmt.Sprintf("record %s[%d]@%d", d.Topic, d.Partition, d.Offset)
		if order := d.OrderID; order != "" {
			subject = "order " + order
		} else if order := c.eventOrder[d.EventID]; order != "" {
			subject = "order " + order
		}
		reason := d.Reason
		if reason == "" {
			reason = "no reason given"
		}
		if d.Waiting {
			reason += " (its replay is under way)"
		}
		c.found.add(Lost, subject, "event %s dead-lettered to %s: %s", d.EventID, d.Topic, reason)
	}
}

// short is a type's name without its namespace.
func short(eventType string) string {
	return eventType[strings.LastIndexByte(eventType, '.')+1:]
}
