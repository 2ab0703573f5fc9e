package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// One is a single order, as somebody who tries things out places it.
type One struct {
	// CustomerID is who orders; empty: a new customer with this name and mail address.
	CustomerID, Name, Email string
	// SKU is what is ordered. Create adds the product to the catalogue, with stock,
	// if it is not there.
	SKU      string
	Quantity int
	Create   bool
	// Key is the Idempotency-Key; empty: none.
	Key string
}

// Accepted is what the order service answered.
type Accepted struct {
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	Status     string `json:"status"`
}

// stockOfOne is what a product is created with.
const stockOfOne = 1_000_000

// PlaceOne places one order and returns once it is accepted, which is before it
// is settled.
func PlaceOne(ctx context.Context, orderURL, inventoryURL string, o One) (Accepted, error) {
	c := &client{http: &http.Client{}, patience: patience}
	defer c.http.CloseIdleConnections()
	var accepted Accepted
	if o.Create {
		if err := c.offer(ctx, inventoryURL, o.SKU); err != nil {
			return accepted, fmt.Errorf("add product %s: %w", o.SKU, err)
		}
	}
	if o.CustomerID == "" {
		var created struct {
			ID string `json:"customer_id"`
		}
		if err := c.call(ctx, http.MethodPost, orderURL+"/customers", nil, map[string]any{"name": o.Name, "email": o.Email}, &created); err != nil {
			return accepted, fmt.Errorf("add a customer: %w", err)
		}
		o.CustomerID = created.ID
	}
	header := map[string]string{}
	if o.Key != "" {
		header["Idempotency-Key"] = o.Key
	}
	body := map[string]any{"customer_id": o.CustomerID, "lines": []map[string]any{{"sku": o.SKU, "quantity": o.Quantity}}}
	if err := c.call(ctx, http.MethodPost, orderURL+"/orders", header, body, &accepted); err != nil {
		return accepted, fmt.Errorf("place the order: %w", err)
	}
	return accepted, nil
}

// offer adds a product to the catalogue unless it is there.
func (c *client) offer(ctx context.Context, inventoryURL, sku string) error {
	var known any
	err := c.call(ctx, http.MethodGet, inventoryURL+"/products/"+sku, nil, nil, &known)
	var p *problem
	if !errors.As(err, &p) || p.Status != http.StatusNotFound {
		return err
	}
	return c.call(ctx, http.MethodPut, inventoryURL+"/products/"+sku, nil, map[string]any{
		"name": sku, "description": "", "price_cents": 1900, "currency": "EUR", "initial_stock": stockOfOne,
	}, nil)
}
