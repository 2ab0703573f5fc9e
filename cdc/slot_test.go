package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// failed waits for Run to end and returns its error.
func (r *running) failed() error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Fatal("the source goes on")
	}
	if r.Status()[0].State != Failed || r.Ready() == nil {
		r.t.Errorf("status %+v", r.Status()[0])
	}
	return r.stop()
}

// store is where the relay keeps its progress.
func (b *bed) store() *stateStore {
	return &stateStore{client: b.kafka, opts: []kgo.Opt{kgo.SeedBrokers(b.brokers...)}, topic: b.source.TopicPrefix + ".state", key: b.database + "/" + b.source.Slot}
}

// progress rewrites the stored progress.
func (b *bed) progress(change func(*state)) {
	b.t.Helper()
	store := b.store()
	st, err := store.load(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	change(st)
	if err := store.save(b.t.Context(), st); err != nil {
		b.t.Fatal(err)
	}
}

// slotFree waits until nobody streams from the slot. A relay that ends waits for the
// server's end of its stream, but only for a moment.
func (b *bed) slotFree() {
	b.t.Helper()
	eventually(b.t, "the slot is free", func() bool {
		return scan[bool](b, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1", b.source.Slot)
	})
}

// TestSlotErrors: a slot that does not fit the progress is refused by name, with
// a way out; the way out works.
func TestSlotErrors(t *testing.T) {
	tests := []struct {
		name   string
		damage func(*bed)
		want   error
	}{
		{"dropped", func(b *bed) {
			b.exec("SELECT pg_drop_replication_slot('" + b.source.Slot + "')")
		}, ErrSlotLost},
		{"created anew by hand", func(b *bed) {
			b.exec("SELECT pg_drop_replication_slot('"+b.source.Slot+"')", "INSERT INTO items VALUES (5, 5)",
				"SELECT pg_create_logical_replication_slot('"+b.source.Slot+"', 'pgoutput')")
		}, ErrSlotMoved},
		{"advanced by hand", func(b *bed) {
			b.exec("INSERT INTO items VALUES (5, 5)", "SELECT pg_replication_slot_advance('"+b.source.Slot+"', pg_current_wal_lsn())")
		}, ErrSlotMoved},
		{"another server", func(b *bed) {
			b.progress(func(s *state) { s.SystemID = "1" })
		}, ErrOtherSystem},
		{"a server from the past", func(b *bed) {
			b.progress(func(s *state) { s.Position += 1 << 40 })
		}, ErrBehind},
		{"another plugin's", func(b *bed) {
			b.exec("SELECT pg_drop_replication_slot('"+b.source.Slot+"')",
				"SELECT pg_create_logical_replication_slot('"+b.source.Slot+"', 'test_decoding')")
		}, ErrSlotForeign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "INSERT INTO items VALUES (1, 1)")
			r := b.start()
			r.is(Streaming)
			b.caughtUp()
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			b.slotFree()
			tt.damage(b)
			err := b.start().failed()
			if e, ok := errors.AsType[*SlotError](err); !ok || !errors.Is(err, tt.want) || e.Slot != b.source.Slot {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if errors.Is(tt.want, ErrSlotForeign) {
				return
			}
			b.exec("INSERT INTO items VALUES (6, 6)")
			b.start(func(c *Config) { c.Resnapshot = true }).is(Streaming)
			b.exec("INSERT INTO items VALUES (7, 7)")
			b.caughtUp()
			b.agrees("items")
		})
	}
}

// TestLostLog: the server removes log that the slot needs.
func TestLostLog(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Config{Settings: map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB", "wal_keep_size": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	b := newBedOn(t, s.URL(), "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE filler (v text)")
	r := b.start()
	r.is(Streaming)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slot is lost", func() bool {
		b.exec("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 5000)", "SELECT pg_switch_wal()", "CHECKPOINT")
		return scan[string](b, "SELECT wal_status FROM pg_replication_slots") == "lost"
	})
	if err := b.start().failed(); !errors.Is(err, ErrSlotLost) || !strings.Contains(err.Error(), "max_slot_wal_keep_size") {
		t.Errorf("%v", err)
	}
}

// TestUnknownSlot: a slot without progress, because Kafka is another one.
func TestUnknownSlot(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)")
	r := b.start()
	r.is(Streaming)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	err := b.start(func(c *Config) { c.StateTopic += ".other" }).failed()
	if !errors.Is(err, ErrSlotUnknown) {
		t.Errorf("%v", err)
	}
}

// TestTakeover: of two instances one streams; the other takes over when the
// first one ends or loses its connection.
func TestTakeover(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)")
	first := b.start()
	first.is(Streaming)
	second := b.start()
	second.is(Standby)
	if err := second.Ready(); err != nil {
		t.Errorf("a standby is not ready: %v", err)
	}
	b.exec("INSERT INTO items VALUES (1, 1)")
	b.caughtUp()
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second.is(Streaming)
	b.exec("INSERT INTO items VALUES (2, 2)")
	b.caughtUp()
	third := b.start()
	third.is(Standby)
	b.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+b.source.Slot+"'", "INSERT INTO items VALUES (3, 3)")
	b.caughtUp()
	b.agrees("items")
}

// TestSlotInUse: somebody else streams from the slot. The relay waits.
func TestSlotInUse(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)")
	r := b.start()
	r.is(Streaming)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	b.slotFree()
	other := b.replication()
	stream, err := other.Start(t.Context(), pgrepl.Options{Slot: b.source.Slot, Publication: b.source.Publication})
	if err != nil {
		t.Fatal(err)
	}
	again := b.start()
	again.is(Standby)
	b.exec("INSERT INTO items VALUES (1, 1)")
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	again.is(Streaming)
	b.caughtUp()
	b.agrees("items")
}

// TestNotThereYet: database, publication and privileges may come later.
func TestNotThereYet(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "INSERT INTO items VALUES (1, 1)")
	b.exec("DROP PUBLICATION quokka_cdc")
	r := b.start()
	eventually(t, "the relay says what it waits for", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "no publication quokka_cdc yet")
	})
	b.exec("CREATE PUBLICATION quokka_cdc FOR ALL TABLES")
	r.is(Streaming)
	b.caughtUp()
	b.agrees("items")

	missing := b.start(func(c *Config) {
		c.Sources = []Source{{Name: "other", Database: b.database + "_missing", Slot: "slot_missing_" + b.database}}
	})
	eventually(t, "the relay says what it waits for", func() bool {
		err := missing.Ready()
		return err != nil && strings.Contains(err.Error(), b.database+"_missing")
	})
	if err := missing.stop(); err != nil {
		t.Error(err)
	}
}

// TestServerErrors: what a server lacks is said at once.
func TestServerErrors(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)")
	role := "plain_" + b.database
	b.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'x'")
	t.Cleanup(func() { _, _ = b.sql.Exec(context.Background(), "DROP ROLE "+role) })
	err := b.start(func(c *Config) {
		c.PostgresURL = strings.Replace(c.PostgresURL, c.PostgresURL[len("postgres://"):strings.LastIndex(c.PostgresURL, "@")], role+":x", 1)
	}).failed()
	if e, ok := errors.AsType[*ServerError](err); !ok || !strings.Contains(e.Error(), "REPLICATION") {
		t.Errorf("%v", err)
	}

	s, err := pgserver.Start(t.Context(), pgserver.Config{Settings: map[string]string{"wal_level": "replica"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	err = b.start(func(c *Config) {
		c.PostgresURL = s.URL()
		c.Sources = []Source{{Name: "other", Database: "postgres"}}
	}).failed()
	if e, ok := errors.AsType[*ServerError](err); !ok || !strings.Contains(e.Error(), "wal_level = logical") {
		t.Errorf("%v", err)
	}
}

// TestLatest: of two instances' progress the later one's counts, even if the
// earlier wrote last.
func TestLatest(t *testing.T) {
	value := func(s state) []byte {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var got *state
	var err error
	for _, s := range []state{{Epoch: 1, Position: 10}, {Epoch: 2, Position: 15}, {Epoch: 2, Position: 20}, {Epoch: 1, Position: 12}} {
		if got, err = latest(got, value(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got.Position != 20 {
		t.Errorf("position %d", got.Position)
	}
	if got, err = latest(got, nil); got != nil || err != nil {
		t.Errorf("after a record without value: %v, %v", got, err)
	}
	if _, err = latest(nil, []byte("x")); err == nil {
		t.Error("nonsense is progress")
	}
}

// TestConfig: what is missing or wrong is said by name.
func TestConfig(t *testing.T) {
	_, err := New(Config{Sources: []Source{{Name: "a"}, {Name: "b", Database: "b", Slot: "Not-allowed"}, {Name: "c-d", Database: "c"}, {Name: "c-d", Database: "e"}}})
	for _, want := range []string{"QUOKKA_POSTGRES_URL", "QUOKKA_KAFKA_BROKERS", "QUOKKA_REGISTRY_URL", "source 1 needs", `"Not-allowed"`, "same name or slot"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in: %v", want, err)
		}
	}
}
