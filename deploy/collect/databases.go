package collect

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// The platform's databases.
const (
	orderDB        = "quokka_order"
	inventoryDB    = "quokka_inventory"
	notificationDB = "quokka_notification"
)

// tables are the rows that documents in the index mirror: kind → id → fields.
type tables map[string]map[string]map[string]string

// reader reads rows of one database, in one snapshot.
type reader struct {
	tx  pgx.Tx
	err error // the first that happened
}

// readDatabases fills in the rows, and returns those that are indexed.
func (c *Collector) readDatabases(ctx context.Context, f *checker.Facts) (tables, error) {
	rows := tables{"orders": {}, "customers": {}, "products": {}}
	for _, db := range []struct {
		name string
		read func(context.Context, *reader)
	}{
		{orderDB, func(ctx context.Context, r *reader) { readOrder(ctx, r, f, rows) }},
		{inventoryDB, func(ctx context.Context, r *reader) { readInventory(ctx, r, f, rows) }},
		{notificationDB, func(ctx context.Context, r *reader) { readInbox(ctx, r, f) }},
	} {
		if err := c.snapshot(ctx, db.name, db.read); err != nil {
			return nil, fmt.Errorf("%s: %w", db.name, err)
		}
	}
	return rows, nil
}

func (c *Collector) snapshot(ctx context.Context, database string, read func(context.Context, *reader)) error {
	conn, err := c.connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it only read
	r := &reader{tx: tx}
	read(ctx, r)
	return r.err
}

// each scans every row of a query into dest and calls then.
func (r *reader) each(ctx context.Context, query string, dest []any, then func()) {
	if r.err != nil {
		return
	}
	rows, err := r.tx.Query(ctx, query)
	if err != nil {
		r.err = err
		return
	}
	_, r.err = pgx.ForEachRow(rows, dest, func() error { then(); return nil })
}

func readOrder(ctx context.Context, r *reader, f *checker.Facts, indexed tables) {
	var o checker.Order
	r.each(ctx, `select order_id::text, customer_id::text, status, version from orders`,
		[]any{&o.ID, &o.CustomerID, &o.Status, &o.Version}, func() {
			f.Orders = append(f.Orders, o)
			indexed["orders"][o.ID] = map[string]string{"status": o.Status}
		})
	var h checker.HistoryRow
	r.each(ctx, `select order_id::text, version, type, event_id::text from order_events`,
		[]any{&h.OrderID, &h.Version, &h.Type, &h.EventID}, func() { f.History = append(f.History, h) })
	var k checker.IdempotencyKey
	r.each(ctx, `select key, customer_id::text, order_id::text from idempotency_keys where order_id is not null`,
		[]any{&k.Key, &k.CustomerID, &k.OrderID}, func() { f.Keys = append(f.Keys, k) })
	var id, name, email string
	r.each(ctx, `select customer_id::text, name, email from customers`,
		[]any{&id, &name, &email}, func() { indexed["customers"][id] = map[string]string{"name": name, "email": email} })
	readInbox(ctx, r, f)
}

func readInventory(ctx context.Context, r *reader, f *checker.Facts, indexed tables) {
	var m checker.Movement
	r.each(ctx, `select movement_id, coalesce(order_id::text, ''), sku, kind, quantity from stock_movements`,
		[]any{&m.ID, &m.OrderID, &m.SKU, &m.Kind, &m.Quantity}, func() { f.Movements = append(f.Movements, m) })
	var s checker.StockRow
	r.each(ctx, `select sku, initial, available from stock`,
		[]any{&s.SKU, &s.Initial, &s.Available}, func() { f.Stock = append(f.Stock, s) })
	var v checker.Reservation
	r.each(ctx, `select order_id::text, status from reservations`,
		[]any{&v.OrderID, &v.Status}, func() { f.Reservations = append(f.Reservations, v) })
	var sku, name string
	r.each(ctx, `select sku, name from products`,
		[]any{&sku, &name}, func() { indexed["products"][sku] = map[string]string{"name": name} })
	readInbox(ctx, r, f)
}

// readInbox reads the inbox that every service's database has. Records
// without a key have no order to keep.
func readInbox(ctx context.Context, r *reader, f *checker.Facts) {
	var row checker.InboxRow
	var key []byte
	r.each(ctx, `select consumer_group, event_id, topic, partition, record_offset, record_key, sequence from inbox where record_key is not null`,
		[]any{&row.Group, &row.EventID, &row.Topic, &row.Partition, &row.Offset, &key, &row.Sequence}, func() {
			row.Key = string(key)
			f.Inbox = append(f.Inbox, row)
		})
}
