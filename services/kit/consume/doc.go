// Package consume runs the event handlers of a service as a member of a Kafka
// consumer group.
//
//	c, err := consume.New(consume.Config{Group: "inventory", Brokers: brokers, Pool: pool, Decode: codec.Decode, ...})
//	consume.On(c, schemas.TopicOrders, func(ctx context.Context, tx pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
//		... // the effect, in tx
//	})
//	err = c.Run(ctx)
//
// # What it promises
//
// Order. Records with the same key of a partition are handled one after another,
// in offset order; different keys are handled at the same time. Records without
// a key have no order. A batch handler sees its partition in offset order.
//
// Once. A transactional handler runs in one PostgreSQL transaction with the row
// that takes the event off the inbox: either both are stored or neither. A record
// delivered again finds its inbox row and is acknowledged without running the
// handler. Handlers without database (OnMessage, OnBatch) have no inbox: they see
// every record at least once and must be idempotent.
//
// Nothing skipped. The committed offset of a partition is the contiguous
// watermark: every record below it was handled, found on the inbox, had no
// handler, or is on the dead-letter topic, acknowledged by all replicas. It is
// committed only while the partition is assigned to this member; what finishes
// later is dropped.
//
// Failures stay local. A failing record parks its key, not its partition: it is
// tried again after a backoff, and the records of the same key wait behind it.
// When the key has failed for longer than the budget, the record goes to the
// dead-letter topic with its original bytes and headers, and the key goes on. A
// dependency that is away (Config.Unavailable) is waited for without limit:
// an outage must not empty a topic into its dead-letter topic.
//
// Bounds. Records and bytes held are limited: polling rests while they are used up,
// and a partition that has its share and does not get on, because its handlers are
// slow or its keys are parked, is paused, so that others have the rest.
// The poll loop never waits for a handler, and heartbeats do not depend on it.
//
// A dead letter is handled again when somebody asks for it (`quokka dlq replay`):
// the group reads its dead-letter topics too, takes requests for a replay as the
// records they stand for, and passes over the letters. See replay.go.
//
// # Outcomes
//
// A handler returns nil to acknowledge, or an error. [Retry] names the delay,
// [Reject] sends the record to the dead-letter topic at once, [Stop] ends Run.
// Any other error, and a panic, is tried again after the backoff.
//
// A record whose type has no handler is acknowledged and counted. It is never
// dead-lettered: producers may add types before consumers know them.
//
// # How it is built
//
// tracker.go and scheduler.go are a pure core: no goroutines, no clock, no I/O.
// engine.go is the one goroutine that owns them; it starts work, collects
// results and answers the group's callbacks. process.go is what a worker does
// with a record. consumer.go joins the engine to franz-go.
package consume
