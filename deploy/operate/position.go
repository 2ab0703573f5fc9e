package operate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Position is a place in a topic: its earliest or latest record, an offset, an
// offset counted from the end, or the first record at or after a time.
type Position struct {
	kind   positionKind
	offset int64
	time   time.Time
}

type positionKind uint8

const (
	atEarliest positionKind = iota
	atLatest
	atOffset
	fromEnd
	atTime
)

// ParsePosition reads earliest, latest, an offset such as 42, an offset from
// the end such as -10, a time in RFC 3339, or a duration before now such as 5m.
func ParsePosition(text string, now time.Time) (Position, error) {
	switch text {
	case "earliest", "":
		return Position{kind: atEarliest}, nil
	case "latest":
		return Position{kind: atLatest}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 {
			return Position{kind: fromEnd, offset: -n}, nil
		}
		return Position{kind: atOffset, offset: n}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return Position{kind: atTime, time: now.Add(-max(ago, -ago))}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Position{}, fmt.Errorf("%q is no position: give earliest, latest, an offset such as 42, -10 for ten before the end, a time such as %s, or how long ago, such as 5m", text, now.UTC().Format(time.RFC3339))
	}
	return Position{kind: atTime, time: t}, nil
}

// Latest reports whether the position is the end, where only new records follow.
func (p Position) Latest() bool { return p.kind == atLatest }

// span is where a partition begins and ends.
type span struct{ start, end int64 }

// in places a position between a partition's start and end. found is what the
// cluster says about a time: the offset of the first record at or after it.
func (p Position) in(s span, found int64) int64 {
	at := s.start
	switch p.kind {
	case atEarliest:
	case atLatest:
		at = s.end
	case atOffset:
		at = p.offset
	case fromEnd:
		at = s.end - p.offset
	case atTime:
		if at = found; found < 0 {
			at = s.end
		}
	}
	return min(max(at, s.start), s.end)
}

// resolve places a position in the partitions of a topic, and returns the
// partitions' bounds too.
func (c *Client) resolve(ctx context.Context, topic string, p Position) (at map[int32]int64, bounds map[int32]span, err error) {
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, nil, fmt.Errorf("list the start offsets: %w", err)
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, nil, fmt.Errorf("list the end offsets: %w", err)
	}
	var byTime kadm.ListedOffsets
	if p.kind == atTime {
		if byTime, err = c.admin.ListOffsetsAfterMilli(ctx, p.time.UnixMilli(), topic); err != nil {
			return nil, nil, fmt.Errorf("list the offsets after %s: %w", p.time.UTC().Format(time.RFC3339), err)
		}
	}
	at, bounds = map[int32]int64{}, map[int32]span{}
	for id, end := range ends[topic] {
		start, _ := starts.Lookup(topic, id)
		if err := firstError(start.Err, end.Err); err != nil {
			return nil, nil, fmt.Errorf("%s[%d]: %w", topic, id, err)
		}
		found := int64(-1)
		if o, ok := byTime.Lookup(topic, id); ok {
			if o.Err != nil {
				return nil, nil, fmt.Errorf("%s[%d]: %w", topic, id, o.Err)
			}
			// A time behind the last record is answered with the end.
			found = o.Offset
		}
		bounds[id] = span{start.Offset, end.Offset}
		at[id] = p.in(bounds[id], found)
	}
	return at, bounds, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
