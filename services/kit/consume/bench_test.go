package consume_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// BenchmarkWork consumes records with 10 ms of work each: over partitions, and over
// keys inside one partition. It reports the share of what as many goroutines do
// that have nothing but the work, in the same run on the same machine.
func BenchmarkWork(b *testing.B) {
	const work = 10 * time.Millisecond
	for _, tc := range []struct{ partitions, keys, workers int }{
		{1, 1, 1}, {10, 10, 10}, {100, 100, 100}, // one key in each partition
		{1, 10, 10}, {1, 100, 100}, // all keys in one
	} {
		b.Run(fmt.Sprintf("partitions=%d/keys=%d", tc.partitions, tc.keys), func(b *testing.B) {
			records := 200 * tc.workers // 2 s
			for b.Loop() {
				took := consumeAll(b, tc.partitions, tc.keys, records, tc.workers, func() { time.Sleep(work) })
				best := workOnly(tc.workers, records/tc.workers, func() { time.Sleep(work) })
				b.ReportMetric(float64(records)/took.Seconds(), "records/s")
				b.ReportMetric(100*best.Seconds()/took.Seconds(), "%-of-best")
			}
		})
	}
}

// workOnly is how long the work takes without Kafka.
func workOnly(workers, each int, work func()) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				work()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// BenchmarkOverhead consumes records without work: what the runtime itself costs.
func BenchmarkOverhead(b *testing.B) {
	const records = 200_000
	for b.Loop() {
		took := consumeAll(b, 6, 1000, records, 16, func() {})
		b.ReportMetric(float64(took.Microseconds())/records, "µs/record")
	}
}

// consumeAll produces records and returns the time from the first that is handled
// to the last.
func consumeAll(b *testing.B, partitions, keys, records, workers int, work func()) time.Duration {
	b.Helper()
	brokers := brokertest.Brokers(b)
	topic, group := kittest.Unique("bench"), kittest.Unique("g")
	client := kittest.Client(b, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	kittest.CreateTopics(b, client, int32(partitions), topic)
	var produced atomic.Int64
	for i := range records {
		k := i % keys
		client.Produce(b.Context(), &kgo.Record{Topic: topic, Partition: int32(k % partitions), Key: fmt.Appendf(nil, "key-%d", k), Value: make([]byte, 100)}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
			produced.Add(1)
		})
	}
	if err := client.Flush(b.Context()); err != nil || produced.Load() != int64(records) {
		b.Fatalf("produced %d: %v", produced.Load(), err)
	}
	c, err := consume.New(consume.Config{
		Group: group, Brokers: brokers, Concurrency: workers,
		Limits: consume.Limits{Records: max(2000, 20*workers)},
	})
	if err != nil {
		b.Fatal(err)
	}
	var began atomic.Pointer[time.Time]
	var done atomic.Int64
	all := make(chan struct{})
	c.OnMessage(topic, func(context.Context, *consume.Message) error {
		if began.Load() == nil {
			now := time.Now()
			began.CompareAndSwap(nil, &now)
		}
		work()
		if done.Add(1) == int64(records) {
			close(all)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-all
	took := time.Since(*began.Load())
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return took
}
