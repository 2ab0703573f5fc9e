package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// InboxRow says that a consumer group has handled an event. The row is written in
// the transaction of the event's effect, so that both exist or neither does.
type InboxRow struct {
	Group     string
	EventID   string
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte
}

// Receive takes an event off the inbox. It returns false if the group has handled
// the event before; the transaction then has nothing to do. While another
// transaction holds the same event, Receive waits for its end.
func Receive(ctx context.Context, tx pgx.Tx, row InboxRow) (fresh bool, err error) {
	tag, err := tx.Exec(ctx, `
		insert into inbox (consumer_group, event_id, topic, partition, record_offset, record_key)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (consumer_group, event_id) do nothing`,
		row.Group, row.EventID, row.Topic, row.Partition, row.Offset, row.Key)
	if err != nil {
		return false, fmt.Errorf("inbox: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// execer is a pool, a connection or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// PruneInbox removes rows received before the given time, and returns how many.
// What it forgets and Kafka delivers again is caught by the effects' own unique
// keys.
func PruneInbox(ctx context.Context, db execer, before time.Time) (int64, error) {
	tag, err := db.Exec(ctx, `delete from inbox where received_at < $1`, before)
	if err != nil {
		return 0, fmt.Errorf("prune inbox: %w", err)
	}
	return tag.RowsAffected(), nil
}
