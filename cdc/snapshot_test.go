package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// writeUntil runs writers that insert, change, re-key and delete rows of table
// items (id bigint primary key, v bigint) until stop is called.
func (b *bed) writeUntil(writers int) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			for i := 0; ctx.Err() == nil; i++ {
				id := rnd.Int64N(300)
				statement := []string{
					"INSERT INTO items VALUES ($1, 0) ON CONFLICT (id) DO UPDATE SET v = items.v + 1",
					"UPDATE items SET v = v + 1 WHERE id = $1",
					"UPDATE items SET v = v + 1 WHERE id BETWEEN $1 AND $1 + 5",
					"DELETE FROM items WHERE id = $1",
					"UPDATE items SET id = id + 1000 WHERE id = $1 AND NOT EXISTS (SELECT FROM items WHERE id = $1 + 1000)",
					"DELETE FROM items WHERE id = $1 + 1000",
				}[rnd.IntN(6)]
				tx, err := b.sql.Begin(ctx)
				if err != nil {
					continue
				}
				// Deadlocks and duplicate keys roll back: that happens too.
				_, err = tx.Exec(ctx, statement, id)
				if err != nil || rnd.IntN(20) == 0 {
					_ = tx.Rollback(context.WithoutCancel(ctx))
					continue
				}
				_ = tx.Commit(context.WithoutCancel(ctx))
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// agrees compares a table with what its topic adds up to, for a consumer that
// compares positions and for one that trusts the order of the topic.
func (b *bed) agrees(table string) {
	b.t.Helper()
	records := b.records(table)
	want := map[string]bool{}
	rows, err := b.sql.Query(b.t.Context(), "SELECT * FROM "+pgx.Identifier{table}.Sanitize(), pgx.QueryExecModeDescribeExec)
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range all {
		want[fmt.Sprint(row)] = true
	}
	for name, fold := range map[string]map[string]map[string]any{"newest": newest(records), "last": last(records)} {
		got := map[string]bool{}
		for _, row := range fold {
			got[fmt.Sprint(row)] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.t.Errorf("table %s and its topic, folded by %s: want - got +\n%.2000s", table, name, diff)
		}
	}
}

// TestSnapshotUnderWriters: rows that change while the slot is made and the
// snapshot is read end up on the topic as they are in the table.
func TestSnapshotUnderWriters(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "INSERT INTO items SELECT g, 0 FROM generate_series(0, 299) g")
	stop := b.writeUntil(4)
	var read atomic.Int64
	r := b.start(func(c *Config) {
		c.Fault = func(point string) {
			if point == "snapshot.row" {
				read.Add(1)
			}
		}
	})
	r.is(Streaming)
	b.caughtUp()
	stop()
	b.caughtUp()
	if read.Load() == 0 {
		t.Error("nothing was read by the snapshot")
	}
	b.agrees("items")
}

// TestUpdateBegunWhileSlotIsMade: an update may stand in the log before the
// slot's consistent point and commit after it. It is not in the snapshot, its
// own log position is below the snapshot's, and yet it is the newer one. A
// consumer that compared source.lsn would lose it; one that compares the
// position in the headers does not.
func TestUpdateBegunWhileSlotIsMade(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)", "CREATE TABLE locks (id int PRIMARY KEY)", "INSERT INTO items VALUES (1, 'old')")
	begin := func(statement string) (pgx.Tx, uint64) {
		t.Helper()
		tx, err := b.sql.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		var xid uint64
		if _, err = tx.Exec(t.Context(), statement); err == nil {
			err = tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tx, xid
	}
	commit := func(tx pgx.Tx) {
		t.Helper()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slotWaitsFor := func(xid uint64) {
		t.Helper()
		eventually(t, "the slot's creation waits for a transaction", func() bool {
			return scan[bool](b, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND transactionid::text = $1)", fmt.Sprint(xid))
		})
	}
	// PostgreSQL waits twice while it makes a slot: for what runs when it starts,
	// then for what runs when that has ended. What begins during the second wait
	// is in the stream, however early its changes stand in the log.
	first, firstID := begin("INSERT INTO locks VALUES (1)")
	r := b.start()
	slotWaitsFor(firstID)
	second, secondID := begin("INSERT INTO locks VALUES (2)")
	commit(first)
	slotWaitsFor(secondID)
	update, _ := begin("UPDATE items SET name = 'new' WHERE id = 1")
	commit(second)
	r.is(Streaming) // the snapshot is written
	commit(update)
	b.caughtUp()

	records := b.records("items")
	if len(records) != 2 || records[0].envelope.Op != debezium.Read || records[1].envelope.Op != debezium.Update {
		t.Fatalf("records:\n%s", briefs(records))
	}
	snapshot, change := records[0], records[1]
	if change.envelope.Source.LSN >= snapshot.lsn {
		t.Fatalf("the update at %s is not before the snapshot at %s: the test does not show what it is for",
			pgoutput.LSN(change.envelope.Source.LSN), pgoutput.LSN(snapshot.lsn))
	}
	if snapshot.envelope.Source.LSN != snapshot.lsn || snapshot.ord != 0 || snapshot.headers[HeaderOrdinal] != "0" {
		t.Errorf("the snapshot's row is at %d/%d", snapshot.lsn, snapshot.ord)
	}
	slices.Reverse(records) // in whatever order they come
	for _, row := range newest(records) {
		if row["name"] != "new" {
			t.Errorf("a consumer that compares positions has %v", row)
		}
	}
}

// cut stops a relay at a point until it is resumed.
type cut struct {
	point  string
	after  int64 // that many times
	seen   atomic.Int64
	reach  chan struct{}
	resume chan struct{}
}

func newCut(point string, after int64) *cut {
	return &cut{point: point, after: after, reach: make(chan struct{}), resume: make(chan struct{})}
}

func (c *cut) fault(point string) {
	if point == c.point && c.seen.Add(1) == c.after {
		close(c.reach)
		<-c.resume
	}
}

// TestJoins: a table that joins the publication while the relay streams, with
// rows in it, is read and then followed.
func TestJoins(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE late (id bigint PRIMARY KEY, v bigint)", "INSERT INTO late SELECT g, 0 FROM generate_series(1, 50) g")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	stop := b.writeUntil(2)
	defer stop()
	r := b.start()
	r.is(Streaming)
	b.exec("UPDATE late SET v = 1", "ALTER PUBLICATION quokka_cdc ADD TABLE late", "UPDATE late SET v = v + 1 WHERE id > 10", "DELETE FROM late WHERE id = 50")
	eventually(t, "the joined table is read", func() bool {
		return r.Status()[0].State == Streaming && slices.Contains(b.registry.subjects(), b.topic("late")+"-value")
	})
	stop()
	b.caughtUp()
	b.agrees("late")
	b.agrees("items")
	// It left, and returns: what happened meanwhile is read anew.
	b.exec("ALTER PUBLICATION quokka_cdc DROP TABLE late")
	b.caughtUp()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE late SET v = 7")
	again := b.start()
	again.is(Streaming)
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	b.exec("ALTER PUBLICATION quokka_cdc ADD TABLE late")
	b.start().is(Streaming)
	b.caughtUp()
	b.agrees("late")
}

// TestJoinsWhileRegistryIsAway: a session begins anew at once for a table that
// joined, but what fails then is tried again after a pause, not over and over.
func TestJoinsWhileRegistryIsAway(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY)", "CREATE TABLE late (id bigint PRIMARY KEY)")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	log := &lockedBuffer{}
	r := b.start(func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	r.is(Streaming)
	asked := 0 // called under the registry's lock
	b.registry.refuseWith(func(subject, _ string) error {
		if subject != b.topic("late")+"-value" {
			return nil
		}
		if asked++; asked > 1 && asked < 6 { // the first time is when it joins
			return &serde.UnavailableError{Err: errors.New("away")}
		}
		return nil
	})
	b.exec("ALTER PUBLICATION quokka_cdc ADD TABLE late", "INSERT INTO late VALUES (1)")
	b.caughtUp()
	b.agrees("late")
	if text := log.String(); strings.Count(text, "source interrupted") < 4 || strings.Contains(text, "in=0s") {
		t.Errorf("want four interruptions with a pause after each:\n%s", text)
	}
}

// TestRewrittenDuringSnapshot: a table rewritten after the snapshot was taken
// looks empty under it. It is not taken for empty.
func TestRewrittenDuringSnapshot(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v int)", "INSERT INTO items SELECT g, g FROM generate_series(1, 20) g")
	c := newCut("slot.created", 1)
	r := b.start(func(cfg *Config) { cfg.Fault = c.fault })
	<-c.reach
	b.exec("ALTER TABLE items ALTER v TYPE bigint")
	close(c.resume)
	r.is(Streaming)
	b.caughtUp()
	b.agrees("items")
}

// TestPublicationsChoice: what is not published, rows or columns, is in neither
// snapshot nor stream; partitions are published as one table if so chosen.
func TestPublicationsChoice(t *testing.T) {
	b := newBed(t,
		"CREATE TABLE items (id int PRIMARY KEY, secret text, public text, twice int GENERATED ALWAYS AS (id * 2) STORED)",
		"INSERT INTO items VALUES (1, 's', 'p'), (20, 's', 'p')",
		"CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
		"CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
		"CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20)",
		"INSERT INTO parts VALUES (1, 'a'), (11, 'b')",
		`CREATE TABLE "Odd name!" ("a b" int PRIMARY KEY, "it's" text)`,
		`INSERT INTO "Odd name!" VALUES (1, E'tab\tline\nbackslash\\ end')`)
	b.exec("DROP PUBLICATION quokka_cdc",
		`CREATE PUBLICATION quokka_cdc FOR TABLE items (id, public) WHERE (id < 10), TABLE parts, TABLE "Odd name!" WITH (publish_via_partition_root)`)
	r := b.start()
	r.is(Streaming)
	b.exec("INSERT INTO items VALUES (2, 's', 'p'), (21, 's', 'p')", "UPDATE parts SET v = 'c'", "UPDATE parts SET id = 12 WHERE id = 1",
		`UPDATE "Odd name!" SET "it's" = "it's" || 'x'`)
	b.caughtUp()
	for table, want := range map[string]string{
		"items":     "r {id=1} after {id=1 public=p}\nc {id=2} after {id=2 public=p}\n",
		"Odd_name_": "r {a_b=1} after {a_b=1 it_s=tab\tline\nbackslash\\ end}\nu {a_b=1} after {a_b=1 it_s=tab\tline\nbackslash\\ endx}\n",
	} {
		if got := briefs(b.records(table)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", table, got, want)
		}
	}
	if got := briefs(b.records("parts")); !strings.HasPrefix(got, "r {id=1} after {id=1 v=a}\nr {id=11} after {id=11 v=b}\nu {id=1} after {id=1 v=c}\nu {id=11} after {id=11 v=c}\nd {id=1}") || !strings.Contains(got, "c {id=12} after {id=12 v=c}") {
		t.Errorf("parts: got\n%s", got)
	}
}

// TestHiddenRows: row security that hides rows from the relay's login is an
// error; the table is not taken for smaller than it is.
func TestHiddenRows(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (1)", "ALTER TABLE items ENABLE ROW LEVEL SECURITY")
	role := "reader_" + b.database
	b.exec("CREATE ROLE "+role+" LOGIN REPLICATION PASSWORD 'x'", "GRANT SELECT ON items TO "+role)
	t.Cleanup(func() { _, _ = b.sql.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	cfg, err := pgx.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	r := b.start(func(c *Config) {
		c.PostgresURL = fmt.Sprintf("postgres://%s:x@%s:%d/%s", role, cfg.Host, cfg.Port, b.database)
	})
	eventually(t, "the snapshot is refused", func() bool {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "row-level security")
	})
	b.exec("ALTER TABLE items DISABLE ROW LEVEL SECURITY")
	r.is(Streaming)
	b.caughtUp()
	b.agrees("items")
	if err := r.stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestCreatedAnew: a table that takes the place of another under its name is
// read, though a table of that name has been read before.
func TestCreatedAnew(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "INSERT INTO items VALUES (1, 1), (2, 2)")
	b.exec("DROP PUBLICATION quokka_cdc", "CREATE PUBLICATION quokka_cdc FOR TABLE items")
	b.start().is(Streaming)
	b.exec(
		"UPDATE items SET v = 3 WHERE id = 1",
		"CREATE TABLE next (id bigint PRIMARY KEY, v bigint)",
		"INSERT INTO next SELECT id, v + 10 FROM items",
		"BEGIN; DROP TABLE items; ALTER TABLE next RENAME TO items; ALTER PUBLICATION quokka_cdc ADD TABLE items; COMMIT",
		"INSERT INTO items VALUES (3, 3)",
	)
	eventually(t, "the new table is read", func() bool { return len(newest(b.records("items"))) == 3 })
	b.caughtUp()
	b.agrees("items")
}
