package consume_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// bench is one group on one topic with a database that keeps the effects.
type bench struct {
	t            *testing.T
	brokers      []string
	client       *kgo.Client
	pool         *pgxpool.Pool
	topic, group string
}

func setup(t *testing.T, partitions int32) *bench {
	t.Helper()
	return setupAt(t, brokertest.Brokers(t), partitions)
}

// setupAt is setup on the brokers given.
func setupAt(t *testing.T, brokers []string, partitions int32) *bench {
	t.Helper()
	b := &bench{t: t, brokers: brokers, topic: kittest.Unique("consume"), group: kittest.Unique("g")}
	b.client = kittest.Client(t, b.brokers)
	kittest.CreateTopics(t, b.client, partitions, b.topic, b.topic+"."+b.group+".dlq")
	b.pool = kittest.Pool(t)
	if err := postgres.Migrate(t.Context(), b.pool, "test", effectsMigration); err != nil {
		t.Fatal(err)
	}
	return b
}

// consumer makes a member of the group; edit may change its configuration.
func (b *bench) consumer(edit func(*consume.Config)) *consume.Consumer {
	b.t.Helper()
	cfg := consume.Config{
		Group: b.group, Brokers: b.brokers, Pool: b.pool, Concurrency: 8,
		Backoff:        consume.Backoff{Min: 5 * time.Millisecond, Max: 20 * time.Millisecond, Budget: 300 * time.Millisecond},
		CommitInterval: 20 * time.Millisecond, DrainTimeout: time.Minute,
		SessionTimeout: 30 * time.Second, // a machine that stands still for a while loses no member
	}
	if edit != nil {
		edit(&cfg)
	}
	c, err := consume.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// start runs a consumer until the returned function is called, or the test ends.
func (b *bench) start(c *consume.Consumer) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(3 * time.Minute):
			return errors.New("consumer did not end")
		}
	})
	b.t.Cleanup(func() { _ = stop() })
	return stop
}

// produce writes n records for each key, in turns, with values 0 to n-1.
func (b *bench) produce(keys []string, n int) {
	b.t.Helper()
	var records []*kgo.Record
	for i := range n {
		for _, key := range keys {
			records = append(records, &kgo.Record{Topic: b.topic, Key: []byte(key), Value: []byte(strconv.Itoa(i))})
		}
	}
	b.send(records...)
}

func (b *bench) send(records ...*kgo.Record) {
	b.t.Helper()
	if err := b.client.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// effect is a handler that records each value under its key.
func (b *bench) effect(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
	_, err := tx.Exec(ctx, `insert into effects (key, value) values ($1, $2)`, string(m.Record.Key), string(m.Record.Value))
	return err
}

// effects returns the values of each key in the order in which they took effect.
func (b *bench) effects() map[string][]string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `select key, value from effects order by id`)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string][]string{}
	var key, value string
	if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		out[key] = append(out[key], value)
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) count(query string) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// wantInOrder checks that each key took effect n times, in order, once each.
func (b *bench) wantInOrder(keys []string, n int) {
	b.t.Helper()
	got := b.effects()
	for _, key := range keys {
		if len(got[key]) != n {
			b.t.Errorf("key %s has %d effects, want %d", key, len(got[key]), n)
			continue
		}
		for i, v := range got[key] {
			if v != strconv.Itoa(i) {
				b.t.Errorf("key %s: effect %d is %s: out of order or twice: %v", key, i, v, got[key])
				break
			}
		}
	}
}

func keys(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("key-%02d", i)
	}
	return out
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestEveryRecordOnceInOrderOfItsKey(t *testing.T) {
	b := setup(t, 3)
	ks := keys(10)
	b.produce(ks, 20)
	c := b.consumer(nil)
	c.OnRecord(b.topic, b.effect)
	stop := b.start(c)
	kittest.Eventually(t, "all offsets committed", func() bool { return kittest.Committed(t, b.client, b.group, b.topic) == 200 })
	b.wantInOrder(ks, 20)
	if n := b.count(`select count(*) from inbox`); n != 200 {
		t.Errorf("%d inbox rows, want 200", n)
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v, want nil after its context ended", err)
	}
}

// lines is a log that a test can search.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}
