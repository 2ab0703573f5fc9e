package notification

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// putAddress enters a change of a customer into the address book, unless the
// book already shows a newer one.
func putAddress(ctx context.Context, tx pgx.Tx, a Address) error {
	_, err := tx.Exec(ctx, `
		insert into addresses as book (customer_id, name, email, commit_lsn, ordinal, deleted)
		values ($1, $2, $3, $4::text::numeric, $5::text::numeric, $6)
		on conflict (customer_id) do update
		set name = excluded.name, email = excluded.email, deleted = excluded.deleted,
		    commit_lsn = excluded.commit_lsn, ordinal = excluded.ordinal
		where (book.commit_lsn, book.ordinal) < (excluded.commit_lsn, excluded.ordinal)`,
		a.CustomerID, a.Name, a.Email,
		strconv.FormatUint(a.CommitLSN, 10), strconv.FormatUint(a.Ordinal, 10), a.Deleted)
	if err != nil {
		return fmt.Errorf("enter address of %s: %w", a.CustomerID, err)
	}
	return nil
}

// address looks a customer up. found is false when the book does not know the
// customer yet.
func address(ctx context.Context, tx pgx.Tx, customer uuid.UUID) (a Address, found bool, err error) {
	a.CustomerID = customer
	err = tx.QueryRow(ctx, `select name, email, deleted from addresses where customer_id = $1`, customer).
		Scan(&a.Name, &a.Email, &a.Deleted)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, false, nil
	}
	if err != nil {
		return a, false, fmt.Errorf("look up address of %s: %w", customer, err)
	}
	return a, true, nil
}

// record enters a notification. fresh is false when the event was already
// answered on this channel: whatever the inbox says, nothing is sent again.
func record(ctx context.Context, tx pgx.Tx, n Notification) (fresh bool, err error) {
	tag, err := tx.Exec(ctx, `
		insert into notifications (event_id, channel, order_id, customer_id, type, message_id, status, sent_at)
		values ($1, $2, $3, $4, $5, $6, $7, case when $7 = 'sent' then now() end)
		on conflict (event_id, channel) do nothing`,
		n.EventID, n.Channel, n.OrderID, n.CustomerID, n.Type, n.MessageID, n.Status)
	if err != nil {
		return false, fmt.Errorf("record notification of event %s: %w", n.EventID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// filter selects notifications; zero fields select all.
type filter struct {
	OrderID    uuid.UUID
	CustomerID uuid.UUID
	Limit      int
}

// list returns the newest notifications first.
func list(ctx context.Context, q querier, f filter) ([]Notification, error) {
	rows, err := q.Query(ctx, `
		select event_id, channel, order_id, customer_id, type, message_id, status, created_at, sent_at
		from notifications
		where ($1 = '00000000-0000-0000-0000-000000000000'::uuid or order_id = $1)
		  and ($2 = '00000000-0000-0000-0000-000000000000'::uuid or customer_id = $2)
		order by created_at desc, event_id desc
		limit $3`, f.OrderID, f.CustomerID, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notification, err error) {
		err = row.Scan(&n.EventID, &n.Channel, &n.OrderID, &n.CustomerID, &n.Type, &n.MessageID, &n.Status, &n.CreatedAt, &n.SentAt)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	return found, nil
}
