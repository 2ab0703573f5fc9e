package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// checker refuses values that begin with "bad", fails at "fail", and waits at
// "wait" for go.
type checker struct {
	mu   sync.Mutex
	seen []string
	wait chan struct{}
}

func (c *checker) CheckRecords(ctx context.Context, b *broker.RecordBatch) ([]broker.RecordError, error) {
	var bad []broker.RecordError
	for i, r := range b.Records {
		value := string(r.Value)
		c.mu.Lock()
		c.seen = append(c.seen, fmt.Sprintf("%s-%d/%d %s", b.Topic, b.Partition, i, value))
		c.mu.Unlock()
		switch {
		case strings.HasPrefix(value, "bad"):
			bad = append(bad, broker.RecordError{Index: i, Message: "it is bad"})
		case value == "fail":
			return nil, errors.New("the registry is away")
		case value == "wait":
			select {
			case <-c.wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return bad, nil
}

// TestRecordCheck: what the check refuses is refused by record, whatever its codec,
// and takes no offset; what it may not see it is not shown.
func TestRecordCheck(t *testing.T) {
	check := &checker{wait: make(chan struct{})}
	b := start(t, func(c *broker.Config) { c.RecordCheck = check })
	c := dial(t, b.Addr())
	c.create("t", 2)
	c.create("_schemas", 1)
	for codec := record.None; codec <= record.Zstd; codec++ {
		p := c.produce("t", batch(record.Options{Codec: codec}, "good", "bad", "good", "bad2"))
		if p.ErrorCode != 87 || p.BaseOffset != -1 || len(p.ErrorRecords) != 2 || p.ErrorRecords[1].RelativeOffset != 3 ||
			*p.ErrorRecords[1].ErrorMessage != "it is bad" || p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, "record 1: it is bad") {
			t.Errorf("%v: %+v", codec, p)
		}
		values := []string{"good", strings.Repeat("large", 1<<20)} // more than most batches decompress to
		if codec == record.None {
			values = []string{"two", "records"}
		}
		if p := c.produce("t", batch(record.Options{Codec: codec}, values...)); p.ErrorCode != 0 || p.BaseOffset != int64(2*codec) {
			t.Errorf("%v: a good batch: %+v", codec, p)
		}
	}
	// One bad batch among good ones, in one request.
	req := produceRequest("t", 0, -1, batch(record.Options{}, "good"))
	other := kmsg.NewProduceRequestTopicPartition()
	other.Partition, other.Records = 1, batch(record.Options{}, "bad")
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, other)
	parts := ask[*kmsg.ProduceResponse](c, 9, req).Topics[0].Partitions
	if parts[0].ErrorCode != 0 || parts[1].ErrorCode != 87 {
		t.Errorf("one of two: %+v", parts)
	}
	// In versions without a place for the records, the code is there.
	if p := ask[*kmsg.ProduceResponse](c, 7, produceRequest("t", 0, -1, batch(record.Options{}, "bad"))).Topics[0].Partitions[0]; p.ErrorCode != 87 {
		t.Errorf("v7: %+v", p)
	}
	if p := c.produce("t", batch(record.Options{}, "fail")); p.ErrorCode != 7 {
		t.Errorf("a check that fails: %+v", p)
	}
	damaged := batch(record.Options{}, "bad")
	damaged[len(damaged)-1]++
	if p := c.produce("t", damaged); p.ErrorCode != 2 {
		t.Errorf("a damaged batch: %+v", p)
	}
	garbled := batch(record.Options{Codec: record.Gzip}, "bad")
	for i := record.HeaderSize; i < len(garbled); i++ {
		garbled[i] = 0xee
	}
	record.StampMaxTimestamp(garbled, 0) // signs it
	if p := c.produce("t", garbled); p.ErrorCode != 2 {
		t.Errorf("a batch that cannot be decompressed: %+v", p)
	}
	late := produceRequest("t", 0, -1, batch(record.Options{}, "wait"))
	late.TimeoutMillis = 10
	if p := ask[*kmsg.ProduceResponse](c, 9, late).Topics[0].Partitions[0]; p.ErrorCode != 7 {
		t.Errorf("a check that takes too long: %+v", p)
	}
	if p := c.produce("_schemas", batch(record.Options{}, "bad")); p.ErrorCode != 0 {
		t.Errorf("the registry's topic: %+v", p)
	}
	for _, s := range check.all() {
		if !strings.HasPrefix(s, "t-") {
			t.Errorf("the check saw %s", s)
		}
	}
}

// TestRecordCheckWaits: while a check waits, its connection's next requests wait
// behind it, and those of others do not.
func TestRecordCheckWaits(t *testing.T) {
	check := &checker{wait: make(chan struct{})}
	b := start(t, func(c *broker.Config) { c.RecordCheck = check })
	c, other := dial(t, b.Addr()), dial(t, b.Addr())
	c.create("t", 1)
	send := func(value string) (*kmsg.ProduceRequest, int32) {
		req := produceRequest("t", 0, -1, batch(record.Options{}, value))
		req.SetVersion(9)
		return req, c.send(req)
	}
	first, firstID := send("wait")
	second, secondID := send("good")
	if p := other.produce("t", batch(record.Options{}, "good")); p.BaseOffset != 0 {
		t.Fatalf("another connection: %+v", p)
	}
	close(check.wait)
	if p := c.receive(first, firstID).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 1 {
		t.Errorf("the first: %+v", p)
	}
	if p := c.receive(second, secondID).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 2 {
		t.Errorf("the second: %+v", p)
	}
}

// all is what it was shown so far.
func (c *checker) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}
