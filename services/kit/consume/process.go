package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// How an attempt ended, as metrics and spans name it.
const (
	outcomeHandled      = "handled"
	outcomeDuplicate    = "duplicate"     // found on the inbox
	outcomeUnhandled    = "unhandled"     // its type has no handler
	outcomeRetried      = "retried"       // failed, to be tried again
	outcomeDeadLettered = "dead_lettered" // given up
	outcomeStopped      = "stopped"       // failed, and the consumer with it
)

// process handles a task and says what is to become of each of its items. It runs
// in a worker.
func (c *Consumer) process(ctx context.Context, t *task) []result {
	if t.lane.of.route.batches != nil {
		return c.processBatch(ctx, t)
	}
	results := make([]result, len(t.items))
	for i, it := range t.items {
		results[i] = c.processRecord(ctx, t, it)
	}
	return results
}

func (c *Consumer) processRecord(ctx context.Context, t *task, it *item) result {
	m := c.open(it, t.lane.of.route)
	if m == nil {
		return result{verdict: acknowledge}
	}
	if it.lost != nil {
		return c.giveUp(ctx, it, it.lost)
	}
	m.Attempt++
	ctx, span := c.startSpan(ctx, m)
	begun := c.cfg.now()
	outcome, err := c.attempt(ctx, t.lane.of.route, m)
	r := c.conclude(ctx, t, it, err, c.cfg.now().Sub(begun))
	switch r.verdict {
	case retry:
		outcome = outcomeRetried
	case deadLetter:
		outcome = outcomeDeadLettered
	case stop:
		outcome = outcomeStopped
	}
	c.endSpan(span, m, outcome, err)
	c.metrics.processed(m.Record.Topic, outcome, c.cfg.now().Sub(begun), trace.SpanContextFromContext(ctx))
	return r
}

// open makes the item's message at its first attempt. It returns nil for a letter
// on a dead-letter topic, which is passed over: it waits for somebody to ask.
func (c *Consumer) open(it *item, r *route) *Message {
	if it.message != nil {
		return it.message
	}
	if !r.replays {
		it.message = newMessage(it.record)
	} else if original, ok := requested(it.record, r.topic, c.cfg.Group); ok {
		it.message = newMessage(original)
		it.message.delivered, it.message.replayed = it.record, true
	}
	return it.message
}

// conclude turns an attempt's error into a result.
func (c *Consumer) conclude(ctx context.Context, t *task, it *item, err error, took time.Duration) result {
	v, after := c.decide(ctx, t, it.message, err, took)
	return c.carryOut(ctx, it, err, v, after)
}

// decide says what is to become of a record after an attempt that took so long.
func (c *Consumer) decide(ctx context.Context, t *task, m *Message, err error, took time.Duration) (verdict, time.Duration) {
	switch {
	case err == nil:
		return acknowledge, 0
	case ctx.Err() != nil:
		// The partition was taken away, or the consumer is ending. This says nothing
		// about the record, and the result no longer counts.
		return retry, c.cfg.Backoff.Max
	}
	return c.cfg.Backoff.judge(err, m.Attempt, t.failing+took, c.cfg.Unavailable(err))
}

// carryOut turns what was decided into a result; a record that is given up is
// on the dead-letter topic before its result says so.
func (c *Consumer) carryOut(ctx context.Context, it *item, err error, v verdict, after time.Duration) result {
	m := it.message
	switch v {
	case stop:
		return result{verdict: stop, err: fmt.Errorf("%s on %s/%d offset %d: %w", c.cfg.Group, m.Record.Topic, m.Record.Partition, m.Record.Offset, err)}
	case deadLetter:
		return c.giveUp(ctx, it, err)
	case retry:
		if ctx.Err() == nil {
			c.reportRetry(ctx, m, err, after)
		}
	}
	return result{verdict: v, after: after}
}

// giveUp writes the record's dead letter. If that fails it is tried again, for as
// long as it takes: the watermark must not pass a record that is nowhere.
func (c *Consumer) giveUp(ctx context.Context, it *item, cause error) result {
	m := it.message
	if err := c.writeDeadLetter(ctx, m, cause); err != nil {
		it.lost = cause
		it.letters++
		after := c.cfg.Backoff.delay(it.letters)
		if ctx.Err() == nil {
			c.cfg.Logger.ErrorContext(ctx, "dead letter not written, trying again",
				"topic", m.Record.Topic, "partition", m.Record.Partition, "offset", m.Record.Offset, "error", err)
		}
		return result{verdict: retry, after: after}
	}
	c.cfg.Logger.ErrorContext(ctx, "record given up, moved to the dead-letter topic",
		"topic", m.Record.Topic, "partition", m.Record.Partition, "offset", m.Record.Offset,
		"event_id", m.ID, "type", m.Type, "attempts", m.Attempt, "error", cause)
	if it.letters > 0 { // the attempt itself was counted as retried
		c.metrics.processed(m.Record.Topic, outcomeDeadLettered, 0, trace.SpanContext{})
	}
	return result{verdict: deadLetter}
}

// attempt runs the handler of one record.
func (c *Consumer) attempt(ctx context.Context, r *route, m *Message) (outcome string, err error) {
	handle := r.record
	if handle == nil && r.plain == nil {
		if m.Type != "" && r.types[m.Type] == nil {
			return outcomeUnhandled, nil
		}
		if err := c.decode(ctx, m); err != nil {
			if errors.Is(err, ErrUnknownType) {
				return outcomeUnhandled, nil
			}
			return "", err
		}
		if handle = r.types[m.Event.AvroName()]; handle == nil {
			return outcomeUnhandled, nil
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HandlerTimeout, c.timeout)
	defer cancel()
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = fmt.Errorf("%w (%w)", err, cause)
		}
	}()
	if r.plain != nil {
		return outcomeHandled, c.callPlain(ctx, r, m)
	}
	outcome = outcomeDuplicate
	fresh, err := c.inTx(ctx, m, func(ctx context.Context, tx pgx.Tx) error { return handle(ctx, tx, m) })
	if fresh {
		outcome = outcomeHandled
	}
	return outcome, err
}

func (c *Consumer) callPlain(ctx context.Context, r *route, m *Message) (err error) {
	defer recovered(&err)
	return r.plain(ctx, m)
}

// decode fills m.Event once.
func (c *Consumer) decode(ctx context.Context, m *Message) error {
	if m.Event != nil {
		return nil
	}
	e, err := c.decodeRecord(ctx, m.Record)
	if err != nil {
		return err
	}
	m.Event = e
	return nil
}

func (c *Consumer) decodeRecord(ctx context.Context, r *kgo.Record) (e events.Event, err error) {
	defer recovered(&err)
	return c.cfg.Decode(ctx, r)
}

// inTx runs f in a transaction that also takes the event off the inbox. fresh is
// false if the inbox had it already: then f did not run.
func (c *Consumer) inTx(ctx context.Context, m *Message, f func(context.Context, pgx.Tx) error) (fresh bool, err error) {
	r := m.delivered
	m.committed = nil
	err = postgres.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		var err error
		fresh, err = postgres.Receive(ctx, tx, postgres.InboxRow{
			Group: c.cfg.Group, EventID: m.ID,
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key,
		})
		if err != nil || !fresh {
			return err
		}
		return guarded(ctx, tx, f)
	})
	if err == nil && fresh {
		for _, f := range m.committed {
			f()
		}
		c.cfg.Committed()
	}
	return fresh, err
}

// guarded runs f and turns a panic into an error.
func guarded(ctx context.Context, tx pgx.Tx, f func(context.Context, pgx.Tx) error) (err error) {
	defer recovered(&err)
	return f(ctx, tx)
}

func recovered(err *error) {
	if v := recover(); v != nil {
		*err = newPanicError(v)
	}
}

// reportRetry logs the first failure of a record, and then each time its attempts
// double: a key that fails for minutes does not fill the log.
func (c *Consumer) reportRetry(ctx context.Context, m *Message, err error, after time.Duration) {
	if m.Attempt&(m.Attempt-1) != 0 {
		return
	}
	args := []any{
		"topic", m.Record.Topic, "partition", m.Record.Partition, "offset", m.Record.Offset,
		"event_id", m.ID, "type", m.Type, "attempt", m.Attempt, "retry_in", after, "error", err,
	}
	var p *panicError
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
	}
	c.cfg.Logger.WarnContext(ctx, "handler failed, key parked", args...)
}

func (c *Consumer) startSpan(ctx context.Context, m *Message) (context.Context, trace.Span) {
	if c.untraced[m.Record.Topic] {
		return ctx, trace.SpanFromContext(ctx)
	}
	ctx, m.span = telemetry.StartProcess(ctx, c.tracer, m.Record, telemetry.Process{
		Group: c.cfg.Group, MessageID: m.ID, Attempt: m.Attempt, LastAttempt: m.lastAttempt, Parentage: c.cfg.Parentage,
	})
	return ctx, m.span
}

func (c *Consumer) endSpan(span trace.Span, m *Message, outcome string, err error) {
	m.lastAttempt = span.SpanContext()
	span.SetAttributes(telemetry.Outcome(outcome))
	if outcome == outcomeDuplicate || m.Attempt > 1 || m.replayed {
		span.SetAttributes(telemetry.Redelivered())
	}
	if err != nil {
		span.SetAttributes(telemetry.ErrorType(err))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
