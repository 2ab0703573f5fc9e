package cdc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/quokka-stream/quokka/schemas/debezium"
)

const tracedParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// streamLarge makes the server stream every transaction beyond 64 kB of changes
// before its end.
func (b *bed) streamLarge() {
	b.exec("ALTER DATABASE " + b.database + " SET logical_decoding_work_mem = '64kB'")
}

// TestTransactions: what was rolled back, in whole or in part, is not written;
// what was not, is, in order.
func TestTransactions(t *testing.T) {
	b := newBed(t,
		"CREATE TABLE items (id int PRIMARY KEY, name text)",
		`CREATE FUNCTION tolerant(a int, b int) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN a..b LOOP
				BEGIN
					INSERT INTO items VALUES (i, 'kept');
					INSERT INTO items VALUES (i + 1000000, 'dropped');
					IF i % 2 = 0 THEN RAISE EXCEPTION 'x'; END IF;
				EXCEPTION WHEN raise_exception THEN NULL;
				END;
			END LOOP;
		END $$`)
	r := b.start()
	r.is(Streaming)
	b.exec(
		"BEGIN; INSERT INTO items VALUES (1, 'a'); ROLLBACK",
		"BEGIN; INSERT INTO items VALUES (2, 'a'); SAVEPOINT s; INSERT INTO items VALUES (3, 'a'); ROLLBACK TO s; INSERT INTO items VALUES (4, 'a'); COMMIT",
		"BEGIN; SAVEPOINT s; INSERT INTO items VALUES (5, 'a'); SAVEPOINT s2; INSERT INTO items VALUES (6, 'a'); RELEASE s2; ROLLBACK TO s; UPDATE items SET name = 'b' WHERE id = 4; COMMIT",
		"SELECT tolerant(11, 14)",
	)
	b.caughtUp()
	want := `c {id=2} after {id=2 name=a}
c {id=4} after {id=4 name=a}
u {id=4} after {id=4 name=b}
c {id=11} after {id=11 name=kept}
c {id=1000011} after {id=1000011 name=dropped}
c {id=13} after {id=13 name=kept}
c {id=1000013} after {id=1000013 name=dropped}
`
	records := b.records("items")
	if got := briefs(records); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Positions: one for a transaction, numbered from 1, rising with commits.
	var previous record
	for _, r := range byPosition(records) {
		if r.lsn != previous.lsn && r.ord != 1 || r.lsn == previous.lsn && r.ord != previous.ord+1 {
			t.Errorf("%s is at %d/%d behind %d/%d", r.brief(), r.lsn, r.ord, previous.lsn, previous.ord)
		}
		if r.envelope.Source.LSN >= r.lsn {
			t.Errorf("%s: the row at %d, its commit ends at %d", r.brief(), r.envelope.Source.LSN, r.lsn)
		}
		previous = r
	}
}

// TestStreamedTransactions: several large transactions at once, in blocks as the
// server sends them, with subtransactions that abort after their rows were
// received, spilling to disk here.
func TestStreamedTransactions(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)")
	b.streamLarge()
	r := b.start(func(c *Config) { c.MemoryLimit, c.SpillDir = 128<<10, t.TempDir() })
	r.is(Streaming)

	const rows = 400
	insert := func(tx pgx.Tx, from int) {
		t.Helper()
		_, err := tx.Exec(t.Context(), "INSERT INTO items SELECT g, repeat(md5(g::text), 10) FROM generate_series($1::int, $2::int) g", from, from+rows-1)
		if err != nil {
			t.Fatal(err)
		}
	}
	var txs []pgx.Tx
	for range 3 {
		tx, err := b.sql.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		txs = append(txs, tx)
	}
	streamed := func() int64 {
		return scan[int64](b, "SELECT stream_count FROM pg_stat_replication_slots WHERE slot_name = $1", b.source.Slot)
	}
	for i, tx := range txs {
		if _, err := tx.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'quokka.trace', $1)", strings.Replace(tracedParent, "0af7", fmt.Sprintf("000%d", i+1), 1)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		for i, tx := range txs {
			base := (i+1)*100_000 + round*10_000
			insert(tx, base)
			sub, err := tx.Begin(t.Context()) // a savepoint
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sub.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'quokka.trace', $1)", tracedParent); err != nil {
				t.Fatal(err)
			}
			insert(sub, base+5_000)
			if round == 1 { // received in part before it aborts
				before := streamed()
				insert(sub, base+6_000)
				insert(sub, base+7_000)
				eventually(t, "the server streams", func() bool { return streamed() > before })
				if err := sub.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else if err := sub.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.exec("INSERT INTO items VALUES (1, 'small, in between')")
	for _, end := range []func() error{
		func() error { return txs[2].Commit(t.Context()) },
		func() error { return txs[1].Rollback(t.Context()) },
		func() error { return txs[0].Commit(t.Context()) },
	} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	b.caughtUp()

	records := b.records("items")
	if got, want := len(byPosition(records)), 2*5*rows+1; got != want || len(records) != want {
		t.Errorf("%d records, %d different, want %d", len(records), got, want)
	}
	final := newest(records)
	if got, want := len(final), int(scan[int64](b, "SELECT count(*) FROM items")); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	for _, row := range final {
		id := row["id"].(int32)
		if part := id % 10_000; id > 1 && (id/100_000 == 2 || id/10_000%10 == 1 && part >= 5_000) {
			t.Fatalf("row %d was rolled back", id)
		}
	}
	// The trace of a subtransaction that aborted goes with it; one of a
	// subtransaction that did not holds for what follows.
	for _, r := range records {
		id := r.envelope.After["id"].(int32)
		want := ""
		if id > 1 {
			want = tracedParent
			if id/10_000%10 == 0 && id%10_000 < 5_000 {
				want = strings.Replace(tracedParent, "0af7", fmt.Sprintf("000%d", id/100_000), 1)
			}
		}
		if got := r.headers[HeaderTraceparent]; got != want {
			t.Fatalf("row %d has traceparent %q, want %q", id, got, want)
		}
	}
}

// TestTrace: a transaction's rows carry its writer's trace context unchanged,
// other transactions' do not, and nonsense is not passed on.
func TestTrace(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)")
	r := b.start()
	r.is(Streaming)
	emit := func(content string) string {
		return "SELECT pg_logical_emit_message(true, 'quokka.trace', E'" + content + "')"
	}
	b.exec(
		"BEGIN; "+emit(tracedParent+`\nvendor=value`)+"; INSERT INTO items VALUES (1, 'a'); UPDATE items SET id = 2; COMMIT",
		"INSERT INTO items VALUES (3, 'a')",
		"BEGIN; "+emit("nonsense")+"; INSERT INTO items VALUES (4, 'a'); COMMIT",
		"BEGIN; SELECT pg_logical_emit_message(true, 'other', '"+tracedParent+"'); INSERT INTO items VALUES (5, 'a'); COMMIT",
		"BEGIN; SAVEPOINT s; "+emit(tracedParent)+"; ROLLBACK TO s; INSERT INTO items VALUES (6, 'a'); COMMIT",
		"SELECT pg_logical_emit_message(false, 'quokka.trace', '"+tracedParent+"')",
		"INSERT INTO items VALUES (7, 'a')",
		"BEGIN; "+emit(tracedParent)+"; COMMIT",
	)
	b.caughtUp()
	traced := map[bool]int{}
	for _, r := range b.records("items") {
		parent, state := r.headers[HeaderTraceparent], r.headers[HeaderTracestate]
		id := r.key.(map[string]any)["id"].(int32)
		if want := id <= 2; want != (parent == tracedParent) || want != (state == "vendor=value") || !want && parent+state != "" {
			t.Errorf("%s: traceparent %q, tracestate %q", r.brief(), parent, state)
		}
		traced[parent != ""]++
	}
	if traced[true] != 4 || traced[false] != 5 {
		t.Errorf("%v", traced)
	}
}

// TestKeyChange: the update of a key ends one row and begins another, also where
// keys are swapped and for keys of several columns.
func TestKeyChange(t *testing.T) {
	b := newBed(t,
		"CREATE TABLE items (a int, b text, c text, PRIMARY KEY (b, a))",
		"INSERT INTO items VALUES (1, 'x', 'first'), (2, 'y', 'second')")
	r := b.start()
	r.is(Streaming)
	b.exec("BEGIN; UPDATE items SET a = 3 WHERE a = 1; UPDATE items SET a = 1, b = 'x' WHERE a = 2; UPDATE items SET a = 2, b = 'y' WHERE a = 3; COMMIT")
	b.caughtUp()
	records := b.records("items")
	want := `r {a=1 b=x} after {a=1 b=x c=first}
r {a=2 b=y} after {a=2 b=y c=second}
d {a=1 b=x} before {a=1 b=x c=<nil>}
tombstone {a=1 b=x}
c {a=3 b=x} after {a=3 b=x c=first}
d {a=2 b=y} before {a=2 b=y c=<nil>}
tombstone {a=2 b=y}
c {a=1 b=x} after {a=1 b=x c=second}
d {a=3 b=x} before {a=3 b=x c=<nil>}
tombstone {a=3 b=x}
c {a=2 b=y} after {a=2 b=y c=first}
`
	if got := briefs(records); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	ordered := byPosition(records)
	for i, r := range ordered {
		switch {
		case r.envelope == nil || r.envelope.Op == debezium.Read:
			if r.headers[HeaderNewKey]+r.headers[HeaderOldKey] != "" {
				t.Errorf("%s has key headers", r.brief())
			}
		case r.envelope.Op == debezium.Delete:
			if create := ordered[i+2]; r.headers[HeaderNewKey] != create.rawKey || create.headers[HeaderOldKey] != r.rawKey {
				t.Errorf("%s and %s do not name each other", r.brief(), create.brief())
			}
		}
	}
}

// TestUnchanged: a large value that an update does not touch is not sent. It is
// filled in where the old row is known, else it is named as missing, so that
// nobody takes it for null.
func TestUnchanged(t *testing.T) {
	big := "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 300) g)"
	b := newBed(t,
		"CREATE TABLE by_key (id int PRIMARY KEY, name text, big text, bytes bytea, list text[])",
		"CREATE TABLE in_full (id int PRIMARY KEY, name text, big text)",
		"ALTER TABLE by_key ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL",
		"ALTER TABLE in_full ALTER big SET STORAGE EXTERNAL",
		"ALTER TABLE in_full REPLICA IDENTITY FULL",
		"INSERT INTO by_key VALUES (1, 'a', "+big+", "+big+"::bytea, ARRAY["+big+", NULL])",
		"INSERT INTO in_full VALUES (1, 'a', "+big+")")
	r := b.start()
	r.is(Streaming)
	for _, table := range []string{"by_key", "in_full"} {
		b.exec(
			"UPDATE "+table+" SET name = 'b'",
			"UPDATE "+table+" SET id = 2",
			"UPDATE "+table+" SET big = NULL",
			"UPDATE "+table+" SET big = '__debezium_unavailable_value'",
		)
	}
	b.caughtUp()
	text := scan[string](b, "SELECT "+big)

	check := func(table string, want []string) {
		t.Helper()
		var got []string
		for _, r := range byPosition(b.records(table)) {
			if r.envelope == nil || r.envelope.After == nil {
				continue
			}
			value := fmt.Sprint(r.envelope.After["big"])
			if value == text {
				value = "big"
			}
			line := fmt.Sprintf("%s %s", r.envelope.Op, value)
			if missing := r.headers[HeaderUnavailable]; missing != "" {
				line += " missing " + missing
			}
			got = append(got, line)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", table, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check("by_key", []string{"r big", "u <nil> missing big,bytes,list", "c <nil> missing big,bytes,list", "u <nil> missing bytes,list", "u __debezium_unavailable_value missing bytes,list"})
	check("in_full", []string{"r big", "u big", "c big", "u <nil>", "u __debezium_unavailable_value"})
	for _, r := range b.records("in_full") {
		if r.envelope != nil && r.envelope.Op == debezium.Update && r.envelope.Before["name"] == nil {
			t.Errorf("with a full identity the old row is known: %s", r.brief())
		}
	}
}

// TestTruncate: an envelope without rows in every partition.
func TestTruncate(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY)", "CREATE TABLE others (id int PRIMARY KEY REFERENCES items)", "INSERT INTO items VALUES (1), (2), (3), (4)")
	r := b.start()
	r.is(Streaming)
	b.exec("TRUNCATE items CASCADE", "INSERT INTO items VALUES (5)")
	b.caughtUp()
	records := b.records("items")
	partitions, err := partitionsOf(t.Context(), b.kafka, b.topic("items"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for _, r := range records {
		if r.envelope.Op == debezium.Truncate {
			seen[r.partition] = true
			if r.rawKey != "" || r.envelope.After != nil || r.envelope.Before != nil || r.ord == 0 {
				t.Errorf("%s at %d/%d", r.brief(), r.lsn, r.ord)
			}
		}
	}
	if len(seen) != partitions {
		t.Errorf("in %d of %d partitions", len(seen), partitions)
	}
	for name, rows := range map[string]map[string]map[string]any{"newest": newest(records), "last": last(records)} {
		if len(rows) != 1 {
			t.Errorf("%s: %v", name, rows)
		}
	}
}

// TestSpans: a sampled transaction's sending is a span linked to its writer, one
// for each topic; others leave none.
func TestSpans(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY)", "CREATE TABLE others (id int PRIMARY KEY)")
	recorder := tracetest.NewSpanRecorder()
	r := b.start(func(c *Config) { c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)) })
	r.is(Streaming)
	traced := func(id int, parent string) string {
		return fmt.Sprintf("BEGIN; SELECT pg_logical_emit_message(true, 'quokka.trace', '%s'); INSERT INTO items VALUES (%d); INSERT INTO others VALUES (%d), (%d); COMMIT", parent, id, id, id+1)
	}
	b.exec(traced(1, tracedParent), traced(3, strings.TrimSuffix(tracedParent, "01")+"00"), "INSERT INTO items VALUES (10)")
	b.caughtUp()
	var got []string
	for _, s := range recorder.Ended() {
		link := s.Links()[0].SpanContext
		if s.Parent().IsValid() || len(s.Links()) != 1 || "00-"+link.TraceID().String()+"-"+link.SpanID().String()+"-01" != tracedParent {
			t.Errorf("span %s: parent %v, links %v", s.Name(), s.Parent(), s.Links())
		}
		for _, a := range s.Attributes() {
			if a.Key == attrCount {
				got = append(got, strings.TrimPrefix(s.Name(), "send "+b.source.TopicPrefix)+" "+a.Value.String())
			}
		}
	}
	slices.Sort(got)
	if want := ".public.items 1, .public.others 2"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
