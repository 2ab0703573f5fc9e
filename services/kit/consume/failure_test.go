package consume_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

var errBoom = errors.New("boom")

func (b *bench) dead() []*kgo.Record {
	b.t.Helper()
	return kittest.ReadAll(b.t, b.brokers, b.topic+"."+b.group+".dlq")
}

func (b *bench) committed(n int64) {
	b.t.Helper()
	kittest.Eventually(b.t, fmt.Sprintf("offset %d to be committed", n), func() bool {
		return kittest.Committed(b.t, b.client, b.group, b.topic) == n
	})
}

func header(r *kgo.Record, key string) string { return consume.Header(r, key) }

// A key that fails parks: the other keys of its partition go on, its own records
// wait, and the watermark waits with them. When it succeeds, nothing is missing.
func TestFailingKeyWaitsOthersGoOn(t *testing.T) {
	b := setup(t, 1)
	ks := keys(5)
	b.produce(ks, 4)
	var healed atomic.Bool
	c := b.consumer(func(cfg *consume.Config) { cfg.Backoff.Budget = time.Hour })
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if err := b.effect(ctx, tx, m); err != nil {
			return err
		}
		if string(m.Record.Key) == ks[1] && !healed.Load() {
			return errBoom // after the effect: it must be rolled back
		}
		return nil
	})
	b.start(c)
	b.committed(1) // the failing key's first record is the second of the partition
	kittest.Eventually(t, "the other keys to be done", func() bool { return b.count(`select count(*) from effects`) == 16 })
	if n := b.count(`select count(*) from effects where key = 'key-01'`); n != 0 {
		t.Errorf("%d effects of the failing key were kept", n)
	}
	healed.Store(true)
	b.committed(20)
	b.wantInOrder(ks, 4)
	if d := b.dead(); len(d) != 0 {
		t.Errorf("%d dead letters, want none", len(d))
	}
}

// When its budget is spent the record goes to the dead-letter topic as it came,
// and its key goes on.
func TestDeadLetterHasTheOriginalBytes(t *testing.T) {
	b := setup(t, 1)
	poison := &kgo.Record{
		Topic: b.topic, Key: []byte("k\x00\xff"), Value: []byte{0, 1, 2, 0xff}, Timestamp: time.UnixMilli(1700000000123),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("poison")}, {Key: "twice", Value: []byte("1")}, {Key: "twice", Value: []byte("2")}, {Key: "__dlq.errors.message", Value: []byte("of an earlier life")}},
	}
	b.send(poison, &kgo.Record{Topic: b.topic, Key: poison.Key, Value: []byte("next")})
	var attempts atomic.Int32
	const budget = 2 * time.Second
	c := b.consumer(func(cfg *consume.Config) { cfg.Backoff.Budget = budget })
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if m.ID == "poison" {
			attempts.Add(1)
			return fmt.Errorf("cannot: %w", errBoom)
		}
		_, err := tx.Exec(ctx, `insert into effects (key, value) values ('', $1)`, string(m.Record.Value))
		return err
	})
	began := time.Now()
	b.start(c)
	b.committed(2)
	took := time.Since(began)
	dead := b.dead()
	if len(dead) != 1 || string(dead[0].Key) != string(poison.Key) || string(dead[0].Value) != string(poison.Value) {
		t.Fatalf("dead letters %v, want the poisonous record", dead)
	}
	d := dead[0]
	if got := d.Headers[:3]; got[0].Key != "ce_id" || string(got[1].Value) != "1" || string(got[2].Value) != "2" {
		t.Errorf("original headers: %v", got)
	}
	for key, want := range map[string]string{
		consume.HeaderDeadTopic: b.topic, consume.HeaderDeadPartition: "0", consume.HeaderDeadOffset: "0", consume.HeaderDeadGroup: b.group,
		consume.HeaderDeadMessage: "cannot: boom", consume.HeaderDeadCount: fmt.Sprint(attempts.Load()), consume.HeaderDeadTimestamp: "1700000000123",
	} {
		if got := header(d, key); got != want {
			t.Errorf("header %s is %q, want %q", key, got, want)
		}
	}
	// The pause before one more attempt, 24 ms at most, was not in the budget.
	if took < budget-24*time.Millisecond {
		t.Errorf("given up after %d attempts in %v, the budget is %v", attempts.Load(), took, budget)
	}
	if n := b.count(`select count(*) from inbox where event_id = 'poison'`); n != 0 {
		t.Error("the dead record is on the inbox: a replay of the dead letter would do nothing")
	}
	if n := b.count(`select count(*) from effects`); n != 1 {
		t.Errorf("%d effects, want the next record's", n)
	}
}

func TestOutcomes(t *testing.T) {
	b := setup(t, 1)
	seen := map[string]*atomic.Int32{}
	for _, name := range []string{"reject", "panic", "retry"} {
		seen[name] = &atomic.Int32{}
		b.send(&kgo.Record{Topic: b.topic, Key: []byte(name), Value: []byte(name)})
	}
	c := b.consumer(func(cfg *consume.Config) { cfg.Backoff.Budget = time.Hour })
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		name := string(m.Record.Key)
		n := seen[name].Add(1)
		if int(n) != m.Attempt {
			t.Errorf("%s: attempt %d, counted %d", name, m.Attempt, n)
		}
		switch {
		case name == "reject":
			return consume.Reject(errBoom)
		case name == "panic" && n < 3:
			panic("oh")
		case name == "retry" && n < 3:
			return consume.Retry(errBoom, time.Millisecond)
		}
		return b.effect(ctx, tx, m)
	})
	b.start(c)
	b.committed(3)
	for name, want := range map[string]int32{"reject": 1, "panic": 3, "retry": 3} {
		if got := seen[name].Load(); got != want {
			t.Errorf("%s: %d attempts, want %d", name, got, want)
		}
	}
	if dead := b.dead(); len(dead) != 1 || string(dead[0].Key) != "reject" {
		t.Errorf("dead letters %v, want the rejected one", dead)
	}
	if n := b.count(`select count(*) from effects`); n != 2 {
		t.Errorf("%d effects, want 2", n)
	}
}

// An attempt that takes too long is cut off and made again.
func TestHandlerTimeout(t *testing.T) {
	b := setup(t, 1)
	b.produce([]string{"slow"}, 1)
	c := b.consumer(func(cfg *consume.Config) { cfg.HandlerTimeout, cfg.Backoff.Budget = 2*time.Second, time.Hour })
	var calls atomic.Int32
	var cut atomic.Bool
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if calls.Add(1) > 1 {
			return b.effect(ctx, tx, m)
		}
		_, err := tx.Exec(ctx, `select pg_sleep(600)`)
		cut.Store(ctx.Err() != nil && err != nil)
		return err
	})
	b.start(c)
	b.committed(1)
	if !cut.Load() || calls.Load() < 2 {
		t.Errorf("the first call was cut off: %v, of %d", cut.Load(), calls.Load())
	}
	if n := b.count(`select count(*) from effects`); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
	if dead := b.dead(); len(dead) != 0 {
		t.Errorf("dead letters %v", dead)
	}
}

// Stop ends Run with the handler's error. What was done before is committed, the
// record itself is delivered to the next member.
func TestStop(t *testing.T) {
	b := setup(t, 1)
	b.produce([]string{"k"}, 5)
	c := b.consumer(nil)
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if string(m.Record.Value) == "2" {
			return consume.Stop(errBoom)
		}
		return b.effect(ctx, tx, m)
	})
	if err := c.Run(t.Context()); !errors.Is(err, errBoom) {
		t.Fatalf("Run = %v, want the handler's error", err)
	}
	if n := kittest.Committed(t, b.client, b.group, b.topic); n != 2 {
		t.Errorf("committed %d, want 2", n)
	}
	c = b.consumer(nil)
	c.OnRecord(b.topic, b.effect)
	b.start(c)
	b.committed(5)
	b.wantInOrder([]string{"k"}, 5)
}

// As long as a dead letter cannot be written, the record stays unacknowledged.
func TestWatermarkWaitsForTheDeadLetter(t *testing.T) {
	b := setup(t, 1)
	b.group = kittest.Unique("g") // its dead-letter topic does not exist
	b.produce([]string{"a", "b"}, 1)
	var calls atomic.Int32
	log := &lines{}
	c := b.consumer(func(cfg *consume.Config) {
		// An attempt that takes too long, on a slow machine, is not given up for it.
		cfg.HandlerTimeout, cfg.Backoff.Budget, cfg.Logger = time.Second, time.Hour, log.logger()
	})
	c.OnRecord(b.topic, func(context.Context, pgx.Tx, *consume.Message) error {
		calls.Add(1)
		return consume.Reject(errBoom)
	})
	b.start(c)
	kittest.Eventually(t, "complaints about the missing topic", func() bool { return log.count("quokka schemas apply") >= 4 })
	if n := kittest.Committed(t, b.client, b.group, b.topic); n != 0 {
		t.Errorf("committed %d before the dead letters were written", n)
	}
	kittest.CreateTopics(t, b.client, 1, b.topic+"."+b.group+".dlq")
	b.committed(2)
	if d := b.dead(); len(d) != 2 {
		t.Errorf("%d dead letters, want 2", len(d))
	}
	if calls.Load() != 2 {
		t.Errorf("the handler ran %d times, want once per record", calls.Load())
	}
}

// An outage of the database is waited for: nothing is given up, whatever the
// budget.
func TestDatabaseOutage(t *testing.T) {
	b := setup(t, 1)
	ks := keys(4)
	c := b.consumer(func(cfg *consume.Config) { cfg.Backoff.Budget = time.Nanosecond })
	c.OnRecord(b.topic, b.effect)
	b.start(c)
	b.produce(ks, 5)
	b.committed(20)
	admin := kittest.Connect(t, kittest.ServerURL(t), "postgres")
	name := b.pool.Config().ConnConfig.Database
	exec := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`alter database ` + name + ` allow_connections false`)
	exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '` + name + `'`)
	b.produce(ks, 10) // 0 to 9 for each key
	time.Sleep(300 * time.Millisecond)
	exec(`alter database ` + name + ` allow_connections true`)
	b.committed(60)
	if d := b.dead(); len(d) != 0 {
		t.Errorf("%d dead letters, want none", len(d))
	}
	if n := b.count(`select count(*) from effects`); n != 60 {
		t.Errorf("%d effects, want 60", n)
	}
}

func TestTypedHandlers(t *testing.T) {
	b := setup(t, 1)
	record := func(typ, value string) *kgo.Record {
		r := &kgo.Record{Topic: b.topic, Key: []byte(value), Value: []byte(value)}
		if typ != "" {
			r.Headers = []kgo.RecordHeader{{Key: "ce_type", Value: []byte(typ)}}
		}
		return r
	}
	b.send(
		record("quokka.order.v1.OrderPlaced", "placed"),
		record("", "placed"),                                  // known by its bytes only
		record("quokka.order.v1.OrderConfirmed", "confirmed"), // no handler
		record("", "confirmed"),                               // no handler either
		record("quokka.order.v9.Burnt", "???"),                // never heard of
		record("", "unknown"),                                 // the decoder has never heard of it
		record("quokka.order.v1.OrderPlaced", "broken"),
		record("quokka.order.v1.OrderPlaced", "confirmed"), // a lie, but without a handler
	)
	c := b.consumer(func(cfg *consume.Config) {
		cfg.Decode = func(_ context.Context, r *kgo.Record) (events.Event, error) {
			switch string(r.Value) {
			case "placed":
				return &events.OrderPlaced{}, nil
			case "confirmed":
				return &events.OrderConfirmed{}, nil
			case "unknown":
				return nil, fmt.Errorf("some.Type: %w", consume.ErrUnknownType)
			default:
				return nil, consume.Reject(errors.New("cannot decode"))
			}
		}
	})
	var calls atomic.Int32
	consume.On(c, b.topic, func(_ context.Context, _ pgx.Tx, m *consume.Message, e *events.OrderPlaced) error {
		if m.Event != events.Event(e) {
			t.Error("m.Event is not the event")
		}
		calls.Add(1)
		return nil
	})
	b.start(c)
	b.committed(8)
	if calls.Load() != 2 {
		t.Errorf("handler ran %d times, want 2", calls.Load())
	}
	if d := b.dead(); len(d) != 1 || string(d[0].Value) != "broken" {
		t.Errorf("dead letters %v, want the broken one only", d)
	}
}

// The event id is ce_id where it can be one; events with one id happen once.
func TestEventIDs(t *testing.T) {
	b := setup(t, 1)
	withID := func(id string) *kgo.Record {
		return &kgo.Record{Topic: b.topic, Key: []byte("k"), Value: []byte(id), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}}}
	}
	b.send(withID("one"), withID("one"), &kgo.Record{Topic: b.topic, Key: []byte("k")}, withID("with\x00nul"), withID("\xff"), withID(strings.Repeat("x", 256)))
	c := b.consumer(nil)
	var ids []string
	c.OnRecord(b.topic, func(_ context.Context, _ pgx.Tx, m *consume.Message) error {
		ids = append(ids, m.ID) // one key: one at a time
		return nil
	})
	stop := b.start(c)
	b.committed(6)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", b.topic + "/0/2", b.topic + "/0/3", b.topic + "/0/4", b.topic + "/0/5"}
	if strings.Join(ids, " ") != strings.Join(want, " ") {
		t.Errorf("ids %q, want %q", ids, want)
	}
}
