package consume

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/schemas/events"
)

// route is what handles the records of one topic: typed handlers, or one handler
// of raw records, with a transaction or without, or one of batches.
type route struct {
	topic  string
	types  map[string]recordHandler
	record recordHandler
	plain  func(ctx context.Context, m *Message) error
	// batch is the largest batch, 0 for routes that are not batched.
	batch       int
	decodeBatch bool
	batches     BatchHandler
	// replays marks the route of the topic's dead-letter topic, of whose records
	// only the requests for a replay are handled.
	replays bool
}

type recordHandler = func(ctx context.Context, tx pgx.Tx, m *Message) error

// BatchHandler handles records of one partition in offset order, at least once
// each: it must be idempotent. An error fails the whole batch; a record that must
// be given up is found by handling them one by one.
type BatchHandler func(ctx context.Context, batch []*Message) error

// On handles the events of type E on a topic, each in a transaction with its
// inbox row. ctx carries the span of the processing and ends at
// Config.HandlerTimeout, or when the partition is taken away. tx is committed if
// the handler returns nil, else rolled back; the handler must do neither.
//
// E is a pointer type of package events. All calls come before Run.
func On[E events.Event](c *Consumer, topic string, handle func(ctx context.Context, tx pgx.Tx, m *Message, e E) error) {
	var zero E
	name := zero.AvroName()
	r := c.routeTo(topic)
	if r.record != nil || r.plain != nil || r.batches != nil {
		panic(fmt.Sprintf("consume: topic %s already has a handler for every record", topic))
	}
	if r.types == nil {
		r.types = map[string]recordHandler{}
	}
	if r.types[name] != nil {
		panic(fmt.Sprintf("consume: %s on topic %s has two handlers", name, topic))
	}
	r.types[name] = func(ctx context.Context, tx pgx.Tx, m *Message) error {
		e, ok := m.Event.(E)
		if !ok {
			return Reject(fmt.Errorf("decoded %T, want %T", m.Event, zero))
		}
		return handle(ctx, tx, m, e)
	}
}

// OnRecord handles every record of a topic, undecoded, each in a transaction with
// its inbox row. It is for topics whose schemas are not known in advance, such as
// those of change data capture.
func (c *Consumer) OnRecord(topic string, handle func(ctx context.Context, tx pgx.Tx, m *Message) error) {
	c.exclusive(topic).record = handle
}

// OnMessage handles every record of a topic, undecoded, by key as On does but
// without database: at least once, so handle must be idempotent.
func (c *Consumer) OnMessage(topic string, handle func(ctx context.Context, m *Message) error) {
	c.exclusive(topic).plain = handle
}

// OnBatch handles the records of a topic, undecoded, in batches of at most limit.
// A batch is what has been fetched when the one before is done: it does not wait
// to fill.
func (c *Consumer) OnBatch(topic string, limit int, handle BatchHandler) {
	r := c.exclusive(topic)
	r.batches, r.batch = handle, max(1, limit)
}

// OnEventBatch is OnBatch with the events decoded. Records of types that are not
// known here are acknowledged and left out of the batch.
func (c *Consumer) OnEventBatch(topic string, limit int, handle BatchHandler) {
	c.OnBatch(topic, limit, handle)
	c.routes[topic].decodeBatch = true
}

func (c *Consumer) routeTo(topic string) *route {
	r := c.routes[topic]
	if r == nil {
		r = &route{topic: topic}
		c.routes[topic] = r
		c.metrics.expect(topic)
	}
	return r
}

func (c *Consumer) exclusive(topic string) *route {
	if c.routes[topic] != nil {
		panic(fmt.Sprintf("consume: topic %s has two handlers", topic))
	}
	return c.routeTo(topic)
}

// transactional says whether the route needs a database.
func (r *route) transactional() bool { return r.types != nil || r.record != nil }

// decodes says whether the route needs a decoder.
func (r *route) decodes() bool { return r.types != nil || r.decodeBatch }
