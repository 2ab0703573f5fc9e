package operate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// MaxValue is the size in bytes of the greatest value that is tried to be written.
const MaxValue = 64 << 20

// NewRecord is a record to write.
type NewRecord struct {
	Topic string
	// Partition is where it goes; negative: where its key belongs.
	Partition int32
	// Key and Value may be nil.
	Key, Value []byte
	Headers    map[string]string
	// Force allows one of the cluster's own topics.
	Force bool
}

// Write writes a record to a topic that exists and returns where it is, once
// all replicas have it.
func (c *Client) Write(ctx context.Context, n NewRecord) (Record, error) {
	if hidden(n.Topic) && !n.Force {
		return Record{}, fmt.Errorf("%s is one of the cluster's own topics, and a wrong record there can break it: --force writes all the same", n.Topic)
	}
	if _, err := c.existing(ctx, n.Topic); err != nil {
		return Record{}, err
	}
	r := &kgo.Record{Topic: n.Topic, Key: n.Key, Value: n.Value}
	for _, name := range slices.Sorted(maps.Keys(n.Headers)) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(n.Headers[name])})
	}
	var opts []kgo.Opt
	if n.Partition >= 0 {
		r.Partition = n.Partition
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if err := c.produce(ctx, opts, r); err != nil {
		return Record{}, fmt.Errorf("write to %s: %w", n.Topic, err)
	}
	return Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, nil
}

// produce writes records and returns once all replicas have them.
func (c *Client) produce(ctx context.Context, opts []kgo.Opt, records ...*kgo.Record) error {
	client, err := c.connect(append([]kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(MaxValue + 1<<20),
	}, opts...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	return client.ProduceSync(ctx, records...).FirstErr()
}
