package cdc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// network stands between the relay and the broker, and can be cut.
type network struct {
	down  atomic.Bool
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.down.Load() {
		return nil, errors.New("the network is cut")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down.Load() { // cut while this was dialled
		_ = c.Close()
		return nil, errors.New("the network is cut")
	}
	if n.conns == nil {
		n.conns = map[net.Conn]bool{}
	}
	n.conns[c] = true
	return c, nil
}

func (n *network) cut() {
	n.down.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
	clear(n.conns)
}

// position is where the server's log ends.
func (b *bed) position() pgoutput.LSN {
	b.t.Helper()
	return parseLSN(b.t, scan[string](b, "SELECT pg_current_wal_insert_lsn()::text"))
}

// confirmed is the slot's position.
func (b *bed) confirmed() pgoutput.LSN {
	b.t.Helper()
	return parseLSN(b.t, scan[string](b, "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", b.source.Slot))
}

func parseLSN(t testing.TB, text string) pgoutput.LSN {
	t.Helper()
	pos, err := pgoutput.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

// TestBrokerDown: without the broker the slot stays where it is, whatever
// happens to the database, and the server hears again and again that we are there,
// so that it keeps the stream; afterwards everything arrives, in order.
func TestBrokerDown(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE unpublished (v text)")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	n := &network{}
	r := b.start(func(c *Config) {
		// A small buffer, so that the publisher blocks too.
		c.ClientOpts = []kgo.Opt{kgo.Dialer(n.dial), kgo.MaxBufferedRecords(10)}
	})
	r.is(Streaming)
	b.exec("INSERT INTO items VALUES (0, 0)")
	b.caughtUp()
	n.cut()
	cut := b.position() // what the broker had before may still be confirmed
	for range 10 {
		b.exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 20) g ON CONFLICT (id) DO UPDATE SET v = items.v + 1",
			"INSERT INTO unpublished SELECT repeat('x', 1000) FROM generate_series(1, 100)")
	}
	pid := scan[int32](b, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", b.source.Slot)
	// It ends the connection of a client that is silent for its wal_sender_timeout.
	heard := map[string]bool{}
	eventually(t, "the server hears from us again and again", func() bool {
		heard[scan[string](b, "SELECT coalesce(reply_time::text, '') FROM pg_stat_replication WHERE pid = $1", pid)] = true
		return len(heard) > 6
	})
	if got := b.confirmed(); got > cut {
		t.Errorf("the slot moved to %s without the broker, which was cut off at %s", got, cut)
	}
	n.down.Store(false)
	b.caughtUp()
	if now := scan[int32](b, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", b.source.Slot); now != pid {
		t.Errorf("the stream was lost: process %d, then %d", pid, now)
	}
	b.agrees("items")
	records := b.records("items")
	if len(records) != 1+200 {
		t.Errorf("%d records for 201 changes: without a crash nothing is written twice", len(records))
	}
}

// TestBrokerAwayAtStop: a relay that cannot deliver gives up at its shutdown
// timeout, and the next one delivers.
func TestBrokerAwayAtStop(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)")
	n := &network{}
	r := b.start(func(c *Config) {
		c.ClientOpts, c.ShutdownTimeout = []kgo.Opt{kgo.Dialer(n.dial), kgo.MaxBufferedRecords(10)}, 100*time.Millisecond
	})
	r.is(Streaming)
	n.cut()
	b.exec("INSERT INTO items SELECT g, 0 FROM generate_series(1, 50) g")
	eventually(t, "the relay has received it", func() bool {
		return scan[bool](b, "SELECT EXISTS (SELECT FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $1 AND sent_lsn >= pg_current_wal_flush_lsn())", b.source.Slot)
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	b.start().is(Streaming)
	b.caughtUp()
	b.agrees("items")
}

// TestIdleTables: tables that nobody writes must not make the server keep the
// log of everything else.
func TestIdleTables(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE unpublished (v text)")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	metrics := prometheus.NewRegistry()
	r := b.start(func(c *Config) { c.Metrics = metrics })
	r.is(Streaming)
	restart := scan[string](b, "SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = $1", b.source.Slot)
	for range 3 {
		b.exec("INSERT INTO unpublished SELECT repeat('x', 1000) FROM generate_series(1, 1000)", "CHECKPOINT")
		b.caughtUp()
	}
	eventually(t, "the log can be removed", func() bool {
		b.exec("CHECKPOINT")
		return scan[bool](b, "SELECT restart_lsn > $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", restart, b.source.Slot)
	})
	if got := b.records("items"); len(got) > 0 {
		t.Errorf("%d records for a table that nobody wrote", len(got))
	}
}

// TestRefusedSchema: the registry's refusal stops one table, with an error that
// names the subject. Others go on, and the slot keeps what was left out; started
// again after the cause is gone, the relay writes it.
func TestRefusedSchema(t *testing.T) {
	b := newBed(t, "CREATE TABLE good (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE bad (id bigint PRIMARY KEY, v bigint)", "INSERT INTO bad VALUES (1, 1)")
	r := b.start()
	r.is(Streaming)
	b.caughtUp()
	b.registry.refuseWith(func(subject, _ string) error {
		if subject == b.topic("bad")+"-value" {
			return &serde.IncompatibleError{Subject: subject, Messages: []string{"the type of v changed"}}
		}
		return nil
	})
	b.exec("ALTER TABLE bad ADD COLUMN w text", "INSERT INTO bad VALUES (2, 2, 'x')")
	refused := b.position()
	b.exec("UPDATE bad SET v = 3", "INSERT INTO good VALUES (1, 1)")
	eventually(t, "the other table goes on", func() bool { return len(b.registry.subjects()) > 0 && topicHas(b, "good", 1) })
	eventually(t, "the table is stopped", func() bool { return len(r.Status()[0].Stopped) == 1 })
	err := r.Ready()
	stopped, ok := errors.AsType[*TableError](err)
	if !ok || stopped.Subject != b.topic("bad")+"-value" || stopped.Table != "public.bad" || !strings.Contains(err.Error(), "the type of v changed") {
		t.Errorf("not a TableError that names the subject: %v", err)
	}
	b.exec("INSERT INTO good VALUES (2, 2)")
	eventually(t, "the other table goes on", func() bool { return topicHas(b, "good", 2) })
	if got := b.confirmed(); got >= refused {
		t.Errorf("the slot moved to %s, beyond what was not written before %s", got, refused)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := briefs(b.records("bad")); strings.Contains(got, "id=2") {
		t.Errorf("written with a refused schema:\n%s", got)
	}

	// Also at a start: that table is not written, and the slot still keeps it.
	again := b.start()
	again.is(Streaming)
	b.exec("INSERT INTO good VALUES (3, 3)")
	eventually(t, "the other table goes on", func() bool { return topicHas(b, "good", 3) })
	if err := again.stop(); err != nil {
		t.Error(err)
	}
	b.registry.refuseWith(nil)
	fixed := b.start()
	fixed.is(Streaming)
	b.caughtUp()
	b.agrees("bad")
	b.agrees("good")
	if err := fixed.Ready(); err != nil {
		t.Error(err)
	}
}

// topicHas tells whether a table's topic has a row of this id.
func topicHas(b *bed, table string, id int64) bool {
	for _, row := range newest(b.records(table)) {
		if row["id"] == id {
			return true
		}
	}
	return false
}

// TestUnwritableRow: a row that cannot be written stops its table, not others.
func TestUnwritableRow(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v text)", "CREATE TABLE others (id bigint PRIMARY KEY)")
	r := b.start()
	r.is(Streaming)
	b.caughtUp()
	// Beyond what the broker takes in one record. While it is being inserted, the
	// slot may go on: what counts is where the transaction commits.
	b.exec("INSERT INTO items SELECT 1, string_agg(md5(g::text), '') FROM generate_series(1, 60000) g")
	commit := b.position()
	b.exec("INSERT INTO items VALUES (2, 'small')", "INSERT INTO others VALUES (1)")
	eventually(t, "the table is stopped", func() bool { return len(r.Status()[0].Stopped) == 1 })
	eventually(t, "the other table goes on", func() bool { return topicHas(b, "others", 1) })
	b.exec("INSERT INTO others VALUES (2)")
	eventually(t, "the other table goes on", func() bool { return topicHas(b, "others", 2) })
	if got := b.confirmed(); got >= commit {
		t.Errorf("the slot moved to %s, beyond what was not written before %s", got, commit)
	}
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "public.items") {
		t.Errorf("%v", err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestRegistryDown: a registry that gives no answer is waited for.
func TestRegistryDown(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "INSERT INTO items VALUES (1, 1)")
	b.registry.refuseWith(func(string, string) error { return &serde.UnavailableError{} })
	r := b.start()
	eventually(t, "the relay says why it waits", func() bool {
		return r.Ready() != nil && r.Status()[0].Err != nil
	})
	b.registry.refuseWith(nil)
	r.is(Streaming)
	b.caughtUp()
	b.agrees("items")
	b.registry.refuseWith(func(string, string) error { return &serde.UnavailableError{} })
	b.exec("ALTER TABLE items ADD COLUMN w int", "UPDATE items SET w = 1")
	eventually(t, "the relay waits", func() bool { return r.Status()[0].Err != nil })
	b.registry.refuseWith(nil)
	b.caughtUp()
	b.agrees("items")
}
