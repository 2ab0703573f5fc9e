package outbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
)

// Names of the W3C trace context headers.
const (
	traceparentKey = "traceparent"
	tracestateKey  = "tracestate"
)

const insertEvent = `INSERT INTO outbox.event
(event_id, topic, key, value, header_keys, header_values, traceparent, tracestate)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// Write adds the events to the outbox in the caller's transaction: they are
// published, in the order given, if and only if it commits.
//
// Call it after taking the lock of each event's key, and hold that lock to commit;
// the package comment says why. The trace context in ctx is stored with the
// events.
func Write(ctx context.Context, tx pgx.Tx, events ...Event) error {
	return Writer{}.Write(ctx, tx, events...)
}

// Writer writes events under other limits than Write. Its zero value is Write.
type Writer struct {
	// MaxBytes is the largest event taken (keys, values and headers). Default:
	// DefaultMaxBytes. Danger: an event that the producer or the broker refuses
	// stops the relay, with everything behind that event; raise kgo's
	// ProducerBatchMaxBytes and the topic's max.message.bytes first.
	MaxBytes int
}

// Write adds the events to the outbox, see the function Write.
func (w Writer) Write(ctx context.Context, tx pgx.Tx, events ...Event) error {
	rows, err := w.rows(ctx, events)
	switch {
	case err != nil || len(rows) == 0:
		return err
	case len(rows) == 1:
		if _, err := tx.Exec(ctx, insertEvent, rows[0]...); err != nil {
			return fmt.Errorf("outbox: write event: %w", err)
		}
		return nil
	}
	// One round trip. The statements run one after the other, so the sequence
	// numbers rise in the order given.
	batch := &pgx.Batch{}
	for _, r := range rows {
		batch.Queue(insertEvent, r...)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("outbox: write %d events: %w", len(rows), err)
	}
	return nil
}

// Queue is Write for callers that send their statements in a batch: it saves the
// round trip, which is more than half of what Write costs. The statement that takes
// the key's lock must be in front, and the batch must run in a transaction.
func Queue(ctx context.Context, batch *pgx.Batch, events ...Event) error {
	return Writer{}.Queue(ctx, batch, events...)
}

// Queue adds the events to a batch, see the function Queue.
func (w Writer) Queue(ctx context.Context, batch *pgx.Batch, events ...Event) error {
	rows, err := w.rows(ctx, events)
	for _, r := range rows {
		batch.Queue(insertEvent, r...)
	}
	return err
}

// rows returns the events as arguments of insertEvent: all of them, or an error.
func (w Writer) rows(ctx context.Context, events []Event) ([][]any, error) {
	maxBytes := w.MaxBytes
	if maxBytes == 0 {
		maxBytes = DefaultMaxBytes
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	traceparent, tracestate := carrier[traceparentKey], carrier[tracestateKey]
	rows := make([][]any, 0, len(events))
	for _, e := range events {
		if e.ID == uuid.Nil {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("outbox: event id: %w", err)
			}
			e.ID = id
		}
		if err := e.validate(maxBytes); err != nil {
			return nil, err
		}
		keys, values := e.headerColumns(traceparent != "")
		rows = append(rows, []any{[16]byte(e.ID), e.Topic, e.Key, e.Value, keys, values, orNull(traceparent), orNull(tracestate)})
	}
	return rows, nil
}

// headerColumns returns the headers as two arrays, NULL if there are none. Where
// the outbox carries a trace context, headers of its names give way to it.
func (e *Event) headerColumns(traced bool) (keys []string, values [][]byte) {
	for _, h := range e.Headers {
		if traced && (strings.EqualFold(h.Key, traceparentKey) || strings.EqualFold(h.Key, tracestateKey)) {
			continue
		}
		keys = append(keys, h.Key)
		values = append(values, h.Value)
	}
	return keys, values
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
