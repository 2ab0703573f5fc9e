package inventory

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

// handle registers what the service does with orders' events. OrderConfirmed and
// OrderRejected need no handler: they repeat what was decided here.
func (s *Service) handle(c *consume.Consumer) {
	consume.On(c, schemas.TopicOrders, s.orderPlaced)
	consume.On(c, schemas.TopicOrders, s.orderCancelled)
}

// orderPlaced reserves the order's stock, or says why not. An order that is known
// already was cancelled before it came, or comes again: nothing changes.
func (s *Service) orderPlaced(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
	order, customer, err := ids(e.OrderID, e.CustomerID)
	if err != nil {
		return err
	}
	if _, known, err := s.store.reservation(ctx, tx, order); err != nil || known {
		return err
	}
	needs := Needs(e.Lines)
	available, err := s.store.available(ctx, tx, needs)
	if err != nil {
		return err
	}
	d := Reserve(order, customer, needs, available)
	if err := s.store.remember(ctx, tx, d.Reservation, d.Reason); err != nil {
		return err
	}
	at := time.Now()
	if err := s.store.emit(ctx, tx, customer, order, at, d.Event(at)); err != nil {
		return err
	}
	m.OnCommit(func() {
		s.log.InfoContext(ctx, "stock "+string(d.Reservation.Status), "order_id", order, "lines", len(needs), "reason", d.Reason)
	})
	return nil
}

// orderCancelled gives the order's stock back. If the order is not known yet, it
// remembers the cancellation, so that nothing is reserved when it comes.
func (s *Service) orderCancelled(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderCancelled) error {
	order, customer, err := ids(e.OrderID, e.CustomerID)
	if err != nil {
		return err
	}
	r, known, err := s.store.reservation(ctx, tx, order)
	if err != nil {
		return err
	}
	status, back, done := r.Release()
	if done {
		return nil
	}
	if known {
		err = s.store.release(ctx, tx, order, status, back)
	} else {
		err = s.store.remember(ctx, tx, Reservation{OrderID: order, CustomerID: customer, Status: status}, "")
	}
	if err != nil {
		return err
	}
	at := time.Now()
	if err := s.store.emit(ctx, tx, customer, order, at, ReleasedEvent(order, customer, back, at)); err != nil {
		return err
	}
	m.OnCommit(func() { s.log.InfoContext(ctx, "stock "+string(status), "order_id", order, "lines", len(back)) })
	return nil
}

func ids(order, customer string) (o, c uuid.UUID, err error) {
	o, err1 := uuid.Parse(order)
	c, err2 := uuid.Parse(customer)
	if err := errors.Join(err1, err2); err != nil {
		return o, c, consume.Reject(fmt.Errorf("order %q of customer %q: %w", order, customer, err))
	}
	return o, c, nil
}
