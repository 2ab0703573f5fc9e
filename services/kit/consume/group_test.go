package consume_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// Members come and go while records are handled: every record takes effect once,
// in the order of its key.
func TestRebalances(t *testing.T) {
	b := setup(t, 6)
	ks := keys(24)
	const each = 40
	member := func() (stop func() error) {
		c := b.consumer(func(cfg *consume.Config) { cfg.Concurrency = 4 })
		c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
			if _, err := tx.Exec(ctx, `select pg_sleep($1)`, rand.Float64()*0.004); err != nil {
				return err
			}
			return b.effect(ctx, tx, m)
		})
		return b.start(c)
	}
	stops := []func() error{member()}
	var producing sync.WaitGroup
	producing.Go(func() { b.produce(ks, each) })
	done := func() int64 { return kittest.Committed(t, b.client, b.group, b.topic) }
	total := int64(len(ks) * each)
	for i, at := range []int64{total / 8, total / 4, total / 2, total * 5 / 8, total * 3 / 4} {
		kittest.Eventually(t, "some progress", func() bool { return done() >= at })
		if i%2 == 0 {
			stops = append(stops, member())
		} else {
			if err := stops[0](); err != nil {
				t.Errorf("member ended with: %v", err)
			}
			stops = stops[1:]
		}
	}
	producing.Wait()
	b.committed(total)
	b.wantInOrder(ks, each)
	// The inbox tells the same: within a key, sequence and offset rise together.
	if n := b.count(`select count(*) from (select record_offset < lag(record_offset) over (partition by partition, record_key order by sequence) as fell from inbox) x where fell`); n != 0 {
		t.Errorf("%d inversions on the inbox", n)
	}
	for _, stop := range stops {
		if err := stop(); err != nil {
			t.Errorf("member ended with: %v", err)
		}
	}
}

// Shutdown finishes what has begun, starts nothing, and commits exactly that.
func TestShutdownDrains(t *testing.T) {
	b := setup(t, 1)
	b.produce(keys(6), 1)
	begun, finish := make(chan struct{}, 6), make(chan struct{})
	c := b.consumer(func(cfg *consume.Config) { cfg.Concurrency = 2 })
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		begun <- struct{}{}
		<-finish
		return b.effect(ctx, tx, m)
	})
	stop := b.start(c)
	<-begun
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case err := <-ended:
		t.Fatalf("ended with work running: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n, got := b.count(`select count(*) from effects`), kittest.Committed(t, b.client, b.group, b.topic); n != 2 || got != 2 {
		t.Errorf("%d effects, offset %d committed; want 2 and 2", n, got)
	}
}

// With far more records than it may hold, and all handlers hanging at first, the
// consumer handles as many at once as configured, and in the end all, in order.
func TestBackpressure(t *testing.T) {
	b := setup(t, 2)
	b.produce(keys(50), 20)
	release := make(chan struct{})
	var running, most atomic.Int32
	c := b.consumer(func(cfg *consume.Config) {
		cfg.Concurrency = 5
		cfg.Limits = consume.Limits{Records: 60}
	})
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		running.Add(-1)
		return b.effect(ctx, tx, m)
	})
	b.start(c)
	kittest.Eventually(t, "all workers to be busy", func() bool { return running.Load() == 5 })
	close(release)
	b.committed(1000)
	b.wantInOrder(keys(50), 20)
	if most.Load() != 5 {
		t.Errorf("%d handlers at once, want 5", most.Load())
	}
}

// The broker goes away and comes back: nothing is lost or done twice, and the
// member finds its group again.
func TestBrokerRestart(t *testing.T) {
	broker := brokertest.Start(t)
	b := setupAt(t, []string{broker.Addr()}, 3)
	ks := keys(9)
	c := b.consumer(nil)
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if _, err := tx.Exec(ctx, `select pg_sleep(0.002)`); err != nil {
			return err
		}
		return b.effect(ctx, tx, m)
	})
	stop := b.start(c)
	for round := range 3 {
		var records []*kgo.Record
		for i := range 20 {
			for _, key := range ks {
				records = append(records, &kgo.Record{Topic: b.topic, Key: []byte(key), Value: []byte(strconv.Itoa(20*round + i))})
			}
		}
		b.send(records...)
		kittest.Eventually(t, "some of the round", func() bool { return b.count(`select count(*) from effects`) > 180*round+20 })
		broker.Restart()
	}
	b.committed(540)
	b.wantInOrder(ks, 60)
	if d := b.dead(); len(d) != 0 {
		t.Errorf("%d dead letters", len(d))
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
}
