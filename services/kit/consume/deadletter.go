package consume

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
)

// Headers that a dead letter has in addition to the record's own. The names are
// those of Apache Kafka's share groups.
const (
	HeaderDeadTopic     = "__dlq.errors.topic"
	HeaderDeadPartition = "__dlq.errors.partition"
	HeaderDeadOffset    = "__dlq.errors.offset"
	HeaderDeadGroup     = "__dlq.errors.group"
	HeaderDeadCount     = "__dlq.errors.delivery.count"
	HeaderDeadMessage   = "__dlq.errors.message"
	HeaderDeadTimestamp = "__dlq.errors.timestamp" // of the original record, in milliseconds
)

const deadHeaderPrefix = "__dlq.errors."

// newDeadLetter is the record that keeps m: original key, value and headers, with
// what went wrong in headers of its own. A letter that was replayed and failed
// again describes its latest failure.
func newDeadLetter(m *Message, group string, cause error) *kgo.Record {
	r := m.Record
	headers := withoutLetter(r.Headers)
	add := func(key, value string) {
		headers = append(headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(HeaderDeadTopic, r.Topic)
	add(HeaderDeadPartition, strconv.Itoa(int(r.Partition)))
	add(HeaderDeadOffset, strconv.FormatInt(r.Offset, 10))
	add(HeaderDeadGroup, group)
	add(HeaderDeadCount, strconv.Itoa(m.Attempt))
	add(HeaderDeadMessage, clip(cause.Error(), 4096))
	add(HeaderDeadTimestamp, strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
	return &kgo.Record{Topic: schemas.DeadLetter(r.Topic, group).Name, Key: r.Key, Value: r.Value, Headers: headers}
}

// writeDeadLetter returns once all replicas have the letter.
func (c *Consumer) writeDeadLetter(ctx context.Context, m *Message, cause error) error {
	letter := newDeadLetter(m, c.cfg.Group, cause)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.HandlerTimeout)
	defer cancel()
	if err := c.produce(ctx, letter); err != nil {
		return fmt.Errorf("produce to %s (does the topic exist? run: quokka schemas apply): %w", letter.Topic, err)
	}
	return nil
}

// clip shortens s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
