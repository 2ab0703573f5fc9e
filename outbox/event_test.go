package outbox

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRoundTrip: what is written is what arrives, byte for byte, null apart from
// empty.
func TestRoundTrip(t *testing.T) {
	e := newEnv(t)
	topic := e.newTopic(1, nil)
	big := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	binary := []byte{0, 1, 0xff, 0xfe, '\\', '\'', '"'}
	events := []Event{
		{Key: []byte("k"), Value: []byte("plain")},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte{}, Value: []byte("empty key")},
		{Key: []byte("k"), Value: nil},
		{Key: []byte("k"), Value: []byte{}},
		{Key: binary, Value: binary, Headers: []Header{{"b", binary}}},
		{Key: []byte("k"), Value: []byte("h"), Headers: []Header{{"a", []byte("1")}, {"a", []byte("2")}, {"", nil}, {"empty", []byte{}}, {"nil", nil}, {`q"{},\`, []byte("x")}, {"ü", []byte("ü")}}},
		{Key: []byte("k"), Value: big},
		{Key: []byte("k"), Value: bytes.Repeat([]byte{7}, 5000)}, // the size at which a row overflows
	}
	for i := range events {
		events[i].Topic = topic
	}
	e.run(e.config())
	before := time.Now()
	e.write(events[0])
	e.write(events[1:]...)
	records := e.tail(topic).await(t, len(events))
	for i, r := range records {
		var headers []Header
		for _, h := range r.Headers {
			headers = append(headers, Header{h.Key, h.Value})
		}
		got := Event{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: headers}
		if diff := cmp.Diff(events[i], got); diff != "" {
			t.Errorf("event %d:\n%s", i, diff)
		}
		if r.Timestamp.Before(before.Add(-time.Second)) || r.Timestamp.After(time.Now()) {
			t.Errorf("event %d has the time %v", i, r.Timestamp)
		}
	}
}

// TestPlainSQL: a row written by hand, in any language, is an event.
func TestPlainSQL(t *testing.T) {
	e := newEnv(t)
	e.run(e.config())
	e.exec("INSERT INTO outbox.event (topic, key, value) VALUES ($1, 'k', '1')", e.topic)
	if r := e.tail(e.topic).await(t, 1)[0]; string(r.Key) != "k" || string(r.Value) != "1" || r.Headers != nil {
		t.Errorf("got %v", r)
	}
	for _, headers := range []string{`'{a,b}', '{x}'`, `'{a}', NULL`, `NULL, '{x}'`, `'{a,NULL}', '{x,y}'`} {
		_, err := e.pool.Exec(t.Context(), "INSERT INTO outbox.event (topic, header_keys, header_values) VALUES ('t', "+headers+")")
		if sqlState(err) != "23514" {
			t.Errorf("headers %s: %v, want a violated check", headers, err)
		}
	}
}

// TestPartitioner: a key goes to the partition to which the Java client sends it.
func TestPartitioner(t *testing.T) {
	e := newEnv(t)
	topic := e.newTopic(6, nil)
	// murmur2 of the key, as org.apache.kafka.common.utils.Utils computes it, modulo 6.
	want := map[string]int32{}
	p := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	for _, k := range []string{"customer-1", "customer-2", "customer-3", "", "ü"} {
		want[k] = int32(p.Partition(&kgo.Record{Key: []byte(k)}, 6))
		e.write(Event{Topic: topic, Key: []byte(k)})
	}
	e.run(e.config())
	for _, r := range e.tail(topic).await(t, len(want)) {
		if r.Partition != want[string(r.Key)] {
			t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want[string(r.Key)])
		}
	}
}

// TestWriteRefuses: what cannot be published fails the writer, and none of its
// events is written.
func TestWriteRefuses(t *testing.T) {
	e := newEnv(t)
	tests := map[string]Event{
		"no topic":         {Topic: ""},
		"dots":             {Topic: ".."},
		"slash":            {Topic: "a/b"},
		"not ASCII":        {Topic: "bestellüngen"},
		"NUL":              {Topic: "a\x00b"},
		"long topic":       {Topic: strings.Repeat("x", 250)},
		"big value":        {Topic: e.topic, Value: make([]byte, DefaultMaxBytes+1)},
		"big headers":      {Topic: e.topic, Headers: []Header{{"a", make([]byte, DefaultMaxBytes)}}},
		"header not UTF-8": {Topic: e.topic, Headers: []Header{{"\xff", nil}}},
		"header with NUL":  {Topic: e.topic, Headers: []Header{{"a\x00", nil}}},
	}
	for name, ev := range tests {
		t.Run(name, func(t *testing.T) {
			err := pgx.BeginFunc(t.Context(), e.pool, func(tx pgx.Tx) error {
				err := Write(t.Context(), tx, e.event("a", 1), ev)
				var invalid *InvalidEventError
				if !errors.As(err, &invalid) || invalid.ID == uuid.Nil {
					t.Errorf("got %v, want an *InvalidEventError", err)
				}
				return nil // commits: nothing must be in it
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if n := e.int("SELECT count(*) FROM outbox.event"); n != 0 {
		t.Errorf("%d events were written", n)
	}
	if err := Write(t.Context(), nil); err != nil {
		t.Errorf("no events: %v", err)
	}
}

// TestTooLarge: an event above the producer's limit stops the relay before
// anything behind it is sent. With a higher limit everything arrives, in order.
func TestTooLarge(t *testing.T) {
	e := newEnv(t)
	limit := "4000000"
	topic := e.newTopic(1, map[string]*string{"max.message.bytes": &limit})
	e.topic = topic
	tl := e.tail(topic)
	failed := make(chan struct{}, 100)
	cfg := e.config()
	cfg.Fault = func(point string) {
		if point == FaultRead {
			failed <- struct{}{}
		}
	}
	r := e.run(cfg)
	large := Event{Topic: topic, Key: []byte("a"), Value: make([]byte, 1_500_000)}
	err := pgx.BeginFunc(t.Context(), e.pool, func(tx pgx.Tx) error {
		for _, ev := range []Event{e.event("a", 1), large, e.event("a", 2)} {
			if err := (Writer{MaxBytes: 2_000_000}).Write(t.Context(), tx, ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tl.await(t, 1)
	<-failed
	<-failed // it has tried again
	if got := len(tl.all()); got != 1 {
		t.Fatalf("%d events arrived, want the one before the large one", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	cfg.ClientOpts = []kgo.Opt{kgo.ProducerBatchMaxBytes(3_000_000)}
	e.run(cfg)
	records := tl.await(t, 3)
	if string(records[0].Value) != "1" || len(records[1].Value) != 1_500_000 || string(records[2].Value) != "2" {
		t.Errorf("%d records, of %d, %d, %d bytes", len(records), len(records[0].Value), len(records[1].Value), len(records[2].Value))
	}
}

// TestQueue: events queued behind other statements of a batch.
func TestQueue(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	e.run(e.config())
	e.exec("CREATE TABLE agg (k text PRIMARY KEY, v int NOT NULL)")
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO agg VALUES ('a', 2)")
	if err := Queue(sampled(t.Context()), batch, e.event("a", 1), e.event("a", 2)); err != nil {
		t.Fatal(err)
	}
	err := pgx.BeginFunc(t.Context(), e.pool, func(tx pgx.Tx) error { return tx.SendBatch(t.Context(), batch).Close() })
	if err != nil {
		t.Fatal(err)
	}
	records := tl.await(t, 2)
	if v := judge(published(records), e.last()); v != (verdict{}) || headersOf(records[0])["traceparent"] == "" {
		t.Errorf("%v, headers %v", v, headersOf(records[0]))
	}
	if err := Queue(t.Context(), batch, Event{Topic: "a/b"}); err == nil {
		t.Error("an event that cannot be published was queued")
	}
}
