package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// handle registers what the service does with inventory's events. StockReleased
// needs no handler: the order was cancelled here.
func (s *Service) handle(c *consume.Consumer) {
	consume.On(c, schemas.TopicInventory, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.StockReserved) error {
		return s.settle(ctx, tx, m, e.CustomerID, e.OrderID, func(o State) (events.Event, error) {
			return o.StockReserved(time.Now())
		})
	})
	consume.On(c, schemas.TopicInventory, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.StockRejected) error {
		return s.settle(ctx, tx, m, e.CustomerID, e.OrderID, func(o State) (events.Event, error) {
			return o.StockRejected(e.Reason, e.SKUs, time.Now())
		})
	})
}

// settle moves an order on by what inventory decided. An order that does not exist
// here, or that inventory contradicts itself about, will not get better by waiting:
// the order was committed before anybody could hear of it.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, m *consume.Message, customer, order string, decide func(State) (events.Event, error)) error {
	customerID, err1 := uuid.Parse(customer)
	orderID, err2 := uuid.Parse(order)
	if err := errors.Join(err1, err2); err != nil {
		return consume.Reject(fmt.Errorf("order %q of customer %q: %w", order, customer, err))
	}
	o, changed, err := s.store.transition(ctx, tx, customerID, orderID, decide)
	var gap *GapError
	switch {
	case errors.Is(err, errUnknownOrder), errors.Is(err, errUnknownCustomer), errors.Is(err, ErrContradiction), errors.As(err, &gap):
		return consume.Reject(fmt.Errorf("order %s of customer %s: %w", orderID, customerID, err))
	case err != nil:
		return err
	}
	if changed {
		m.OnCommit(func() {
			s.metrics.changed(ctx, o)
			s.log.InfoContext(ctx, "order "+string(o.Status), "order_id", o.OrderID, "customer_id", o.CustomerID, "version", o.Version)
		})
	}
	return nil
}
