package order

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

// Errors of the store.
var (
	errUnknownCustomer = errors.New("no such customer")
	errUnknownOrder    = errors.New("no such order")
)

// store is the service's SQL. Methods with a transaction belong into one that the
// caller commits.
type store struct {
	pool   *pgxpool.Pool
	events *event.Writer
}

// lockCustomer takes the lock that orders a customer's events: it comes before
// anything else in a transaction that emits one. It does not keep orders from
// being inserted for the customer, only other holders of this lock.
func (s *store) lockCustomer(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	err := tx.QueryRow(ctx, `select 1 from customers where customer_id = $1 for no key update`, id).Scan(new(int))
	if errors.Is(err, pgx.ErrNoRows) {
		return errUnknownCustomer
	}
	if err != nil {
		return fmt.Errorf("lock customer: %w", err)
	}
	return nil
}

// insert stores a new order and emits its first event. The caller holds the
// customer's lock.
func (s *store) insert(ctx context.Context, tx pgx.Tx, o State, placed *events.OrderPlaced, traceparent string) error {
	var batch pgx.Batch
	batch.Queue(`insert into orders (order_id, customer_id, status, version, created_at, updated_at, traceparent)
		values ($1, $2, $3, $4, $5, $6, nullif($7, ''))`,
		o.OrderID, o.CustomerID, o.Status, o.Version, o.CreatedAt, o.UpdatedAt, traceparent)
	for i, l := range o.Lines {
		batch.Queue(`insert into order_lines (order_id, line_no, sku, quantity) values ($1, $2, $3, $4)`, o.OrderID, i+1, l.SKU, l.Quantity)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	return s.emit(ctx, tx, o, placed)
}

// transition locks customer and order, asks decide for the event that follows the
// order's state, and stores and emits it. A nil event changes nothing.
func (s *store) transition(ctx context.Context, tx pgx.Tx, customerID, orderID uuid.UUID, decide func(State) (events.Event, error)) (after State, changed bool, err error) {
	if err := s.lockCustomer(ctx, tx, customerID); err != nil {
		return State{}, false, err
	}
	before, err := s.load(ctx, tx, orderID, true)
	if err != nil {
		return State{}, false, err
	}
	if before.CustomerID != customerID {
		return State{}, false, fmt.Errorf("order %s belongs to customer %s, not %s: %w", orderID, before.CustomerID, customerID, errUnknownOrder)
	}
	e, err := decide(before)
	if err != nil || e == nil {
		return before, false, err
	}
	if after, err = Apply(before, e); err != nil {
		return before, false, err
	}
	_, err = tx.Exec(ctx, `update orders set status = $2, version = $3, reason = nullif($4, ''), updated_at = $5 where order_id = $1`,
		after.OrderID, after.Status, after.Version, after.Reason, after.UpdatedAt)
	if err != nil {
		return before, false, fmt.Errorf("update order: %w", err)
	}
	return after, true, s.emit(ctx, tx, after, e)
}

// emit adds the order's latest event to its history and to the outbox.
func (s *store) emit(ctx context.Context, tx pgx.Tx, o State, e events.Event) error {
	out, err := s.events.Outbox(ctx, schemas.TopicOrders, o.CustomerID.String(), o.OrderID.String(), o.UpdatedAt, e)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into order_events (order_id, version, type, event_id, occurred_at) values ($1, $2, $3, $4, $5)`,
		o.OrderID, o.Version, e.AvroName(), out.ID, o.UpdatedAt)
	if err != nil {
		return fmt.Errorf("insert order event: %w", err)
	}
	return outbox.Write(ctx, tx, out)
}

const orderColumns = `o.order_id, o.customer_id, o.status, o.version, coalesce(o.reason, ''), o.created_at, o.updated_at`

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// load reads an order, and locks it for the rest of the transaction if asked to.
func (s *store) load(ctx context.Context, q querier, id uuid.UUID, lock bool) (State, error) {
	query := `select ` + orderColumns + ` from orders o where o.order_id = $1`
	if lock {
		query += ` for update`
	}
	found, err := s.collect(ctx, q, query, id)
	if err != nil {
		return State{}, err
	}
	if len(found) == 0 {
		return State{}, errUnknownOrder
	}
	return found[0], nil
}

// filter narrows a list of orders; zero fields do not.
type filter struct {
	Customer uuid.UUID
	Status   Status
	After    uuid.UUID
	Limit    int
}

// list returns orders in the order of their ids, which is that of their placing.
func (s *store) list(ctx context.Context, f filter) ([]State, error) {
	return s.collect(ctx, s.pool, `select `+orderColumns+` from orders o
		where ($1::uuid is null or o.customer_id = $1) and ($2 = '' or o.status = $2) and ($3::uuid is null or o.order_id > $3)
		order by o.order_id limit $4`, optional(f.Customer), f.Status, optional(f.After), f.Limit)
}

func optional(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// collect reads the orders of a query, with their lines.
func (s *store) collect(ctx context.Context, q querier, query string, args ...any) ([]State, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	var out []State
	var ids []uuid.UUID
	at := map[uuid.UUID]int{}
	var o State
	_, err = pgx.ForEachRow(rows, []any{&o.OrderID, &o.CustomerID, &o.Status, &o.Version, &o.Reason, &o.CreatedAt, &o.UpdatedAt}, func() error {
		o.CreatedAt, o.UpdatedAt = o.CreatedAt.UTC(), o.UpdatedAt.UTC()
		at[o.OrderID] = len(out)
		out, ids = append(out, o), append(ids, o.OrderID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	rows, err = q.Query(ctx, `select order_id, sku, quantity from order_lines where order_id = any($1) order by order_id, line_no`, ids)
	if err != nil {
		return nil, fmt.Errorf("read order lines: %w", err)
	}
	var id uuid.UUID
	var l Line
	if _, err = pgx.ForEachRow(rows, []any{&id, &l.SKU, &l.Quantity}, func() error {
		out[at[id]].Lines = append(out[at[id]].Lines, l)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read order lines: %w", err)
	}
	return out, nil
}

// customerOf returns whose order it is.
func (s *store) customerOf(ctx context.Context, order uuid.UUID) (customer uuid.UUID, traceparent string, err error) {
	err = s.pool.QueryRow(ctx, `select customer_id, coalesce(traceparent, '') from orders where order_id = $1`, order).Scan(&customer, &traceparent)
	if errors.Is(err, pgx.ErrNoRows) {
		return customer, "", errUnknownOrder
	}
	if err != nil {
		return customer, "", fmt.Errorf("read order: %w", err)
	}
	return customer, traceparent, nil
}

// HistoryEntry is one event of an order.
type HistoryEntry struct {
	Version    int32     `json:"version"`
	Type       string    `json:"type"`
	EventID    uuid.UUID `json:"event_id"`
	OccurredAt time.Time `json:"occurred_at"`
}

func (s *store) history(ctx context.Context, order uuid.UUID) ([]HistoryEntry, error) {
	rows, err := s.pool.Query(ctx, `select version, type, event_id, occurred_at from order_events where order_id = $1 order by version`, order)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h HistoryEntry, err error) {
		err = row.Scan(&h.Version, &h.Type, &h.EventID, &h.OccurredAt)
		h.OccurredAt = h.OccurredAt.UTC()
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if len(out) == 0 {
		return nil, errUnknownOrder
	}
	return out, nil
}
