package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The service runs as its own role, owns its database, and cannot enter another's.
func TestProvisionSeparatesServices(t *testing.T) {
	server, one := kittest.Database(t)
	_, two := kittest.Database(t)
	for range 2 { // again changes nothing
		if err := postgres.Provision(t.Context(), server, one); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := postgres.Open(t.Context(), server, one, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var user, database string
	if err := pool.QueryRow(t.Context(), `select current_user, current_database()`).Scan(&user, &database); err != nil {
		t.Fatal(err)
	}
	if user != one || database != one {
		t.Errorf("connected as %s to %s, want %s twice", user, database, one)
	}
	// As an owner it may create what a service needs, publications among it.
	for _, statement := range []string{`create schema s`, `create table t (id int primary key)`, `create publication p for table t`} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	var connect bool
	if err := pool.QueryRow(t.Context(), `select has_database_privilege($1, $2, 'connect')`, one, two).Scan(&connect); err != nil {
		t.Fatal(err)
	}
	if connect {
		t.Errorf("role %s may connect to database %s", one, two)
	}
}

// An administrator that is no superuser is enough.
func TestProvisionWithoutSuperuser(t *testing.T) {
	server, _ := kittest.Database(t)
	admin := kittest.Connect(t, server, "postgres")
	name := strings.ReplaceAll(kittest.Unique("quokka_plain"), ".", "_")
	for _, s := range []string{"create role " + name + "_admin login createrole createdb password 'secret'"} {
		if _, err := admin.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, s := range []string{"drop database if exists " + name + " with (force)", "drop role if exists " + name, "drop role if exists " + name + "_admin"} {
			if _, err := admin.Exec(context.Background(), s); err != nil {
				t.Log(err)
			}
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name+"_admin", "secret")
	if err := postgres.Provision(t.Context(), u.String(), name); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), u.String(), name, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := postgres.Migrate(t.Context(), pool, "test", fstest.MapFS{"00001_t.sql": {Data: []byte("-- +goose Up\ncreate table t (id int primary key);\ncreate publication quokka_cdc for table t;\n")}}); err != nil {
		t.Fatal(err)
	}
}

// A service learns soon that its server is away, unless the URL or the environment says
// how long to wait.
func TestConnectTimeout(t *testing.T) {
	for _, tc := range []struct {
		url, env string
		want     time.Duration
	}{
		{"postgres://127.0.0.1/postgres", "", 5 * time.Second},
		{"postgres://127.0.0.1/postgres?connect_timeout=0", "", 5 * time.Second},
		{"postgres://127.0.0.1/postgres?connect_timeout=60", "", time.Minute},
		{"host=127.0.0.1 connect_timeout = 60", "", time.Minute},
		{"postgres://127.0.0.1/postgres", "30", 30 * time.Second},
		{"postgres://127.0.0.1/postgres?connect_timeout=60", "30", time.Minute},
	} {
		t.Setenv("PGCONNECT_TIMEOUT", tc.env)
		cfg, err := postgres.Settings(tc.url, "quokka_test", postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.ConnConfig.ConnectTimeout; got != tc.want {
			t.Errorf("%s, PGCONNECT_TIMEOUT=%s: %v, want %v", tc.url, tc.env, got, tc.want)
		}
	}
}

// Errors say what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	server, name := kittest.Database(t)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *u
	wrong.User = url.UserPassword(u.User.Username(), "wrong")
	nowhere := *u
	nowhere.Host = "127.0.0.1:1"
	for _, tc := range []struct{ url, database, want string }{
		{"", name, "set QUOKKA_POSTGRES_URL"},
		{"://", name, "QUOKKA_POSTGRES_URL"},
		{wrong.String(), name, "check the login in QUOKKA_POSTGRES_URL"},
		{nowhere.String(), name, "is PostgreSQL running there?"},
		{server, "quokka_none", "quokka up"},
	} {
		if pool, err := postgres.Open(t.Context(), tc.url, tc.database, postgres.Options{}); err == nil {
			pool.Close()
			t.Errorf("opened %s at %s", tc.database, tc.url)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("error %q does not say %q", err, tc.want)
		} else if strings.Contains(err.Error(), "wrong@") || strings.Contains(err.Error(), ":wrong") {
			t.Errorf("error %q gives the password away", err)
		}
	}
	if err := postgres.Provision(t.Context(), server, `x"; drop database postgres`); err == nil {
		t.Error("provisioned a database with a name that needs quoting")
	}
}

// Instances that start together migrate once.
func TestMigrateConcurrently(t *testing.T) {
	pool := kittest.Pool(t)
	files := fstest.MapFS{
		"00001_a.sql": {Data: []byte("-- +goose Up\ncreate table a (id int);\n")},
		"00002_b.sql": {Data: []byte("-- +goose Up\ncreate table b (id int);\n")},
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := postgres.Migrate(t.Context(), pool, "test", files); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, table := range []string{"a", "b", "inbox", "kit_migrations", "test_migrations"} {
		var owner string
		if err := pool.QueryRow(t.Context(), `select tableowner from pg_tables where tablename = $1`, table).Scan(&owner); err != nil {
			t.Errorf("table %s: %v", table, err)
		} else if owner != pool.Config().ConnConfig.Database {
			t.Errorf("table %s belongs to %s", table, owner)
		}
	}
}

func TestReceive(t *testing.T) {
	pool := kittest.Pool(t)
	if err := postgres.Migrate(t.Context(), pool, "test", fstest.MapFS{"00001_t.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}); err != nil {
		t.Fatal(err)
	}
	receive := func(group, id string, rollback error) (fresh bool) {
		t.Helper()
		err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
			if fresh, err = postgres.Receive(t.Context(), tx, postgres.InboxRow{Group: group, EventID: id, Topic: "t", Key: []byte("k")}); err != nil {
				return err
			}
			return rollback
		})
		if !errors.Is(err, rollback) {
			t.Fatal(err)
		}
		return fresh
	}
	if !receive("g", "1", errors.New("no")) || !receive("g", "1", nil) {
		t.Error("an event is not fresh although its transaction was rolled back")
	}
	if receive("g", "1", nil) {
		t.Error("an event is fresh twice")
	}
	if !receive("other", "1", nil) {
		t.Error("another group has not handled it")
	}
	if n, err := postgres.PruneInbox(t.Context(), pool, time.Now().Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("pruned %d rows, %v; want 2", n, err)
	}
}

// Capture can continue the trace: the message is in the log before the change.
func TestEmitTrace(t *testing.T) {
	server, name := kittest.Database(t)
	pool, err := postgres.Open(t.Context(), server, name, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	admin := kittest.Connect(t, server, name)
	if _, err := pool.Exec(t.Context(), `create table t (id int primary key)`); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `create publication p for table t`); err != nil {
		t.Fatal(err)
	}
	slot := strings.ReplaceAll(kittest.Unique("slot"), ".", "_")
	if _, err := admin.Exec(t.Context(), `select pg_create_logical_replication_slot($1, 'test_decoding')`, slot); err != nil {
		t.Skipf("the server has no test_decoding: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), `select pg_drop_replication_slot($1)`, slot); err != nil {
			t.Log(err)
		}
	})
	insert := func(ctx context.Context, id int) {
		t.Helper()
		if err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			if err := postgres.EmitTrace(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `insert into t values ($1)`, id)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(tracetest.NewSpanRecorder()))
	traced, span := provider.Tracer("test").Start(t.Context(), "request")
	insert(traced, 1)
	insert(t.Context(), 2)
	rows, err := admin.Query(t.Context(), `select data from pg_logical_slot_get_changes($1, null, null, 'skip-empty-xacts', '1')`, slot)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	log := strings.Join(changes, "\n")
	message := strings.Index(log, "transactional: 1 prefix: quokka.trace, sz: 56 content:00-"+span.SpanContext().TraceID().String())
	if first := strings.Index(log, "INSERT"); message < 0 || first < message {
		t.Errorf("no trace message before the first insert:\n%s", log)
	}
	if strings.Count(log, "quokka.trace") != 1 {
		t.Errorf("a message outside a trace:\n%s", log)
	}
}

func TestUnavailable(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("boom"), false},
		{&pgconn.PgError{Code: "23505"}, false}, // unique violation
		{&pgconn.PgError{Code: "22003"}, false}, // out of range
		{&pgconn.PgError{Code: "57014"}, false}, // statement timeout: maybe the record's fault
		{&pgconn.PgError{Code: "40001"}, true},
		{&pgconn.PgError{Code: "40P01"}, true},
		{&pgconn.PgError{Code: "57P01"}, true},
		{&pgconn.PgError{Code: "53300"}, true}, // too many connections
		{&pgconn.PgError{Code: "08006"}, true},
		{fmt.Errorf("commit: %w", io.ErrUnexpectedEOF), true},
		{context.DeadlineExceeded, false},
	} {
		if got := postgres.Unavailable(tc.err); got != tc.want {
			t.Errorf("Unavailable(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}
