package checker

import (
	"fmt"
	"slices"
	"strings"
)

// oncePerKey: one Idempotency-Key made one order.
func (c *check) oncePerKey() {
	orders := map[string][]string{} // key → orders
	note := func(key, order string) {
		if key != "" && !slices.Contains(orders[key], order) {
			orders[key] = append(orders[key], order)
		}
	}
	for _, k := range c.Keys {
		note(k.Key, k.OrderID)
	}
	for _, a := range c.Accepted {
		note(a.Key, a.OrderID)
	}
	for key, ids := range orders {
		if len(ids) > 1 {
			slices.Sort(ids)
			c.found.add(Duplicate, "Idempotency-Key "+key, "%d orders: %s", len(ids), strings.Join(ids, ", "))
		}
	}
	c.oncePerRequest()
}

// oncePerRequest: a customer of a client that gives every order a key of its
// own cannot have more orders than keys. This sees an order made twice although
// its second making left no trace but itself.
func (c *check) oncePerRequest() {
	keys := map[string]map[string]bool{} // customer → keys sent
	for _, s := range c.Sent {
		if keys[s.CustomerID] == nil {
			keys[s.CustomerID] = map[string]bool{}
		}
		keys[s.CustomerID][s.Key] = true
	}
	orders := map[string][]string{}
	for _, o := range c.orders {
		if keys[o.CustomerID] != nil {
			orders[o.CustomerID] = append(orders[o.CustomerID], o.ID)
		}
	}
	for customer, ids := range orders {
		if sent := len(keys[customer]); len(ids) > sent {
			slices.Sort(ids)
			c.found.add(Duplicate, "customer "+customer, "%d orders from %d distinct requests: %s", len(ids), sent, strings.Join(ids, ", "))
		}
	}
}

// onceMoved: stock moves once per order, sku and kind.
func (c *check) onceMoved() {
	type key struct{ order, sku, kind string }
	movements := map[key][]string{}
	for _, m := range c.Movements {
		if m.OrderID != "" {
			k := key{m.OrderID, m.SKU, m.Kind}
			movements[k] = append(movements[k], fmt.Sprint(m.ID))
		}
	}
	for k, ids := range movements {
		if len(ids) > 1 {
			c.found.add(Duplicate, "order "+k.order, "%d movements %s of %s: %s", len(ids), k.kind, k.sku, strings.Join(ids, ", "))
		}
	}
}

// onceEnded: each order's distinct events are a walk through its states: no
// transition happens twice, and none after an end.
func (c *check) onceEnded() {
	for id, events := range c.events {
		byType := map[string][]string{}
		for _, e := range events {
			byType[e.Type] = append(byType[e.Type], e.ID)
		}
		for eventType, ids := range byType {
			if len(ids) > 1 {
				c.found.add(Duplicate, "order "+id, "%d events %s: %s", len(ids), short(eventType), strings.Join(ids, ", "))
			}
		}
		for _, pair := range [][2]string{{Confirmed, Rejected}, {Rejected, Cancelled}} {
			if byType[pair[0]] != nil && byType[pair[1]] != nil {
				c.found.add(Duplicate, "order "+id, "ended twice, by %s %s and %s %s",
					short(pair[0]), byType[pair[0]][0], short(pair[1]), byType[pair[1]][0])
			}
		}
		versions := map[int32]string{}
		for _, e := range events {
			if other, taken := versions[e.Version]; taken {
				c.found.add(Duplicate, "order "+id, "version %d is both event %s and event %s", e.Version, other, e.ID)
			}
			versions[e.Version] = e.ID
		}
	}
}
