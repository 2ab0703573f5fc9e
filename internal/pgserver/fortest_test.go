package pgserver_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quokka-stream/quokka/internal/pgserver"
)

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var out string
	if err := conn.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func TestForTest(t *testing.T) {
	server := pgserver.ForTest(t)
	if got := query(t, server, "SHOW wal_level"); got != "logical" {
		t.Errorf("wal_level is %s", got)
	}
	a, b := pgserver.NewDatabase(t), pgserver.NewDatabase(t)
	if a == b {
		t.Error("two databases are one")
	}
	u, err := url.Parse(a)
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, a, "SELECT current_database()::text"); !strings.HasSuffix(got, "_testfortest") || u.Path != "/"+got {
		t.Errorf("connected to %s by %s", got, u.Redacted())
	}
	// A slot would keep the database from being dropped.
	query(t, b, "SELECT slot_name::text FROM pg_create_logical_replication_slot('fortest', 'pgoutput')")
}
