package cdc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/serde"
)

// TestSchemaChanges: columns come and go in the middle of the stream, under the
// registry's real rules; each row is written with the columns it had.
func TestSchemaChanges(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)", "INSERT INTO items VALUES (1, 'a')")
	registryURL := b.startRegistry()
	r := b.start(func(c *Config) { c.Registry, c.RegistryURL = nil, registryURL })
	r.is(Streaming)
	b.exec(
		"INSERT INTO items VALUES (2, 'b')",
		"ALTER TABLE items ADD COLUMN price numeric(10,2) NOT NULL DEFAULT 1.5",
		"UPDATE items SET name = 'c' WHERE id = 1",
		"BEGIN; INSERT INTO items VALUES (3, 'd'); ALTER TABLE items ADD COLUMN note text; INSERT INTO items VALUES (4, 'e', 2, 'n'); COMMIT",
		"BEGIN; ALTER TABLE items ADD COLUMN never int; INSERT INTO items VALUES (5, 'f', 2, 'n', 1); ROLLBACK",
		"INSERT INTO items VALUES (6, 'g')",
		"ALTER TABLE items DROP COLUMN name",
		"INSERT INTO items VALUES (7)",
		"ALTER TABLE items ALTER id TYPE bigint",
		"INSERT INTO items VALUES (8)",
	)
	b.caughtUp()
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range b.records("items") {
		e := r.envelope
		var fields []string
		for name := range e.After {
			fields = append(fields, name)
		}
		slices.Sort(fields)
		got = append(got, record{envelope: &debezium.Envelope{Op: e.Op, After: map[string]any{"id": e.After["id"]}}}.brief()+" "+strings.Join(fields, ","))
	}
	slices.Sort(got)
	want := []string{
		"c {} after {id=2} id,name", "c {} after {id=3} id,name,price", "c {} after {id=4} id,name,note,price", "c {} after {id=6} id,name,note,price",
		"c {} after {id=7} id,note,price", "c {} after {id=8} id,note,price", "r {} after {id=1} id,name", "u {} after {id=1} id,name,price",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// A change that readers of the topic could not follow is refused.
	b.exec("ALTER TABLE items ALTER note TYPE int USING 1", "INSERT INTO items VALUES (9)")
	eventually(t, "the table is stopped", func() bool { return len(r.Status()[0].Stopped) == 1 })
	stopped := r.Status()[0].Stopped[0]
	if _, ok := errors.AsType[*serde.IncompatibleError](stopped); !ok || stopped.Subject != b.topic("items")+"-value" || !strings.Contains(stopped.Error(), "note") {
		t.Errorf("%v", stopped)
	}
}

// TestSchemaChangeInStreamedTransaction: a table changes inside a transaction
// that is streamed before its end, and again when a part of it is rolled back.
func TestSchemaChangeInStreamedTransaction(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)")
	b.streamLarge()
	r := b.start()
	r.is(Streaming)
	rows := func(from, to string, columns string) string {
		return "INSERT INTO items (" + columns + ") SELECT g, repeat('x', 300)" + strings.Repeat(", 1", strings.Count(columns, ",")-1) + " FROM generate_series(" + from + ", " + to + ") g"
	}
	b.exec("BEGIN; " + rows("1", "400", "id, name") +
		"; SAVEPOINT s; ALTER TABLE items ADD COLUMN dropped int; " + rows("401", "800", "id, name, dropped") + "; ROLLBACK TO s; " +
		rows("1001", "1400", "id, name") + "; ALTER TABLE items ADD COLUMN kept int; " + rows("1401", "1800", "id, name, kept") + "; COMMIT")
	b.exec("UPDATE items SET kept = 2 WHERE id = 1")
	b.caughtUp()
	counts := map[string]int{}
	for _, r := range b.records("items") {
		_, dropped := r.envelope.After["dropped"]
		_, kept := r.envelope.After["kept"]
		switch {
		case dropped:
			counts["dropped"]++
		case kept:
			counts["kept"]++
		default:
			counts["plain"]++
		}
	}
	if counts["dropped"] != 0 || counts["kept"] != 401 || counts["plain"] != 800 {
		t.Errorf("%v", counts)
	}
	if got, want := int64(len(newest(b.records("items")))), scan[int64](b, "SELECT count(*) FROM items"); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}

// TestReplicaIdentities: which columns are the key, and what is known of the old
// row.
func TestReplicaIdentities(t *testing.T) {
	b := newBed(t,
		"CREATE TABLE by_index (a int NOT NULL, b text NOT NULL, c text, PRIMARY KEY (a))",
		"CREATE UNIQUE INDEX by_index_b ON by_index (b)",
		"ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_b",
		"CREATE TABLE without_key (a int, b text)",
		"ALTER TABLE without_key REPLICA IDENTITY FULL",
		"CREATE TABLE only_inserts (a int PRIMARY KEY, b text)",
		"ALTER TABLE only_inserts REPLICA IDENTITY NOTHING",
	)
	r := b.start()
	r.is(Streaming)
	b.exec(
		"INSERT INTO by_index VALUES (1, 'x', 'c')", "UPDATE by_index SET a = 2", "UPDATE by_index SET b = 'y'", "DELETE FROM by_index",
		"INSERT INTO without_key VALUES (1, 'x')", "UPDATE without_key SET b = 'y'", "DELETE FROM without_key",
		"INSERT INTO only_inserts VALUES (1, 'x')",
	)
	b.caughtUp()
	for table, want := range map[string]string{
		"by_index": `c {b=x} after {a=1 b=x c=c}
u {b=x} after {a=2 b=x c=c}
d {b=x} before {a=<nil> b=x c=<nil>}
tombstone {b=x}
c {b=y} after {a=2 b=y c=c}
d {b=y} before {a=<nil> b=y c=<nil>}
tombstone {b=y}
`,
		"without_key": `c {} after {a=1 b=x}
u {} before {a=1 b=x} after {a=1 b=y}
d {} before {a=1 b=y}
`,
		"only_inserts": "c {a=1} after {a=1 b=x}\n",
	} {
		if got := briefs(b.records(table)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", table, got, want)
		}
	}
}
