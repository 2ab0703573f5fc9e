package template

import (
	"time"

	"github.com/quokka-stream/quokka/schemas/events"
)

// Entry is what the service remembers of one event. It stands for whatever the
// service is about: this file has its types and rules, and no I/O.
type Entry struct {
	// EventID is the id of the event; there is one entry for each.
	EventID string `json:"event_id"`
	// Topic and Type say where it came from and what happened.
	Topic string `json:"topic"`
	Type  string `json:"type"`
	// Subject is what the event is about, such as an order's id; empty if it does
	// not say.
	Subject string `json:"subject"`
	// RecordedAt is when the service learned of it.
	RecordedAt time.Time `json:"recorded_at"`
}

// NewEntry records an event at a time.
func NewEntry(eventID, topic, kind, subject string, at time.Time) Entry {
	// Events and PostgreSQL keep microseconds.
	return Entry{EventID: eventID, Topic: topic, Type: kind, Subject: subject, RecordedAt: at.UTC().Truncate(time.Microsecond)}
}

//template:each produced

// ExampleRecorded announces the entry on examples.v1.
func (e Entry) ExampleRecorded() *events.ExampleRecorded {
	return &events.ExampleRecorded{CauseID: e.EventID, Subject: e.Subject, OccurredAt: e.RecordedAt}
}

//template:end
