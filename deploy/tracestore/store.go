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
	words  *dictionary
	traces map[trace.TraceID]*entry
	ring   []*entry // by arrival of the first span; oldest at next once full
	next   int
}

var _ sdktrace.SpanExporter = (*Store)(nil)

// entry is one trace in the ring.
type entry struct {
	id      trace.TraceID
	spans   []byte // encoded, one after the other
	count   int
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
	return &Store{cfg: cfg, words: newDictionary(), traces: map[trace.TraceID]*entry{}}
}

// ExportSpans takes ended spans.
func (s *Store) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range spans {
		s.add(span)
	}
	return nil
}

// Shutdown keeps what there is: the traces outlive the services that made them.
func (s *Store) Shutdown(context.Context) error { return nil }

// add files one span; s.mu is held.
func (s *Store) add(span sdktrace.ReadOnlySpan) {
	id := span.SpanContext().TraceID()
	e, known := s.traces[id]
	if !known {
		e = &entry{id: id}
		s.traces[id] = e
		if len(s.ring) < s.cfg.MaxTraces {
			s.ring = append(s.ring, e)
		} else {
			delete(s.traces, s.ring[s.next].id)
			s.ring[s.next] = e
			s.next = (s.next + 1) % len(s.ring)
		}
	}
	if e.count >= s.cfg.MaxSpansPerTrace {
		e.dropped++
		return
	}
	e.spans = s.words.appendSpan(e.spans, span)
	e.count++
}

// decode returns a trace with its spans by start time; s.mu is held.
func (s *Store) decode(e *entry) Trace {
	t := Trace{ID: e.id, Dropped: e.dropped, Spans: make([]Span, e.count)}
	r := decoder{s.words, e.spans}
	for i := range t.Spans {
		t.Spans[i] = r.span(e.id)
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return t
}

// Trace returns one trace with its spans by start time; ok is false when the
// store does not have it.
func (s *Store) Trace(id trace.TraceID) (t Trace, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.traces[id]
	if !ok {
		return Trace{}, false
	}
	return s.decode(e), true
}

// Len is the number of traces kept.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.ring)
}

// newest calls yield for the traces from the newest to the oldest until it
// returns false. Exporters wait no longer than one trace takes.
func (s *Store) newest(yield func(Trace) bool) {
	s.mu.RLock()
	entries := make([]*entry, 0, len(s.ring))
	for i := range s.ring {
		// The newest is the one before the oldest.
		entries = append(entries, s.ring[(s.next+2*len(s.ring)-1-i)%len(s.ring)])
	}
	s.mu.RUnlock()
	for _, e := range entries {
		s.mu.RLock()
		t := s.decode(e)
		s.mu.RUnlock()
		if !yield(t) {
			return
		}
	}
}

// services returns the names of the services that sent spans, sorted.
func (s *Store) services() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seen := map[string]bool{}
	for _, r := range s.words.byNumber {
		seen[r.service] = true
	}
	return sorted(seen)
}
