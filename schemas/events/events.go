// Package events holds the Go types of the platform's events. They are
// generated from the schemas in ../avro by `schemas generate` and checked in;
// this file is the part that is written by hand.
//
// An event is used by pointer. Its Validate method holds what Avro cannot say:
// that ids are UUIDs, times are set, numbers and lengths are in range. Encode
// and Decode write and read plain Avro of the event's own schema; package serde
// adds the registry's framing and reads what other versions wrote.
package events

import (
	"fmt"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// Event is what travels on a topic.
type Event interface {
	// AvroName is the schema's full name, also the CloudEvents type.
	AvroName() string
	// AvroSchema is the schema's canonical text, complete in itself.
	AvroSchema() string
	// Validate reports the first value that the schema's limits do not allow,
	// as a *ValidationError.
	Validate() error
}

// ValidationError says which field of an event holds a value it must not hold.
type ValidationError struct {
	// Event is the schema's full name.
	Event string
	// Field is the path from the event, such as lines[2].quantity.
	Field string
	// Problem says what is wrong with it.
	Problem string
}

func (e *ValidationError) Error() string {
	return fmt.Sprintf("%s: field %s %s", e.Event, e.Field, e.Problem)
}

// New returns an empty event of the type with this full name.
func New(name string) (Event, bool) {
	t, ok := types[name]
	if !ok {
		return nil, false
	}
	return t.make(), true
}

// Names returns the full names of all event types, sorted.
func Names() []string {
	out := make([]string, len(names))
	copy(out, names)
	return out
}

// Schema returns the parsed schema of the event type with this full name.
func Schema(name string) (*codec.Schema, bool) {
	t, ok := types[name]
	if !ok {
		return nil, false
	}
	return t.schema(), true
}

// Encode validates e and returns its Avro encoding by its own schema.
func Encode(e Event) ([]byte, error) {
	s, ok := Schema(e.AvroName())
	if !ok {
		return nil, fmt.Errorf("events: %s is not generated here", e.AvroName())
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	b, err := s.AppendEncode(nil, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.AvroName(), err)
	}
	return b, nil
}

// Decode fills e from Avro written with e's own schema, and validates it.
func Decode(b []byte, e Event) error {
	s, ok := Schema(e.AvroName())
	if !ok {
		return fmt.Errorf("events: %s is not generated here", e.AvroName())
	}
	if err := s.Decode(b, e); err != nil {
		return fmt.Errorf("%s: %w", e.AvroName(), err)
	}
	return e.Validate()
}

// eventType is what the generated table holds of each event.
type eventType struct {
	make   func() Event
	schema func() *codec.Schema
}

// parsed parses a schema at its first use.
func parsed(text string) func() *codec.Schema {
	return sync.OnceValue(func() *codec.Schema { return codec.MustParse(text) })
}

// isUUID reports whether s is a UUID in the form of RFC 9562.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// The times that timestamp-micros holds and RFC 3339 can write.
var (
	minTime = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)
	maxTime = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

// timeProblem says what is wrong with a time, "" if nothing.
func timeProblem(t time.Time) string {
	switch {
	case t.IsZero():
		return "is not set"
	case t.Before(minTime) || t.After(maxTime):
		return "is outside the years 1 to 9999"
	}
	return ""
}
