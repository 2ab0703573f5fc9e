package checker

// stockConserved: nothing was sold that was not there, and nothing came back
// that was not taken.
func (c *check) stockConserved() {
	moved, restocked, reserved := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, m := range c.Movements {
		moved[m.SKU] += m.Quantity
		if m.Kind == "restock" {
			restocked[m.SKU] += m.Quantity
		}
	}
	for _, lines := range c.live {
		for _, line := range lines {
			reserved[line.SKU] += line.Quantity
		}
	}
	c.movedByOrder()
	rows := map[string]bool{}
	for _, row := range c.Stock {
		rows[row.SKU] = true
		if row.Available < 0 {
			c.found.add(Stock, "sku "+row.SKU, "%d available", row.Available)
		}
		if moved[row.SKU] != row.Available {
			c.found.add(Stock, "sku "+row.SKU, "its movements add up to %d, its stock row says %d", moved[row.SKU], row.Available)
		}
		if want := row.Initial + restocked[row.SKU] - reserved[row.SKU]; want != row.Available {
			c.found.add(Stock, "sku "+row.SKU, "initial %d + restocked %d − reserved by the topics %d = %d, its stock row says %d",
				row.Initial, restocked[row.SKU], reserved[row.SKU], want, row.Available)
		}
	}
	for sku, quantity := range reserved {
		if !rows[sku] && quantity != 0 {
			c.found.add(Stock, "sku "+sku, "%d reserved by the topics, but it has no stock row", quantity)
		}
	}
	for sku, sum := range moved {
		if !rows[sku] && sum != 0 {
			c.found.add(Stock, "sku "+sku, "its movements add up to %d, but it has no stock row", sum)
		}
	}
}

// movedByOrder: an order's movements add up to what it holds by the topics, so
// that two orders' mistakes cannot make up for each other.
func (c *check) movedByOrder() {
	type key struct{ order, sku string }
	held := map[key]int64{}
	for _, m := range c.Movements {
		if m.OrderID != "" {
			held[key{m.OrderID, m.SKU}] -= m.Quantity
		}
	}
	live := map[key]int64{}
	for order, lines := range c.live {
		for _, line := range lines {
			live[key{order, line.SKU}] += line.Quantity
			held[key{order, line.SKU}] += 0
		}
	}
	for k, quantity := range held {
		if live[k] != quantity {
			c.found.add(Stock, "order "+k.order, "holds %d of %s by its movements, %d by the topics", quantity, k.sku, live[k])
		}
	}
}
