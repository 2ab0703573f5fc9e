package searchsync

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// batchLimit is how many records are made durable in the index at once.
const batchLimit = 500

// errIndex says that the index did not take a batch.
var errIndex = errors.New("search index not written")

// handle registers the handlers. They need no inbox: the index compares
// versions itself.
func (s *Service) handle(c *consume.Consumer) {
	c.OnBatch(schemas.TopicCDCProducts, batchLimit, s.rowsChanged(table{kind: Products, key: "sku"}))
	c.OnBatch(schemas.TopicCDCCustomers, batchLimit, s.rowsChanged(table{kind: Customers, key: "customer_id"}))
	c.OnEventBatch(schemas.TopicOrders, batchLimit, s.ordersChanged)
	c.OnEventBatch(schemas.TopicLogs, batchLimit, s.linesLogged)
}

// rowsChanged follows the change topic of a table.
func (s *Service) rowsChanged(t table) consume.BatchHandler {
	return func(ctx context.Context, batch []*consume.Message) error {
		docs := make([]Document, 0, len(batch))
		for _, m := range batch {
			doc, err := s.rowDocument(ctx, t, m)
			if err != nil {
				return err
			}
			docs = append(docs, doc)
		}
		return s.apply(ctx, batch, docs)
	}
}

func (s *Service) rowDocument(ctx context.Context, t table, m *consume.Message) (Document, error) {
	version, err := changeVersion(func(key string) string { return consume.Header(m.Record, key) })
	if err != nil {
		return Document{}, consume.Reject(err)
	}
	// After a tombstone the key is all there is.
	encoded := m.Record.Value
	if len(encoded) == 0 {
		encoded = m.Record.Key
	}
	_, value, err := s.serde.DecodeAny(ctx, encoded)
	if err != nil {
		return Document{}, fmt.Errorf("decode change of %s: %w", t.kind, err)
	}
	var doc Document
	if len(m.Record.Value) == 0 {
		doc, err = t.tombstone(version, value)
	} else {
		var change *debezium.Envelope
		if change, err = debezium.DecodeEnvelope(value); err == nil {
			doc, err = t.document(version, change)
		}
	}
	if err != nil {
		return Document{}, consume.Reject(err)
	}
	return doc, nil
}

// ordersChanged follows the orders' events.
func (s *Service) ordersChanged(ctx context.Context, batch []*consume.Message) error {
	docs := make([]Document, 0, len(batch))
	for _, m := range batch {
		if doc, ok := orderDocument(m.Event); ok {
			docs = append(docs, doc)
		}
	}
	return s.apply(ctx, batch, docs)
}

// linesLogged indexes log lines. It logs nothing itself.
func (s *Service) linesLogged(ctx context.Context, batch []*consume.Message) error {
	docs := make([]Document, 0, len(batch))
	for _, m := range batch {
		if line, ok := m.Event.(*events.LogLine); ok {
			docs = append(docs, logDocument(m.Record.Partition, m.Record.Offset, line))
		}
	}
	return s.apply(ctx, batch, docs)
}

// apply makes the documents of a batch durable in the index. That is a span in the
// trace of each message, since the index takes them together; log lines are
// untraced.
func (s *Service) apply(ctx context.Context, batch []*consume.Message, docs []Document) error {
	for _, m := range batch {
		if m.Span().IsRecording() {
			_, span := s.tracer.Start(trace.ContextWithSpan(ctx, m.Span()), "index documents", trace.WithSpanKind(trace.SpanKindClient),
				trace.WithAttributes(attribute.Int("quokka.documents", len(docs))))
			defer span.End()
		}
	}
	err := s.index.Apply(ctx, docs)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*DocumentError](err); ok {
		return consume.Reject(err)
	}
	return fmt.Errorf("%w: %w", errIndex, err)
}
