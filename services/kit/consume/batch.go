package consume

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// processBatch handles the items of a task together.
//
// The batch has a span of its own that only links to its records' send contexts;
// each record has its process span too, so that an order's trace holds the hop.
func (c *Consumer) processBatch(ctx context.Context, t *task) []result {
	results := make([]result, len(t.items))
	r := t.lane.of.route

	// Sort out what does not reach the handler: dead letters still to be written,
	// unknown types, values that cannot be decoded.
	var batch []*Message
	var at []int // positions of the batch's messages in the task
	for i, it := range t.items {
		m := c.open(it, r)
		if m == nil {
			results[i] = result{verdict: acknowledge}
			continue
		}
		if it.lost != nil {
			results[i] = c.giveUp(ctx, it, it.lost)
			continue
		}
		m.Attempt++
		if r.decodeBatch {
			err := c.decode(ctx, m)
			if errors.Is(err, ErrUnknownType) {
				c.metrics.processed(m.Record.Topic, outcomeUnhandled, 0, trace.SpanContext{})
				results[i] = result{verdict: acknowledge}
				continue
			}
			if err != nil {
				results[i] = c.conclude(ctx, t, it, err, 0)
				if results[i].verdict == retry {
					// Later records of the partition must not overtake this one.
					for j := i + 1; j < len(t.items); j++ {
						results[j] = result{verdict: retry, after: results[i].after}
					}
					return c.runBatch(ctx, t, batch, at, results)
				}
				continue
			}
		}
		batch, at = append(batch, m), append(at, i)
	}
	return c.runBatch(ctx, t, batch, at, results)
}

// runBatch calls the handler and fills in the results of the batch's positions.
func (c *Consumer) runBatch(ctx context.Context, t *task, batch []*Message, at []int, results []result) []result {
	if len(batch) == 0 {
		return results
	}
	r := t.lane.of.route
	begun := c.cfg.now()

	spans := make([]trace.Span, len(batch))
	for i, m := range batch {
		_, spans[i] = c.startSpan(ctx, m)
	}
	handlerCtx, batchSpan := ctx, trace.Span(nil)
	if !c.untraced[r.topic] && len(batch) > 1 {
		handlerCtx, batchSpan = telemetry.StartBatch(ctx, c.tracer, r.topic, c.cfg.Group, spans)
	} else if len(batch) == 1 {
		handlerCtx = trace.ContextWithSpan(ctx, spans[0])
	}

	err := c.callBatch(handlerCtx, r, batch)
	took := c.cfg.now().Sub(begun)
	outcome := outcomeHandled
	// Decided once for all of them: pauses are random, and what would give up one
	// record of a batch must not give up the others.
	v, after := c.decide(ctx, t, batch[0], err, took)
	switch {
	case err == nil:
	case len(batch) > 1 && v == deadLetter:
		// One of them is to be given up: find it by handling them one by one.
		for _, i := range at {
			t.items[i].solo = true
			results[i] = result{verdict: retry}
		}
		outcome = outcomeRetried
	default:
		for _, i := range at {
			results[i] = c.carryOut(ctx, t.items[i], err, v, after)
		}
		switch results[at[0]].verdict {
		case deadLetter:
			outcome = outcomeDeadLettered
		case stop:
			outcome = outcomeStopped
		default:
			outcome = outcomeRetried
		}
	}
	for i, m := range batch {
		c.endSpan(spans[i], m, outcome, err)
		c.metrics.processed(r.topic, outcome, took, spans[i].SpanContext())
	}
	if batchSpan != nil {
		batchSpan.End()
	}
	return results
}

func (c *Consumer) callBatch(ctx context.Context, r *route, batch []*Message) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.HandlerTimeout, c.timeout)
	defer cancel()
	defer recovered(&err)
	return r.batches(ctx, batch)
}
