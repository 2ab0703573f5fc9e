package consume_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/services/kit/consume"
)

// Batches hold their partition's records in order, without a database.
func TestBatchesInOrder(t *testing.T) {
	b := setup(t, 2)
	for i := range 300 {
		b.send(&kgo.Record{Topic: b.topic, Value: []byte(strconv.Itoa(i))})
	}
	var mu sync.Mutex
	next := map[int32]int64{}
	largest := 0
	failed := false
	c := b.consumer(func(cfg *consume.Config) { cfg.Pool, cfg.Backoff.Budget = nil, time.Hour })
	c.OnBatch(b.topic, 40, func(_ context.Context, batch []*consume.Message) error {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, len(batch))
		if !failed && len(batch) > 1 {
			failed = true
			return errBoom // the whole batch comes again
		}
		for _, m := range batch {
			if m.Record.Offset != next[m.Record.Partition] {
				t.Errorf("partition %d: offset %d, want %d", m.Record.Partition, m.Record.Offset, next[m.Record.Partition])
			}
			next[m.Record.Partition] = m.Record.Offset + 1
		}
		return nil
	})
	b.start(c)
	b.committed(300)
	if largest < 2 || largest > 40 {
		t.Errorf("the largest batch has %d records, want 2 to 40", largest)
	}
	if d := b.dead(); len(d) != 0 {
		t.Errorf("%d dead letters", len(d))
	}
}

// One bad record in a batch is found, and only it is given up, also when the first
// attempt at the whole batch takes longer than there is time for all of them.
func TestBadRecordInABatch(t *testing.T) {
	const budget = 50 * time.Millisecond
	for name, tc := range map[string]struct {
		failure error
		takes   time.Duration // an attempt at many
	}{
		"rejected":               {consume.Reject(errBoom), 0},
		"out of budget":          {errBoom, 0},
		"out of budget at first": {errBoom, 2 * budget},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1)
			var records []*kgo.Record
			for i := range 20 {
				records = append(records, &kgo.Record{Topic: b.topic, Key: []byte(fmt.Sprint(i)), Value: []byte(strconv.Itoa(i))})
			}
			b.send(records...)
			var mu sync.Mutex
			done := map[string]int{}
			c := b.consumer(func(cfg *consume.Config) { cfg.Pool, cfg.Backoff.Budget = nil, budget })
			c.OnBatch(b.topic, 100, func(_ context.Context, batch []*consume.Message) error {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range batch {
					if string(m.Record.Value) == "7" {
						if len(batch) > 1 {
							time.Sleep(tc.takes)
						}
						return tc.failure
					}
				}
				for _, m := range batch {
					done[string(m.Record.Value)]++
				}
				return nil
			})
			b.start(c)
			b.committed(20)
			mu.Lock()
			defer mu.Unlock()
			if len(done) != 19 || done["7"] != 0 {
				t.Errorf("done %v, want all but 7", done)
			}
			if d := b.dead(); len(d) != 1 || string(d[0].Value) != "7" {
				t.Errorf("dead letters %v, want 7", d)
			}
		})
	}
}

// A batch that stops its consumer is counted as stopped: nobody tries it again here.
func TestBatchStops(t *testing.T) {
	b := setup(t, 1)
	b.produce([]string{"k"}, 3)
	registry := prometheus.NewRegistry()
	c := b.consumer(func(cfg *consume.Config) { cfg.Pool, cfg.Metrics = nil, registry })
	var handled int
	c.OnBatch(b.topic, 40, func(_ context.Context, batch []*consume.Message) error {
		handled = len(batch)
		return consume.Stop(errBoom)
	})
	if err := c.Run(t.Context()); !errors.Is(err, errBoom) {
		t.Fatalf("Run = %v, want the handler's error", err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	for _, f := range families {
		if f.GetName() != "quokka_consumer_records_total" {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if n := int(m.GetCounter().GetValue()); l.GetName() == "outcome" && n > 0 {
					counted[l.GetValue()] += n
				}
			}
		}
	}
	if want := map[string]int{"stopped": handled}; handled == 0 || !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
}
