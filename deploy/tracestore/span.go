package tracestore

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Trace is a trace as far as the store has it.
type Trace struct {
	ID      trace.TraceID
	Spans   []Span
	Dropped int // spans over the limit
}

// Span is an ended span of one service.
type Span struct {
	TraceID       trace.TraceID
	ID, Parent    trace.SpanID
	Service, Name string
	Scope         string
	Kind          trace.SpanKind
	Start, End    time.Time
	Attributes    []attribute.KeyValue
	Events        []sdktrace.Event
	Links         []sdktrace.Link
	Status        sdktrace.Status
	resource      []attribute.KeyValue
}

// Duration is how long the span ran.
func (s Span) Duration() time.Duration { return s.End.Sub(s.Start) }

// Failed reports whether the span ended in an error.
func (s Span) Failed() bool { return s.Status.Code == codes.Error }

// bounds returns when the first span of the trace began and the last one ended.
func (t Trace) bounds() (start, end time.Time) {
	for i, s := range t.Spans {
		if i == 0 || s.Start.Before(start) {
			start = s.Start
		}
		if s.End.After(end) {
			end = s.End
		}
	}
	return start, end
}

// root returns the span the trace began with: the one without a parent, else,
// while that has not ended yet, the earliest.
func (t Trace) root() Span {
	var root Span
	for i, s := range t.Spans {
		switch {
		case !s.Parent.IsValid():
			return s
		case i == 0 || s.Start.Before(root.Start):
			root = s
		}
	}
	return root
}
