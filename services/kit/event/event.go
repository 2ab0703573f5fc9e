// Package event puts events on the wire and takes them off: the value by the
// schema registry's format, the envelope by CloudEvents' Kafka binding in binary
// mode (version 1.0), so that a record says what it is without being decoded.
package event

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// Header names of the envelope.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderType        = "ce_type"
	HeaderSource      = "ce_source"
	HeaderSubject     = "ce_subject"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"
)

const (
	specVersion = "1.0"
	contentType = "application/avro"
)

// Encoder turns an event into a record value; *serde.Serde is one.
type Encoder interface {
	Encode(ctx context.Context, topic string, e events.Event) ([]byte, error)
}

// Decoder turns a record value into an event; *serde.Serde is one.
type Decoder interface {
	Decode(ctx context.Context, value []byte) (events.Event, error)
}

// Meta is the envelope of an event.
type Meta struct {
	// ID is the event's UUIDv7; zero if the record has none.
	ID uuid.UUID
	// Type is the schema's full name.
	Type string
	// Source is /quokka/<service>.
	Source string
	// Subject is the id of the order that the event is about.
	Subject string
	// Time is when it happened.
	Time time.Time
}

// MetaOf reads the envelope of a record. What is missing or malformed is zero.
func MetaOf(r *kgo.Record) Meta {
	m := Meta{
		Type:    consume.Header(r, HeaderType),
		Source:  consume.Header(r, HeaderSource),
		Subject: consume.Header(r, HeaderSubject),
	}
	if id, err := uuid.Parse(consume.Header(r, HeaderID)); err == nil {
		m.ID = id
	}
	if t, err := time.Parse(time.RFC3339Nano, consume.Header(r, HeaderTime)); err == nil {
		m.Time = t
	}
	return m
}

// Decode returns the decoding function of a consumer (consume.Config.Decode). It
// sorts the registry's errors into outcomes: unknown types are acknowledged, values
// that are not what their schema says are given up, and an absent registry is
// waited for (see Unavailable).
func Decode(d Decoder) func(ctx context.Context, r *kgo.Record) (events.Event, error) {
	return func(ctx context.Context, r *kgo.Record) (events.Event, error) {
		e, err := d.Decode(ctx, r.Value)
		var unknown *serde.UnknownTypeError
		var malformed *serde.DecodeError
		switch {
		case errors.As(err, &unknown):
			return nil, errors.Join(consume.ErrUnknownType, err)
		case errors.As(err, &malformed):
			return nil, consume.Reject(err)
		}
		return e, err
	}
}
