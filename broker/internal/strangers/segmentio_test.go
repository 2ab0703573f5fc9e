package strangers

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

// TestSegmentioCodecs: a client that speaks old versions of the protocol.
func TestSegmentioCodecs(t *testing.T) {
	b := brokertest.Start(t)
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			ctx := soon(t)
			topic := fmt.Sprintf("segmentio-%d", codec)
			w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: topic, Compression: codec, RequiredAcks: kafka.RequireAll,
				BatchTimeout: time.Millisecond, AllowAutoTopicCreation: true,
				ReadTimeout: 2 * time.Minute, WriteTimeout: 2 * time.Minute} // it would send again what came late
			defer w.Close()
			const n = 200
			var batch []kafka.Message
			for i := range n {
				batch = append(batch, kafka.Message{Key: []byte("k"), Value: fmt.Append(nil, i)})
			}
			if err := w.WriteMessages(ctx, batch...); err != nil {
				t.Fatal(err)
			}
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.Addr()}, Topic: topic, MaxWait: 50 * time.Millisecond})
			defer r.Close()
			for i := range n {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if string(m.Value) != fmt.Sprint(i) || m.Offset != int64(i) {
					t.Fatalf("offset %d has %q, want %d", m.Offset, m.Value, i)
				}
			}
		})
	}
}

// TestSegmentioGroup: two members; one leaves; nothing is missed.
func TestSegmentioGroup(t *testing.T) {
	b := brokertest.Start(t, func(c *brokerConfig) { c.DefaultPartitions = 4 })
	ctx := soon(t)
	w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: "shared", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		Balancer: &kafka.Hash{}, AllowAutoTopicCreation: true}
	defer w.Close()
	sent := 0
	produce := func(n int) {
		var batch []kafka.Message
		for range n {
			batch = append(batch, kafka.Message{Key: fmt.Append(nil, sent%20), Value: fmt.Append(nil, sent)})
			sent++
		}
		if err := w.WriteMessages(ctx, batch...); err != nil {
			t.Fatal(err)
		}
	}
	produce(40)
	var mu sync.Mutex
	seen, mine := map[string]int{}, map[int]int{}
	var commits atomic.Int64 // some may fail: it joins again
	member := func(id int) (stop func()) {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.Addr()}, Topic: "shared", GroupID: "sharers", MaxWait: 50 * time.Millisecond,
			HeartbeatInterval: 100 * time.Millisecond, StartOffset: kafka.FirstOffset})
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				// Not ReadMessage: it may commit a record and then return only that its
				// context has ended.
				m, err := r.FetchMessage(ctx)
				if err != nil {
					continue // it joins again, as after five seconds without an answer
				}
				mu.Lock()
				seen[string(m.Value)]++
				mine[id]++
				mu.Unlock()
				if r.CommitMessages(context.WithoutCancel(ctx), m) == nil {
					commits.Add(1)
				}
			}
		}()
		return func() { cancel(); <-done; _ = r.Close() }
	}
	figures := func() (all, one, two int) {
		mu.Lock()
		defer mu.Unlock()
		return len(seen), mine[1], mine[2]
	}
	stopOne := member(1)
	eventually(t, func() bool { all, _, _ := figures(); return all == sent })
	stopTwo := member(2)
	defer stopTwo()
	eventually(t, func() bool { produce(8); _, _, two := figures(); return two > 0 })
	stopOne()
	produce(40)
	eventually(t, func() bool { all, _, _ := figures(); return all == sent })
	if commits.Load() == 0 {
		t.Error("nothing was committed")
	}
}
