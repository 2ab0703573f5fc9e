package outbox

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quokka-stream/quokka/internal/pgserver"
)

// TestRotationUnderLoad: tables change places and are emptied while writers write,
// some of them slowly. Nothing is lost.
func TestRotationUnderLoad(t *testing.T) {
	e := newEnv(t)
	w := e.workload(10)
	tl := e.tail(e.topic)
	reg := prometheus.NewRegistry()
	cfg := e.config()
	cfg.RotateRows, cfg.BatchRows, cfg.Metrics = 20, 13, reg
	e.run(cfg)
	// Transactions that stay open over rotations, one after the other.
	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan error, 1)
	go func() {
		conn := connectTo(t, e.url)
		var err error
		for err == nil && ctx.Err() == nil {
			err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				if err := e.bump(t.Context(), tx, "slow"); err != nil {
					return err
				}
				before := metric(t, reg, "outbox_published_total")
				eventually(t, "others are published meanwhile", func() bool {
					return metric(t, reg, "outbox_published_total") > before+100 || ctx.Err() != nil
				})
				return nil
			})
		}
		slow <- err
	}()
	deadline := time.Now().Add(3 * time.Minute)
	err := w.run(t.Context(), 4, 1000)
	for err == nil && metric(t, reg, "outbox_rotations_total") < 3 && time.Now().Before(deadline) {
		err = w.run(t.Context(), 4, w.commits.Load()+200)
	}
	cancel()
	if err := <-slow; err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	last := e.last()
	eventually(t, "everything arrives", func() bool { return judge(published(tl.all()), last).lost == 0 })
	if v := judge(published(tl.all()), last); v != (verdict{}) {
		t.Errorf("%v", v)
	}
	if n := metric(t, reg, "outbox_rotations_total"); n < 3 {
		t.Errorf("only %v rotations: this test proves little", n)
	}
}

// TestLongTransaction: a transaction that has written events and stays open delays
// nobody else, loses nothing, and its table is kept until it is published.
func TestLongTransaction(t *testing.T) {
	e := newEnv(t)
	other := openPool(t, pgserver.NewDatabase(t))
	tl := e.tail(e.topic)
	reg := prometheus.NewRegistry()
	cfg := e.config()
	cfg.RotateRows, cfg.Metrics = 5, reg
	e.run(cfg)

	begin := func(pool interface {
		Begin(context.Context) (pgx.Tx, error)
	}) pgx.Tx {
		t.Helper()
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		return tx
	}
	long := begin(e.pool)
	for n := range 3 {
		if err := Write(t.Context(), long, e.event("long", n+1)); err != nil {
			t.Fatal(err)
		}
	}
	reader := begin(e.pool) // holds a snapshot
	if _, err := reader.Exec(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1"); err != nil {
		t.Fatal(err)
	}
	elsewhere := begin(other) // a writer in another database
	if _, err := elsewhere.Exec(t.Context(), "CREATE TABLE x AS SELECT pg_current_xact_id() AS xid"); err != nil {
		t.Fatal(err)
	}

	for n := range 30 {
		e.write(e.event("short", n+1))
		tl.await(t, n+1) // each at once, although transactions are open
	}
	if n := e.int("SELECT count(*) FROM outbox.event WHERE slot = 0"); n == 0 {
		t.Error("the table of the open transaction was emptied")
	}
	if err := long.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := published(tl.await(t, 33))
	if !slices.Equal(got["long"], count(3)) || !slices.Equal(got["short"], count(30)) {
		t.Errorf("got %v", got)
	}
	eventually(t, "its table is emptied at last", func() bool { return metric(t, reg, "outbox_rotations_total") > 0 })
}

// TestTablesStayFlat: with a snapshot held open all the time, which keeps vacuum
// from ever removing a row, nothing grows.
func TestTablesStayFlat(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	reg := prometheus.NewRegistry()
	cfg := e.config()
	cfg.RotateRows, cfg.BatchRows, cfg.Metrics, cfg.maxStored = 100, 20, reg, 50
	e.run(cfg)
	holder := connectTo(t, e.url)
	if _, err := holder.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()"); err != nil {
		t.Fatal(err)
	}
	const size = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r'"
	var largest int64
	payload := make([]byte, 200)
	for n := range 30 {
		var events []Event
		for i := range 100 {
			ev := e.event("a", n*100+i+1)
			ev.Headers = []Header{{Key: "padding", Value: payload}}
			events = append(events, ev)
		}
		e.write(events...)
		tl.await(t, (n+1)*100)
		largest = max(largest, e.int(size))
	}
	// 3000 events of some 400 bytes are 1.2 MB. Two tables of a few hundred each, with
	// index and overflow storage, are a fraction of it.
	if largest > 600<<10 {
		t.Errorf("the tables grew to %d KiB", largest>>10)
	}
	if got := published(tl.all())["a"]; !slices.Equal(got, count(3000)) {
		t.Errorf("%v", judge(map[string][]int{"a": got}, map[string]int{"a": 3000}))
	}
	eventually(t, "stored positions are compacted", func() bool { return e.int("SELECT count(*) FROM outbox.progress") <= 110 })
}

// TestBigWindow: what piled up while no relay ran is read in portions, in order.
func TestBigWindow(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	const n = 5000
	var events []Event
	for i := range n {
		events = append(events, e.event("a", i+1))
	}
	e.write(events[:n/2]...)
	e.write(events[n/2:]...)
	old := maxRefs
	maxRefs = 700
	t.Cleanup(func() { maxRefs = old })
	cfg := e.config()
	cfg.BatchRows = 300
	r := e.run(cfg)
	tl.await(t, n)
	if err := r.stop(); err != nil { // before maxRefs changes back
		t.Fatal(err)
	}
	if got := published(tl.all())["a"]; !slices.Equal(got, count(n)) {
		t.Errorf("%v", judge(map[string][]int{"a": got}, map[string]int{"a": n}))
	}
}

// TestRotation checks the decisions.
func TestRotation(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := rotation{rows: 100, after: time.Minute, empty: true}
	step := func(what string, now time.Time, rotate, truncate bool) {
		t.Helper()
		if a, b := r.due(now); a != rotate || b != truncate {
			t.Errorf("%s: rotate %v, truncate %v; want %v, %v", what, a, b, rotate, truncate)
		}
	}
	step("nothing published", start.Add(time.Hour), false, false)
	r.published(1, start)
	step("one event, at once", start, false, false)
	step("one event, later", start.Add(time.Minute), true, false)
	r.published(99, start)
	step("many events", start, true, false)
	r.rotated()
	step("the other table is full", start, false, true)
	r.tried(false, start)
	step("not again at once", start, false, false)
	r.published(1000, start)
	step("no rotation to a full table", start, false, false)
	for range 10 {
		r.tried(false, start)
	}
	step("ever less often", start.Add(time.Second-1), false, false)
	step("but again", start.Add(time.Second), false, true)
	r.tried(true, start)
	step("emptied", start, true, false)
}

// TestPosition walks a position through a window and a failure.
func TestPosition(t *testing.T) {
	p := position{cursor: "c"}.open("t")
	if p.inDoubt(1) {
		t.Error("a window that was never sent is in doubt")
	}
	p = p.sending(10)
	if !p.inDoubt(10) || p.inDoubt(11) {
		t.Error("exactly what was being sent is in doubt")
	}
	p = p.acked(5).sending(8) // a failure, and a smaller batch
	if p.reached != 5 || p.sentTo != 10 || !p.inDoubt(9) {
		t.Errorf("%+v forgets what was sent", p)
	}
	if p = p.acked(12).finish(); p != (position{cursor: "t"}) || p.inDoubt(1) {
		t.Errorf("%+v", p)
	}
	if p = p.skip("u"); p.cursor != "u" {
		t.Errorf("%+v", p)
	}
}
