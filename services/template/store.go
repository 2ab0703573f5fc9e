package template

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quokka-stream/quokka/outbox"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/event"
)

// store is the service's SQL. Methods with a transaction belong into one that the
// caller commits.
type store struct {
	pool *pgxpool.Pool
	//template:if produces
	events *event.Writer
	//template:end
}

// record stores an entry; fresh is false if its event has one.
func (s *store) record(ctx context.Context, tx pgx.Tx, e Entry) (fresh bool, err error) {
	tag, err := tx.Exec(ctx, `insert into entries (event_id, topic, type, subject, recorded_at) values ($1, $2, $3, $4, $5)
		on conflict (event_id) do nothing`, e.EventID, e.Topic, e.Type, e.Subject, e.RecordedAt)
	if err != nil {
		return false, fmt.Errorf("record event %s: %w", e.EventID, err)
	}
	return tag.RowsAffected() == 1, nil
}

//template:if http

// entries returns the newest entries first; an empty subject selects all.
func (s *store) entries(ctx context.Context, subject string, limit int) ([]Entry, error) {
	rows, err := s.pool.Query(ctx, `select event_id, topic, type, subject, recorded_at from entries
		where $1 = '' or subject = $1 order by recorded_at desc, event_id limit $2`, subject, limit)
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Entry])
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	for i := range found {
		found[i].RecordedAt = found[i].RecordedAt.UTC()
	}
	return found, nil
}

//template:end
//template:if produces

// announce adds the events about an entry to the outbox, under the key of the event
// it records: what happened to one key is told in the order in which it happened.
// An event without a key has no order.
func (s *store) announce(ctx context.Context, tx pgx.Tx, key []byte, e Entry) error {
	if len(key) == 0 {
		key = []byte(e.EventID)
	}
	// The key's lock is held to the commit: of two transactions of a key, from two
	// topics say, the second writes to the outbox when the first is visible.
	h := fnv.New64a()
	_, _ = h.Write(key)
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(h.Sum64())); err != nil {
		return fmt.Errorf("lock key: %w", err)
	}
	//template:each produced
	if err := s.emit(ctx, tx, schemas.TopicExamples, key, e, e.ExampleRecorded()); err != nil {
		return err
	}
	//template:end
	return nil
}

func (s *store) emit(ctx context.Context, tx pgx.Tx, topic string, key []byte, about Entry, e events.Event) error {
	out, err := s.events.Outbox(ctx, topic, string(key), about.Subject, about.RecordedAt, e)
	if err != nil {
		return err
	}
	return outbox.Write(ctx, tx, out)
}

//template:end
