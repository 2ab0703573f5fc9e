package cdc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
	"github.com/quokka-stream/quokka/internal/pgserver"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

// patience is how long a condition may take to come true.
const patience = 3 * time.Minute

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool, details ...func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, d := range details {
				t.Log(d())
			}
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// bed is what a test of the relay lies on: a database of its own with a
// publication, topics of its own on a broker, a registry.
type bed struct {
	t        testing.TB
	url      string // of the database
	database string
	sql      *pgxpool.Pool
	brokers  []string
	kafka    *kgo.Client
	registry *memoryRegistry
	source   Source
	// value decodes what was written under the registry in use.
	value func([]byte) any
}

func newBed(t testing.TB, setup ...string) *bed {
	t.Helper()
	return newBedOn(t, pgserver.NewDatabase(t), setup...)
}

// newBedOn is newBed in a given database, newBedWith with a given broker.
func newBedOn(t testing.TB, databaseURL string, setup ...string) *bed {
	t.Helper()
	return makeBed(t, databaseURL, brokertest.Brokers(t), setup...)
}

func newBedWith(t testing.TB, brokers []string, setup ...string) *bed {
	t.Helper()
	return makeBed(t, pgserver.NewDatabase(t), brokers, setup...)
}

func makeBed(t testing.TB, databaseURL string, brokers []string, setup ...string) *bed {
	t.Helper()
	b := &bed{t: t, url: databaseURL, brokers: brokers, registry: newMemoryRegistry()}
	b.value = func(v []byte) any { return b.registry.decode(t, v) }
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	b.database = strings.TrimPrefix(u.Path, "/")
	// A broker may be shared by suites and runs.
	unique := b.database + "_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	b.source = Source{Name: "shop", Database: b.database, Publication: "quokka_cdc", Slot: "slot_" + b.database, TopicPrefix: unique}
	b.sql, err = pgxpool.New(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	b.kafka, err = kgo.NewClient(kgo.SeedBrokers(b.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.sql.Close()
		b.kafka.Close()
	})
	b.exec(setup...)
	b.exec("CREATE PUBLICATION quokka_cdc FOR ALL TABLES")
	return b
}

func (b *bed) exec(statements ...string) {
	b.t.Helper()
	for _, s := range statements {
		if _, err := b.sql.Exec(b.t.Context(), s); err != nil {
			b.t.Fatalf("%s: %v", s, err)
		}
	}
}

// scan reads one value.
func scan[T any](b *bed, query string, args ...any) T {
	b.t.Helper()
	var v T
	if err := b.sql.QueryRow(b.t.Context(), query, args...).Scan(&v); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return v
}

// replication opens a replication connection besides the relay's.
func (b *bed) replication() *pgrepl.Conn {
	b.t.Helper()
	cfg, err := pgconn.ParseConfig(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := pgrepl.Connect(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func (b *bed) config() Config {
	return Config{
		PostgresURL: b.url, Sources: []Source{b.source}, Brokers: b.brokers, Registry: b.registry,
		StateTopic: b.source.TopicPrefix + ".state", ConfirmInterval: 20 * time.Millisecond, LeaseInterval: 20 * time.Millisecond,
		Logger: testLogger(b.t),
	}
}

// testLogger shows what a failed test's relay had to say.
func testLogger(t testing.TB) *slog.Logger {
	if os.Getenv("CDC_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	out := &lockedBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return slog.New(slog.NewTextHandler(out, nil))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a relay that runs.
type running struct {
	*Relay
	t    testing.TB
	stop func() error // ends it and returns Run's error
	done <-chan struct{}
}

func (b *bed) start(change ...func(*Config)) *running {
	b.t.Helper()
	cfg := b.config()
	for _, f := range change {
		f(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error
	go func() {
		defer close(done)
		result = r.Run(ctx)
	}()
	stop := func() error {
		cancel()
		<-done
		return result
	}
	b.t.Cleanup(func() { _ = stop() })
	return &running{Relay: r, t: b.t, stop: stop, done: done}
}

// is waits until the first source is in a state.
func (r *running) is(state State) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("the source is %s", state), func() bool { return r.Status()[0].State == state })
}

// caughtUp waits until everything committed so far is confirmed.
func (b *bed) caughtUp() {
	b.t.Helper()
	end := scan[string](b, "SELECT pg_current_wal_flush_lsn()::text")
	eventually(b.t, "the slot is confirmed up to "+end, func() bool {
		return scan[bool](b, "SELECT coalesce((SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2), false)", end, b.source.Slot)
	}, b.server, goroutines)
}

// server tells what the database server does: who keeps a slot from moving, the
// sender or a transaction it waits for.
func (b *bed) server() string {
	b.t.Helper()
	return scan[string](b, `SELECT coalesce((SELECT json_agg(s) FROM pg_replication_slots s)::text, '') || E'\n' ||
		coalesce((SELECT json_agg(r) FROM pg_stat_replication r)::text, '') || E'\n' ||
		coalesce((SELECT json_agg(a) FROM (SELECT pid, datname, application_name, state, wait_event_type, wait_event, backend_xid, backend_xmin, query FROM pg_stat_activity) a)::text, '')`)
}

// goroutines tells what everything in this process waits for.
func goroutines() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func (b *bed) topic(table string) string { return b.source.TopicPrefix + ".public." + table }

// record is a record of a captured table.
type record struct {
	partition int32
	offset    int64
	key       any
	rawKey    string
	rawValue  []byte
	envelope  *debezium.Envelope // nil for a tombstone
	headers   map[string]string
	lsn, ord  uint64
}

func (r record) before(o record) bool {
	return r.lsn < o.lsn || r.lsn == o.lsn && r.ord < o.ord
}

// records reads everything a table's topic has now: per partition in order.
func (b *bed) records(table string) []record {
	b.t.Helper()
	var out []record
	for _, r := range readTopic(b.t, b.brokers, b.topic(table)) {
		out = append(out, b.decode(r))
	}
	return out
}

func readTopic(t testing.TB, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil || ends.Error() != nil {
		t.Fatalf("topic %s: %v", topic, errors.Join(err, ends.Error()))
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var out []*kgo.Record
	for len(left) > 0 {
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("topic %s: %v", topic, err)
		}
		for r := range f.RecordsAll() {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

func (b *bed) decode(r *kgo.Record) record {
	b.t.Helper()
	out := record{partition: r.Partition, offset: r.Offset, rawKey: string(r.Key), rawValue: r.Value, headers: map[string]string{}}
	for _, h := range r.Headers {
		out.headers[h.Key] = string(h.Value)
	}
	out.lsn, _ = strconv.ParseUint(out.headers[HeaderCommitLSN], 10, 64)
	out.ord, _ = strconv.ParseUint(out.headers[HeaderOrdinal], 10, 64)
	if len(r.Key) > 0 {
		out.key = b.value(r.Key)
	}
	if r.Value == nil {
		return out
	}
	e, err := debezium.DecodeEnvelope(b.value(r.Value))
	if err != nil {
		b.t.Fatal(err)
	}
	out.envelope = e
	return out
}

// brief renders a record on one line: op, key, before and after.
func (r record) brief() string {
	render := func(m map[string]any) string {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			parts = append(parts, fmt.Sprintf("%s=%v", k, m[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	key, _ := r.key.(map[string]any)
	if r.envelope == nil {
		return "tombstone " + render(key)
	}
	s := string(r.envelope.Op) + " " + render(key)
	if r.envelope.Before != nil {
		s += " before " + render(r.envelope.Before)
	}
	if r.envelope.After != nil {
		s += " after " + render(r.envelope.After)
	}
	return s
}

// byPosition sorts records of several partitions as they were written, and drops
// what was written again.
func byPosition(records []record) []record {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.lsn, b.lsn), cmp.Compare(a.ord, b.ord))
	})
	return slices.CompactFunc(out, func(a, b record) bool {
		return a.lsn == b.lsn && a.ord == b.ord && a.rawKey == b.rawKey && (a.envelope == nil) == (b.envelope == nil)
	})
}

func briefs(records []record) string {
	var b strings.Builder
	for _, r := range byPosition(records) {
		b.WriteString(r.brief() + "\n")
	}
	return b.String()
}

// newest folds records as a consumer does that keeps the highest position of
// each key: the rows that are left, by key.
func newest(records []record) map[string]map[string]any {
	at := map[string]record{}
	var truncated record
	for _, r := range records {
		if r.envelope == nil {
			continue // its delete came before it
		}
		if r.envelope.Op == debezium.Truncate {
			if truncated.before(r) {
				truncated = r
			}
			continue
		}
		if have, ok := at[r.rawKey]; !ok || have.before(r) {
			at[r.rawKey] = r
		}
	}
	out := map[string]map[string]any{}
	for key, r := range at {
		if r.envelope.After != nil && !r.before(truncated) {
			out[key] = r.envelope.After
		}
	}
	return out
}

// last folds records as compaction does: the last of each key, in the order in
// which they were written.
func last(records []record) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, r := range records {
		switch {
		case r.envelope == nil:
			delete(out, r.rawKey)
		case r.envelope.Op == debezium.Truncate:
			for _, other := range records {
				if other.partition == r.partition {
					delete(out, other.rawKey)
				}
			}
		case r.envelope.After == nil:
			delete(out, r.rawKey)
		default:
			out[r.rawKey] = r.envelope.After
		}
	}
	return out
}

// memoryRegistry is a registry for one test. Package schemas tests cdc's schemas
// against the rules of a real one; here only refusals matter.
type memoryRegistry struct {
	mu      sync.Mutex
	ids     map[string]int // by schema text
	schemas map[int]*codec.Schema
	log     []string // subjects in the order of new schemas
	refuse  func(subject, schema string) error
}

func newMemoryRegistry() *memoryRegistry {
	return &memoryRegistry{ids: map[string]int{}, schemas: map[int]*codec.Schema{}}
}

func (m *memoryRegistry) Register(_ context.Context, subject, schema string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		if err := m.refuse(subject, schema); err != nil {
			return 0, err
		}
	}
	if id, ok := m.ids[schema]; ok {
		return id, nil
	}
	parsed, err := codec.Parse(schema)
	if err != nil {
		return 0, err
	}
	id := len(m.ids) + 1
	m.ids[schema], m.schemas[id] = id, parsed
	m.log = append(m.log, subject)
	return id, nil
}

func (m *memoryRegistry) refuseWith(f func(subject, schema string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

func (m *memoryRegistry) decode(t testing.TB, b []byte) any {
	t.Helper()
	if len(b) < 5 || b[0] != 0 {
		t.Fatalf("% x is not in Confluent's wire format", b)
	}
	m.mu.Lock()
	schema := m.schemas[int(binary.BigEndian.Uint32(b[1:]))]
	m.mu.Unlock()
	if schema == nil {
		t.Fatalf("schema id %d is not registered", binary.BigEndian.Uint32(b[1:]))
	}
	var v any
	if err := schema.Decode(b[5:], &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// subjects returns those with schemas.
func (m *memoryRegistry) subjects() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}
