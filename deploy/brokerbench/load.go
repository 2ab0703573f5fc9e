package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// figures are what one round of a cell showed of one server.
type figures struct {
	produced, consumed float64 // records a second
	produceCPU         [2]float64
	consumeCPU         [2]float64 // user and system seconds for a gigabyte
	latencies          []float64  // ms, unsorted; of synchronous and paced producers
	peak               int64
}

// round measures one server once: on a new topic, which is removed afterwards.
// rate is how many records a second paced producers send.
func round(ctx context.Context, s *server, c cell, number int, rate float64) (f figures, err error) {
	topic := fmt.Sprintf("bench-%d", number)
	if err := createTopic(ctx, s, c, topic); err != nil {
		return f, fmt.Errorf("%s: %w", s.name, err)
	}
	if s.name != nobody {
		defer func() { err = errors.Join(err, deleteTopic(ctx, s, topic)) }() // room for the next
	}
	n := c.records()
	syscall.Sync() // what the round before left to be written is not this one's burden
	if err := touch(ctx, s, c, topic); err != nil {
		return f, fmt.Errorf("%s: %w", s.name, err)
	}
	clients, err := producers(ctx, s, c, topic)
	if err != nil {
		return f, fmt.Errorf("%s: %w", s.name, err)
	}
	before, err := used(s.pid)
	if err != nil {
		return f, err
	}
	var follower *follower
	if c.tail {
		if follower, err = follow(ctx, s, c, topic, n); err != nil {
			closeAll(clients)
			return f, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	begin := time.Now()
	f.latencies, err = produce(ctx, clients, c, n, rate)
	f.produced = float64(n) / time.Since(begin).Seconds()
	closeAll(clients)
	if c.tail {
		var late error
		f.latencies, late = follower.wait()
		err = errors.Join(err, late)
	}
	if err != nil {
		return f, fmt.Errorf("%s: produce: %w", s.name, err)
	}
	after, err := used(s.pid)
	if err != nil {
		return f, err
	}
	f.produceCPU = after.minus(before).perGB(c.bytes)
	if c.consume {
		if c.cold {
			if err := evict(s.dir); err != nil {
				return f, err
			}
		}
		begin = time.Now()
		if err := consume(ctx, s, topic, n); err != nil {
			return f, fmt.Errorf("%s: consume: %w", s.name, err)
		}
		f.consumed = float64(n) / time.Since(begin).Seconds()
		end, err := used(s.pid)
		if err != nil {
			return f, err
		}
		f.consumeCPU = end.minus(after).perGB(c.bytes)
	}
	_, f.peak, err = memory(s.pid)
	return f, err
}

func createTopic(ctx context.Context, s *server, c cell, topic string) error {
	return administer(s, func(admin *kadm.Client) error {
		_, err := admin.CreateTopic(ctx, c.partitions, 1, nil, topic)
		return err
	})
}

func deleteTopic(ctx context.Context, s *server, topic string) error {
	return administer(s, func(admin *kadm.Client) error {
		_, err := admin.DeleteTopic(ctx, topic)
		return err
	})
}

func administer(s *server, f func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	if err != nil {
		return err
	}
	defer client.Close()
	return f(kadm.NewClient(client))
}

// producers connects the cell's producers, so that connections, metadata and
// producer ids are not part of what is measured.
func producers(ctx context.Context, s *server, c cell, topic string) ([]*kgo.Client, error) {
	clients := make([]*kgo.Client, 0, c.producers)
	for range c.producers {
		opts := []kgo.Opt{
			kgo.SeedBrokers(s.addr), kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
			kgo.ProducerBatchCompression(codec(c.compression)), kgo.MaxBufferedRecords(20_000), kgo.RecordDeliveryTimeout(time.Minute),
			kgo.RecordPartitioner(kgo.UniformBytesPartitioner(256<<10, true, false, nil)),
		}
		if c.sync {
			opts = append(opts, kgo.ProducerLinger(0))
		}
		client, err := kgo.NewClient(opts...)
		if err == nil {
			clients = append(clients, client)
			err = client.ProduceSync(ctx, &kgo.Record{Value: []byte("first")}).FirstErr()
		}
		if err != nil {
			closeAll(clients)
			return nil, err
		}
	}
	return clients, nil
}

// touch writes a record to every partition, so that none is made while the clock runs.
func touch(ctx context.Context, s *server, c cell, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	records := make([]*kgo.Record, c.partitions)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i), Value: []byte("first")}
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

func closeAll(clients []*kgo.Client) {
	for _, c := range clients {
		c.Close()
	}
}

// produce sends n records from the producers and returns when all are
// acknowledged by all in-sync replicas.
func produce(ctx context.Context, clients []*kgo.Client, c cell, n int, rate float64) ([]float64, error) {
	var (
		mu        sync.Mutex
		latencies []float64
	)
	each := n / c.producers
	g, ctx := errgroup.WithContext(ctx)
	for i, client := range clients {
		g.Go(func() error {
			var own []float64
			var err error
			switch {
			case c.sync:
				own, err = synchronously(ctx, client, each, values(c.size, i))
			case c.load > 0:
				own, err = paced(ctx, client, each, rate/float64(c.producers), values(c.size, i), c.tail)
			default:
				err = flatOut(ctx, client, each, values(c.size, i))
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
			return err
		})
	}
	return latencies, g.Wait()
}

// values are record values that compress about as well as JSON does: half of
// each is random.
func values(size, seed int) [][]byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1)) //nolint:gosec // reproducible on purpose
	out := make([][]byte, 256)
	for i := range out {
		v := make([]byte, size)
		for j := range v {
			v[j] = byte('a' + j%16)
			if j%2 == 0 {
				v[j] = byte(r.Uint32())
			}
		}
		out[i] = v
	}
	return out
}

func flatOut(ctx context.Context, client *kgo.Client, n int, values [][]byte) error {
	var first atomic.Pointer[error]
	for i := range n {
		client.Produce(ctx, &kgo.Record{Value: values[i%len(values)]}, func(_ *kgo.Record, err error) {
			if err != nil {
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	err := client.Flush(ctx)
	if failed := first.Load(); failed != nil {
		err = errors.Join(*failed, err)
	}
	return err
}

func synchronously(ctx context.Context, client *kgo.Client, n int, values [][]byte) ([]float64, error) {
	took := make([]float64, 0, n)
	for i := range n {
		begin := time.Now()
		if err := client.ProduceSync(ctx, &kgo.Record{Value: values[i%len(values)]}).FirstErr(); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(begin)))
	}
	return took, nil
}

// consume reads n records from the start.
func consume(ctx context.Context, s *server, topic string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	for got := 0; got < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		got += fetches.NumRecords()
	}
	return nil
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
