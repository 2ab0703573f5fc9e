package inventory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quokka-stream/quokka/outbox"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/event"
)

// store is the service's SQL about orders and stock; products.go has that of the
// catalogue. Methods with a transaction belong into one that the caller commits.
type store struct {
	pool   *pgxpool.Pool
	events *event.Writer
}

// reservation reads what became of an order, and locks it; ok is false if nothing
// is known of it.
func (s *store) reservation(ctx context.Context, tx pgx.Tx, order uuid.UUID) (r Reservation, ok bool, err error) {
	r.OrderID = order
	err = tx.QueryRow(ctx, `select customer_id, status from reservations where order_id = $1 for update`, order).Scan(&r.CustomerID, &r.Status)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read reservation: %w", err)
	}
	rows, err := tx.Query(ctx, `select sku, quantity from reservation_lines where order_id = $1 order by sku`, order)
	if err != nil {
		return r, false, fmt.Errorf("read reservation lines: %w", err)
	}
	r.Lines, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Line])
	if err != nil {
		return r, false, fmt.Errorf("read reservation lines: %w", err)
	}
	return r, true, nil
}

// available locks the stock of the products that are in the catalogue, in the
// order of their skus, and returns how much there is. needs are in that order.
func (s *store) available(ctx context.Context, tx pgx.Tx, needs []Line) (map[string]int64, error) {
	rows, err := tx.Query(ctx, `select s.sku, s.available from stock s join products p using (sku)
		where s.sku = any($1) order by s.sku for no key update of s`, skus(needs))
	if err != nil {
		return nil, fmt.Errorf("lock stock: %w", err)
	}
	out := map[string]int64{}
	var sku string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&sku, &n}, func() error {
		out[sku] = n
		return nil
	}); err != nil {
		return nil, fmt.Errorf("lock stock: %w", err)
	}
	return out, nil
}

func skus(lines []Line) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.SKU
	}
	return out
}

// remember stores a new reservation with its movements. The stock is locked.
func (s *store) remember(ctx context.Context, tx pgx.Tx, r Reservation, reason string) error {
	var batch pgx.Batch
	batch.Queue(`insert into reservations (order_id, customer_id, status, reason) values ($1, $2, $3, nullif($4, ''))`, r.OrderID, r.CustomerID, r.Status, reason)
	for _, l := range r.Lines {
		batch.Queue(`insert into reservation_lines (order_id, sku, quantity) values ($1, $2, $3)`, r.OrderID, l.SKU, l.Quantity)
		move(&batch, &r.OrderID, l.SKU, KindReserve, -l.Quantity)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("store reservation: %w", err)
	}
	return nil
}

// release changes a reservation's status and gives lines back to the stock.
func (s *store) release(ctx context.Context, tx pgx.Tx, order uuid.UUID, status Status, back []Line) error {
	if len(back) > 0 {
		// Locked in the order of the skus, as reservations do.
		if _, err := tx.Exec(ctx, `select 1 from stock where sku = any($1) order by sku for no key update`, skus(back)); err != nil {
			return fmt.Errorf("lock stock: %w", err)
		}
	}
	var batch pgx.Batch
	batch.Queue(`update reservations set status = $2, updated_at = now() where order_id = $1`, order, status)
	for _, l := range back {
		move(&batch, &order, l.SKU, KindRelease, l.Quantity)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("release reservation: %w", err)
	}
	return nil
}

// move queues a movement and the change of stock that it records: nothing else
// changes stock.
func move(batch *pgx.Batch, order *uuid.UUID, sku string, kind Kind, quantity int64) {
	batch.Queue(`insert into stock_movements (order_id, sku, kind, quantity) values ($1, $2, $3, $4)`, order, sku, kind, quantity)
	batch.Queue(`update stock set available = available + $2 where sku = $1`, sku, quantity)
}

// emit adds an event to the outbox, keyed by customer. The order of a customer's
// events is that in which theirs were consumed, one at a time.
func (s *store) emit(ctx context.Context, tx pgx.Tx, customer, order uuid.UUID, at time.Time, e events.Event) error {
	out, err := s.events.Outbox(ctx, schemas.TopicInventory, customer.String(), order.String(), at, e)
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, out)
}
