package pgserver

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// TB is the part of testing.TB that the helpers use; spelled out so that the
// programs that start a server do not link the testing package.
type TB interface {
	Helper()
	Name() string
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
}

// patience is how long a start or a statement may take on a machine that runs many
// other tests.
const patience = 5 * time.Minute

var shared = sync.OnceValues(func() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// What goes with the test need not survive a power cut. The order of commits, and
	// of what logical decoding sees, is the same. Without autovacuum nobody has a
	// transaction or a lock that no test asked for, now and then.
	return Start(ctx, Config{detached: true, Settings: map[string]string{"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}})
})

// ForTest returns the URL (superuser) of a server that all tests of this binary
// share: wal_level=logical, without fsync and autovacuum. It ends with the test binary and
// leaves neither files nor, while it runs, goroutines behind.
func ForTest(t TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s.URL()
}

var databases atomic.Int64

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// NewDatabase returns the URL of an empty database on the server of ForTest. When
// the test ends it is dropped, with its replication slots and whoever is
// connected to it.
func NewDatabase(t TB) string {
	t.Helper()
	server := ForTest(t)
	name := notInNames.ReplaceAllString(strings.ToLower(t.Name()), "_")
	name = fmt.Sprintf("test%d_%s", databases.Add(1), name[:min(len(name), 40)])
	if err := execute(server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		err := execute(server,
			"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active AND database = '"+name+"'",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '"+name+"'",
			"DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil {
			t.Logf("drop test database: %v", err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func execute(server string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
