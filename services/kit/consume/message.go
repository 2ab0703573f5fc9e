package consume

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas/events"
)

// Message is a record as a handler sees it.
type Message struct {
	// Record is the record as fetched; of a replayed dead letter, the record as it
	// was on its own topic. Handlers must not change it.
	Record *kgo.Record
	// ID identifies the event in the inbox: the header ce_id, else
	// topic/partition/offset.
	ID string
	// Type is the header ce_type, "" if the record has none.
	Type string
	// Event is the decoded value; nil where the handler asked for raw records.
	Event events.Event
	// Attempt counts deliveries to the handler in this process, from 1.
	Attempt int

	// delivered is the record as fetched, also of a replay.
	delivered *kgo.Record
	// replayed says that it is one.
	replayed bool
	// committed are the functions of OnCommit, of the present attempt.
	committed []func()
	// span is the span of the present attempt.
	span trace.Span
	// lastAttempt is the span of the attempt before this one.
	lastAttempt trace.SpanContext
}

func newMessage(r *kgo.Record) *Message {
	m := &Message{Record: r, delivered: r, Type: Header(r, "ce_type")}
	// An id that the inbox cannot store would fail for ever, so it is no id.
	if id := Header(r, "ce_id"); id != "" && len(id) <= 255 && utf8.ValidString(id) && !strings.Contains(id, "\x00") {
		m.ID = id
	} else {
		m.ID = r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
	}
	return m
}

// Span is the span of the present attempt, for handlers of batches: it is the
// message's own, where their context has the batch's. It records nothing outside a
// trace.
func (m *Message) Span() trace.Span {
	if m.span == nil {
		return trace.SpanFromContext(context.Background())
	}
	return m.span
}

// OnCommit runs f after the handler's transaction has committed; if it does not,
// f is forgotten. It is for what must not be said of a change that is rolled back:
// log lines, counters, wake-ups. f must not block.
func (m *Message) OnCommit(f func()) { m.committed = append(m.committed, f) }

// Subject is the header ce_subject: the id of what the event is about.
func (m *Message) Subject() string { return Header(m.Record, "ce_subject") }

// Header returns the value of a record's first header with this key, "" if there
// is none.
func Header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
