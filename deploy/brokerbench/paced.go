package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// epoch is what due times in records count from.
var epoch = time.Now()

// paced sends at a rate, whatever the answers, and measures from the moment each
// record was due. stamp: its value begins with that moment, for who reads it.
func paced(ctx context.Context, client *kgo.Client, n int, rate float64, values [][]byte, stamp bool) ([]float64, error) {
	took := make([]float64, n)
	var first atomic.Pointer[error]
	begin := time.Now()
	for i := range n {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if early := time.Until(due); early > time.Millisecond {
			time.Sleep(early)
		}
		value := values[i%len(values)]
		if stamp {
			value = append([]byte(nil), value...)
			binary.BigEndian.PutUint64(value, uint64(due.Sub(epoch)))
		}
		client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			took[i] = ms(time.Since(due))
			if err != nil {
				first.CompareAndSwap(nil, &err)
			}
		})
	}
	err := client.Flush(ctx)
	if failed := first.Load(); failed != nil {
		err = errors.Join(*failed, err)
	}
	return took, err
}

// follower reads a topic at its tail, beside its producers.
type follower struct {
	client    *kgo.Client
	cancel    context.CancelFunc
	done      chan struct{}
	latencies []float64
	err       error
}

// follow reads what is in a topic, and goes on with the n records that are to come,
// which are stamped.
func follow(ctx context.Context, s *server, c cell, topic string, n int) (*follower, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	f := &follower{client: client, cancel: cancel, done: make(chan struct{}), latencies: make([]float64, 0, n)}
	for there := int(c.partitions) + c.producers; there > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			close(f.done)
			_, _ = f.wait()
			return nil, err
		}
		there -= fetches.NumRecords()
	}
	go f.run(ctx, n)
	return f, nil
}

// run notes how late each record comes.
func (f *follower) run(ctx context.Context, n int) {
	defer close(f.done)
	for len(f.latencies) < n && f.err == nil {
		fetches := f.client.PollFetches(ctx)
		f.err = fetches.Err0()
		now := time.Since(epoch)
		fetches.EachRecord(func(r *kgo.Record) {
			f.latencies = append(f.latencies, ms(now-time.Duration(binary.BigEndian.Uint64(r.Value))))
		})
	}
}

// wait returns how late the records came, once all have.
func (f *follower) wait() ([]float64, error) {
	<-f.done
	f.cancel()
	f.client.Close()
	return f.latencies, f.err
}
