package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/internal/pgserver"
)

// TestMigrate: any number of times, by several at once, on a pool, a connection or
// in a transaction.
func TestMigrate(t *testing.T) {
	pool := openPool(t, pgserver.NewDatabase(t))
	errs := make(chan error)
	for range 4 {
		go func() { errs <- Migrate(t.Context(), pool) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	conn := connectTo(t, pool.Config().ConnString())
	if err := Migrate(t.Context(), conn); err != nil {
		t.Error(err)
	}
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error { return Migrate(t.Context(), tx) })
	if err != nil {
		t.Error(err)
	}
	if _, err := pool.Exec(t.Context(), "INSERT INTO outbox.version VALUES (99)"); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("a layout from the future: %v", err)
	}
}

// TestUnprivileged: the owner of a database needs no more than that, for tables,
// events and relay.
func TestUnprivileged(t *testing.T) {
	e := newEnv(t)
	role := strings.ReplaceAll(e.topic, ".", "_")
	role = strings.ReplaceAll(role, "-", "_")
	e.exec(fmt.Sprintf("CREATE ROLE %s", role))
	e.exec("DROP SCHEMA outbox CASCADE")
	e.exec(fmt.Sprintf("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %%I TO %s', current_database()); END $$", role))
	t.Cleanup(func() {
		if _, err := e.pool.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]s; DROP ROLE %[1]s", role)); err != nil {
			t.Error(err)
		}
	})
	cfg, err := pgx.ParseConfig(e.url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["role"] = role
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error { return Write(t.Context(), tx, e.event("a", 1)) })
	if err != nil {
		t.Fatal(err)
	}
	relay := e.config()
	relay.DatabaseURL, relay.Postgres, relay.RotateRows = "", cfg, 1
	r := e.run(relay)
	e.tail(e.topic).await(t, 1)
	eventually(t, "its table is emptied", func() bool { return e.int("SELECT count(*) FROM outbox.event") == 0 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestNotMigrated(t *testing.T) {
	e := newEnv(t)
	e.exec("DROP SCHEMA outbox CASCADE")
	if err := e.runFails(e.config()); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("got %v", err)
	}
	e.exec("CREATE SCHEMA outbox; CREATE TABLE outbox.version (version int)")
	if err := e.runFails(e.config()); !errors.Is(err, ErrNotMigrated) {
		t.Errorf("an unfinished layout: %v", err)
	}
}

// TestRefusesToGuess: states of the tables in which going on could lose or reorder
// events.
func TestRefusesToGuess(t *testing.T) {
	for sql, want := range map[string]string{
		"ALTER SEQUENCE outbox.event_seq CACHE 10": "CACHE 10",
		"TRUNCATE outbox.progress":                 "outbox.progress is empty",
	} {
		e := newEnv(t)
		e.exec(sql)
		if err := e.runFails(e.config()); !strings.Contains(err.Error(), want) {
			t.Errorf("after %q: %v", sql, err)
		}
	}
}

// TestOtherCluster: an outbox that was restored into another cluster, where
// transaction numbers are lower than those in the rows. The relay refuses it, and
// goes on once it is adopted.
func TestOtherCluster(t *testing.T) {
	e := newEnv(t)
	tl := e.tail(e.topic)
	first := e.config()
	first.RotateAfter = time.Hour // what it publishes stays in the tables
	r := e.run(first)
	e.write(e.event("a", 1), e.event("a", 2))
	tl.await(t, 2)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	e.write(e.event("a", 3), e.event("a", 4))
	e.exec("UPDATE outbox.event SET xid = (xid::text::bigint + 1000000000)::text::xid8")
	e.exec("UPDATE outbox.progress SET system_identifier = system_identifier + 1, cursor = '2000000000:2000000000:'")
	var changed *ClusterChangedError
	if err := e.runFails(e.config()); !errors.As(err, &changed) || changed.Stored != changed.Actual+1 || !strings.Contains(err.Error(), "outbox.Adopt") {
		t.Fatalf("got %v", err)
	}
	if err := Adopt(t.Context(), e.pool); err != nil {
		t.Fatal(err)
	}
	e.run(e.config())
	e.write(e.event("a", 5))
	if got := published(tl.await(t, 7))["a"]; !slices.Equal(got, []int{1, 2, 1, 2, 3, 4, 5}) {
		t.Errorf("got %v", got)
	}
}
