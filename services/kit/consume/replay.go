package consume

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
)

// Headers of a request to replay a dead letter. A request is a copy of the
// letter, appended to the same dead-letter topic; the group that gave the record
// up reads that topic too, and handles requests as the record they stand for.
// Everything else on the topic is letters, which it passes over. So a replay
// reaches the one group that needs it, takes the way every record takes (inbox,
// retries, a new letter if it fails again), and the original topic, its other
// readers and its compaction know nothing of it.
const (
	// HeaderReplayOf is the offset of the letter that is replayed.
	HeaderReplayOf = "__dlq.replay.letter"
	// HeaderReplayCount is how many replays of the record there have been, this
	// one included. The letter of a replay that failed has it too.
	HeaderReplayCount = "__dlq.replay.count"
)

// withReplays are the consumer's routes and, under their dead-letter topics, those
// whose dead letters can be replayed.
func (c *Consumer) withReplays() map[string]*route {
	out := maps.Clone(c.routes)
	for topic, r := range c.routes {
		declared, _ := schemas.Lookup(topic)
		if !slices.Contains(declared.Groups, c.cfg.Group) && !slices.Contains(c.cfg.Replay, topic) {
			continue
		}
		replays := *r
		replays.replays = true
		out[schemas.DeadLetter(topic, c.cfg.Group).Name] = &replays
	}
	return out
}

// requested returns the record that a request on a dead-letter topic stands for:
// as it was on its own topic, but for the count of its replays. It returns false
// for a letter, which waits for somebody to ask.
func requested(r *kgo.Record, topic, group string) (*kgo.Record, bool) {
	if Header(r, HeaderReplayOf) == "" || Header(r, HeaderDeadTopic) != topic || Header(r, HeaderDeadGroup) != group {
		return nil, false
	}
	partition, err := strconv.ParseInt(Header(r, HeaderDeadPartition), 10, 32)
	if err != nil {
		return nil, false
	}
	offset, err := strconv.ParseInt(Header(r, HeaderDeadOffset), 10, 64)
	if err != nil {
		return nil, false
	}
	original := *r
	original.Topic, original.Partition, original.Offset = topic, int32(partition), offset
	if millis, err := strconv.ParseInt(Header(r, HeaderDeadTimestamp), 10, 64); err == nil {
		original.Timestamp = time.UnixMilli(millis)
	}
	original.Headers = withoutLetter(r.Headers)
	return &original, true
}

// withoutLetter are a record's own headers, with the count of its replays.
func withoutLetter(headers []kgo.RecordHeader) []kgo.RecordHeader {
	out := make([]kgo.RecordHeader, 0, len(headers)+7)
	for _, h := range headers {
		if !strings.HasPrefix(h.Key, deadHeaderPrefix) && h.Key != HeaderReplayOf {
			out = append(out, h)
		}
	}
	return out
}
