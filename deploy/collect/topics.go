package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// Headers of the platform's records.
const (
	headerID      = "ce_id"
	headerType    = "ce_type"
	headerSubject = "ce_subject"
	headerTrace   = "traceparent"
)

type partition struct {
	topic string
	id    int32
}

// topicReader is what has been read so far.
type topicReader struct {
	next    map[partition]int64 // where to go on
	ends    map[partition]int64 // behind the last record, control records apart
	orders  []checker.Event
	stock   []checker.Event
	letters map[partition]*letters.Book // of dead-letter topics

	watched func(order string) bool // whose events are kept as they were decoded; nil: nobody's
	story   []OrderEvent
}

// OrderEvent is an event of one order as the topic has it.
type OrderEvent struct {
	checker.Event
	Payload events.Event
}

// Order returns the events of one order by version, each once.
func (c *Collector) Order(ctx context.Context, id string) ([]OrderEvent, error) {
	stories, err := c.stories(ctx, func(order string) bool { return order == id })
	if err != nil || len(stories) == 0 {
		return nil, err
	}
	return stories[0], nil
}

// Orders returns the events of every order as Order does, the orders by the
// time at which they were placed.
func (c *Collector) Orders(ctx context.Context) ([][]OrderEvent, error) {
	return c.stories(ctx, func(string) bool { return true })
}

func (c *Collector) stories(ctx context.Context, of func(order string) bool) ([][]OrderEvent, error) {
	c.topics = topicReader{watched: of}
	c.client.PurgeTopicsFromConsuming(schemas.TopicOrders)
	if err := c.readOn(ctx, schemas.TopicOrders); err != nil {
		return nil, err
	}
	byOrder := map[string][]OrderEvent{}
	for _, e := range c.topics.story {
		byOrder[e.OrderID] = append(byOrder[e.OrderID], e)
	}
	out := make([][]OrderEvent, 0, len(byOrder))
	for _, story := range byOrder {
		slices.SortStableFunc(story, func(a, b OrderEvent) int { return cmp.Compare(a.Version, b.Version) })
		out = append(out, slices.CompactFunc(story, func(a, b OrderEvent) bool { return a.ID == b.ID }))
	}
	slices.SortFunc(out, func(a, b []OrderEvent) int {
		return cmp.Or(a[0].OccurredAt.Compare(b[0].OccurredAt), cmp.Compare(a[0].OrderID, b[0].OrderID))
	})
	return out, nil
}

// wanted are the topics that are read, if they exist.
func wanted() []string {
	names := []string{schemas.TopicOrders, schemas.TopicInventory}
	for _, t := range schemas.Topics() {
		for _, dead := range t.DeadLetters() {
			names = append(names, dead.Name)
		}
	}
	return names
}

// readTopics reads on to the ends that the topics have now.
func (c *Collector) readTopics(ctx context.Context, f *checker.Facts) error {
	replayed, err := c.readReplayed(ctx) // before the letters: see package letters
	if err != nil {
		return err
	}
	if err := c.readOn(ctx, wanted()...); err != nil {
		return err
	}
	f.Events, f.StockEvents = c.topics.orders, c.topics.stock
	f.DeadLetters = c.topics.deadLetters(replayed)
	return nil
}

func (c *Collector) readOn(ctx context.Context, topics ...string) error {
	r := &c.topics
	if r.next == nil {
		r.next, r.ends = map[partition]int64{}, map[partition]int64{}
	}
	starts, err := c.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := c.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	target := map[partition]int64{}
	added := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range ends {
		for id, end := range partitions {
			if end.Err != nil {
				continue // a topic that does not exist yet
			}
			p := partition{topic, id}
			start, _ := starts.Lookup(topic, id)
			next, known := r.next[p]
			if !known {
				if added[topic] == nil {
					added[topic] = map[int32]kgo.Offset{}
				}
				added[topic][id] = kgo.NewOffset().At(max(start.Offset, 0))
			}
			// Records may have expired since the last time.
			r.next[p] = max(next, start.Offset)
			if r.next[p] < end.Offset {
				target[p] = end.Offset
			}
		}
	}
	c.client.AddConsumePartitions(added)
	return c.readTo(ctx, target)
}

// readTo polls until each partition is read to its target.
func (c *Collector) readTo(ctx context.Context, target map[partition]int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("no answer for 30 seconds"))
	defer cancel()
	for len(target) > 0 {
		fetches := c.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("%s[%d]: %w", e.Topic, e.Partition, e.Err)
		}
		var failed error
		fetches.EachRecord(func(rec *kgo.Record) {
			if failed == nil {
				failed = c.take(ctx, rec)
			}
		})
		if failed != nil {
			return failed
		}
		for p, end := range target {
			if c.topics.next[p] >= end {
				delete(target, p)
			}
		}
	}
	return nil
}

// take files one record.
func (c *Collector) take(ctx context.Context, rec *kgo.Record) error {
	r := &c.topics
	p := partition{rec.Topic, rec.Partition}
	r.next[p] = rec.Offset + 1
	if rec.Attrs.IsControl() {
		return nil
	}
	r.ends[p] = rec.Offset + 1
	if rec.Topic != schemas.TopicOrders && rec.Topic != schemas.TopicInventory {
		if r.letters == nil {
			r.letters = map[partition]*letters.Book{}
		}
		if r.letters[p] == nil {
			r.letters[p] = &letters.Book{}
		}
		r.letters[p].Add(rec)
		return nil
	}
	value, err := c.serde.Decode(ctx, rec.Value)
	var unavailable *serde.UnavailableError
	if errors.As(err, &unavailable) {
		return err
	}
	e := checker.Event{
		Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Key: string(rec.Key),
		ID: header(rec, headerID), Type: header(rec, headerType), OrderID: header(rec, headerSubject), TraceParent: header(rec, headerTrace),
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset)
	}
	// What is no event of an order here, consumers dead-letter: there it counts.
	if err != nil || !describe(&e, value) {
		return nil //nolint:nilerr // see above
	}
	if r.watched != nil && rec.Topic == schemas.TopicOrders && r.watched(e.OrderID) {
		r.story = append(r.story, OrderEvent{e, value})
	}
	if rec.Topic == schemas.TopicOrders {
		r.orders = append(r.orders, e)
	} else {
		r.stock = append(r.stock, e)
	}
	return nil
}

// describe fills in what the payload says; false if it is no order's event.
func describe(e *checker.Event, value events.Event) bool {
	e.Type = value.AvroName()
	switch v := value.(type) {
	case *events.OrderPlaced:
		e.OrderID, e.CustomerID, e.Version, e.OccurredAt = v.OrderID, v.CustomerID, v.Version, v.OccurredAt
		for _, line := range v.Lines {
			e.Lines = append(e.Lines, checker.Line{SKU: line.SKU, Quantity: int64(line.Quantity)})
		}
	case *events.OrderConfirmed:
		e.OrderID, e.CustomerID, e.Version, e.OccurredAt = v.OrderID, v.CustomerID, v.Version, v.OccurredAt
	case *events.OrderRejected:
		e.OrderID, e.CustomerID, e.Version, e.OccurredAt = v.OrderID, v.CustomerID, v.Version, v.OccurredAt
	case *events.OrderCancelled:
		e.OrderID, e.CustomerID, e.Version, e.OccurredAt = v.OrderID, v.CustomerID, v.Version, v.OccurredAt
	case *events.StockReserved:
		e.OrderID, e.CustomerID, e.OccurredAt = v.OrderID, v.CustomerID, v.OccurredAt
		for _, line := range v.Lines {
			e.Lines = append(e.Lines, checker.Line{SKU: line.SKU, Quantity: int64(line.Quantity)})
		}
	case *events.StockRejected:
		e.OrderID, e.CustomerID, e.OccurredAt = v.OrderID, v.CustomerID, v.OccurredAt
	case *events.StockReleased:
		e.OrderID, e.CustomerID, e.OccurredAt = v.OrderID, v.CustomerID, v.OccurredAt
	default:
		return false
	}
	return true
}

func header(rec *kgo.Record, key string) string {
	for _, h := range rec.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
