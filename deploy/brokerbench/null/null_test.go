package null_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/brokerbench/null"
)

// TestServe: a client's records are all acknowledged, and reading brings valid
// batches at rising offsets for as long as it asks.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- null.Serve(l) }()
	defer func() { l.Close(); <-served }()

	client, err := kgo.NewClient(kgo.SeedBrokers(l.Addr().String()), kgo.RecordDeliveryTimeout(3*time.Minute), kgo.ConsumeTopics("t"),
		kgo.FetchMaxBytes(100), // less than a batch of each partition
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{Topic: "t", Value: fmt.Append(nil, "value ", i)})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	next := map[int32]int64{}
	for got := 0; got < 5000; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Fatalf("partition %d: offset %d, want %d", r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition]++
			got++
		})
	}
	if len(next) != 3 {
		t.Errorf("read from partitions %v, want all three", next)
	}
}
