package outbox

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Header is one Kafka record header. A nil Value is kept apart from an empty one.
type Header struct {
	Key   string
	Value []byte
}

// Event is a record to be published.
type Event struct {
	// ID identifies the event in the outbox and in traces. The zero value gets a
	// new UUIDv7. It does not travel unless the caller puts it into a header too.
	ID uuid.UUID
	// Topic must exist, or be created by the broker on first use: the relay waits
	// for it, and everything behind the event waits with it.
	Topic string
	// Key decides the partition. Events of one key keep their order if their
	// writers hold the key's lock, see the package comment. Nil: no key, any
	// partition, no order; an empty key is a key.
	Key []byte
	// Value is published as it is: encode it before, so that what cannot be encoded
	// fails in the writer's transaction. Nil is a tombstone.
	Value   []byte
	Headers []Header
}

// DefaultMaxBytes is the largest event that Write takes: what fits into a record
// batch of 1 MB, the default limit of brokers and producers, together with the
// trace headers that the relay adds. A larger event would be refused at
// publication, when it is too late to tell its writer.
const DefaultMaxBytes = 1_000_000 - recordOverhead

// recordOverhead is what record batch, record framing and trace headers may add to
// an event: 61 bytes of batch header, the record's own varints, traceparent and
// tracestate (512 bytes at most by the W3C rules).
const recordOverhead = 1024

// size is what the event takes in a record batch, at most, without overhead.
func (e *Event) size() int {
	n := len(e.Key) + len(e.Value)
	for _, h := range e.Headers {
		n += len(h.Key) + len(h.Value) + 10 // two lengths
	}
	return n
}

// InvalidEventError says that an event cannot be published, and was not written.
type InvalidEventError struct {
	Topic  string
	ID     uuid.UUID
	Reason string
}

func (e *InvalidEventError) Error() string {
	return fmt.Sprintf("outbox: event %s for topic %q: %s", e.ID, e.Topic, e.Reason)
}

func (e *Event) validate(maxBytes int) error {
	invalid := func(format string, args ...any) error {
		return &InvalidEventError{Topic: e.Topic, ID: e.ID, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case e.Topic == "" || e.Topic == "." || e.Topic == "..":
		return invalid("no such topic can exist")
	case len(e.Topic) > 249:
		return invalid("the topic's name has %d characters; Kafka allows 249", len(e.Topic))
	case strings.ContainsFunc(e.Topic, notInTopic):
		return invalid("Kafka allows letters, digits, '.', '_' and '-' in a topic's name")
	}
	if n := e.size(); n > maxBytes {
		return invalid("%d bytes are more than the %d that fit into a record batch: store the content elsewhere and send a reference, or raise Writer.MaxBytes together with the limits of topic and producer", n, maxBytes)
	}
	for _, h := range e.Headers {
		if !utf8.ValidString(h.Key) || strings.ContainsRune(h.Key, 0) {
			return invalid("header key %q is no UTF-8 text", h.Key)
		}
	}
	return nil
}

func notInTopic(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
}

// stored is an event as the relay reads it back.
type stored struct {
	Event
	seq         int64 // the order of publication
	created     time.Time
	traceparent string
	tracestate  string
}
