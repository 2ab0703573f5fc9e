package tracestore

import (
	"context"
	"slices"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config bounds what a Store keeps.
type Config struct {
	// MaxTraces is how many traces are kept; zero means 10,000.
	MaxTraces int
	// MaxSpansPerTrace is how many spans of one trace are kept; zero means
	// 2,000. The rest is counted and dropped.
	MaxSpansPerTrace int
}

// Store keeps traces. It is an sdktrace.SpanExporter, and one Store may serve
// the providers of many services at once.
type Store struct {
	cfg Config

	mu     sync.RWMutex
	traces map[trace.TraceID]*entry
	ring   []*entry // by arrival of the first span; oldest at next once full
	next   int
}

var _ sdktrace.SpanExporter = (*Store)(nil)

// entry is one trace in the ring. Its spans are only ever appended to, so that
// a reader may keep the slice it was given.
type entry struct {
	id      trace.TraceID
	spans   []Span
	dropped int
}

// New returns an empty store.
func New(cfg Config) *Store {
	if cfg.MaxTraces <= 0 {
		cfg.MaxTraces = 10_000
	}
	if cfg.MaxSpansPerTrace <= 0 {
		cfg.MaxSpansPerTrace = 2_000
	}
	return &Store{cfg: cfg, traces: map[trace.TraceID]*entry{}}
}

// ExportSpans takes ended spans.
func (s *Store) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	converted := make([]Span, len(spans))
	for i, span := range spans {
		converted[i] = fromSDK(span)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range converted {
		s.add(span)
	}
	return nil
}

// Shutdown keeps what there is: the traces outlive the services that made them.
func (s *Store) Shutdown(context.Context) error { return nil }

// add files one span; s.mu is held.
func (s *Store) add(span Span) {
	e, known := s.traces[span.TraceID]
	if !known {
		e = &entry{id: span.TraceID}
		s.traces[span.TraceID] = e
		if len(s.ring) < s.cfg.MaxTraces {
			s.ring = append(s.ring, e)
		} else {
			delete(s.traces, s.ring[s.next].id)
			s.ring[s.next] = e
			s.next = (s.next + 1) % len(s.ring)
		}
	}
	if len(e.spans) >= s.cfg.MaxSpansPerTrace {
		e.dropped++
		return
	}
	e.spans = append(e.spans, span)
}

// Trace returns one trace with its spans by start time; ok is false when the
// store does not have it.
func (s *Store) Trace(id trace.TraceID) (t Trace, ok bool) {
	s.mu.RLock()
	e, ok := s.traces[id]
	if ok {
		t = Trace{ID: id, Spans: e.spans, Dropped: e.dropped}
	}
	s.mu.RUnlock()
	t.Spans = slices.Clone(t.Spans)
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return t, ok
}

// Len is the number of traces kept.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.ring)
}

// newest calls yield for the traces from the newest to the oldest until it
// returns false. The traces are unsorted views; clone before sorting.
func (s *Store) newest(yield func(Trace) bool) {
	s.mu.RLock()
	views := make([]Trace, 0, len(s.ring))
	for i := range s.ring {
		// The newest is the one before the oldest.
		e := s.ring[(s.next+2*len(s.ring)-1-i)%len(s.ring)]
		views = append(views, Trace{ID: e.id, Spans: e.spans, Dropped: e.dropped})
	}
	s.mu.RUnlock()
	for _, t := range views {
		if !yield(t) {
			return
		}
	}
}
