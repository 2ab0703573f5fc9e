package event

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/outbox"
	"github.com/quokka-stream/quokka/schemas/events"
)

// Writer makes outbox events for one service.
type Writer struct {
	encoder Encoder
	source  string
}

// NewWriter returns a writer for the service of this name.
func NewWriter(service string, encoder Encoder) *Writer {
	return &Writer{encoder: encoder, source: "/quokka/" + service}
}

// Outbox encodes an event for the outbox, with a new id. key is the record key: it
// decides which events keep their order. subject is the order's id. at is when it
// happened.
func (w *Writer) Outbox(ctx context.Context, topic, key, subject string, at time.Time, e events.Event) (outbox.Event, error) {
	value, err := w.encoder.Encode(ctx, topic, e)
	if err != nil {
		return outbox.Event{}, fmt.Errorf("event %s for %s: %w", e.AvroName(), topic, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return outbox.Event{}, fmt.Errorf("event id: %w", err)
	}
	header := func(key, value string) outbox.Header {
		return outbox.Header{Key: key, Value: []byte(value)}
	}
	return outbox.Event{
		ID: id, Topic: topic, Key: []byte(key), Value: value,
		Headers: []outbox.Header{
			header(HeaderSpecVersion, specVersion),
			header(HeaderID, id.String()),
			header(HeaderType, e.AvroName()),
			header(HeaderSource, w.source),
			header(HeaderSubject, subject),
			header(HeaderTime, at.UTC().Format(time.RFC3339Nano)),
			header(HeaderContentType, contentType),
		},
	}, nil
}
