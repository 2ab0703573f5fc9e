package cdc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quokka-stream/quokka/internal/freeport"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// TestServerRestart: the server is stopped and started while the relay streams.
// It does not wait for the relay longer than it must, even if the relay cannot
// confirm, and the relay goes on where it was.
func TestServerRestart(t *testing.T) {
	dir := t.TempDir()
	port, err := freeport.Find() // it is free again when it is started again
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		t.Helper()
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
		// One that does not end is told to leave everything as it is.
		log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
		if err != nil || !bytes.Contains(log, []byte("received fast shutdown request")) || bytes.Contains(log, []byte("received immediate shutdown request")) {
			t.Errorf("the server waits for the relay: %v\n%s", err, log)
		}
	}
	t.Cleanup(func() { _ = server.Stop() })
	b := newBedOn(t, server.URL(), "CREATE TABLE items (id bigint PRIMARY KEY, v bigint)", "CREATE TABLE bad (id bigint PRIMARY KEY)")
	r := b.start()
	r.is(Streaming)
	b.exec("INSERT INTO items VALUES (1, 1)")
	b.caughtUp()

	// Nothing can be confirmed any more: a table is stopped.
	b.registry.refuseWith(func(subject, _ string) error {
		if subject == b.topic("bad")+"-value" {
			return errors.New("refused")
		}
		return nil
	})
	b.exec("ALTER TABLE bad ADD COLUMN v bigint", "INSERT INTO bad VALUES (1, 1)", "INSERT INTO items VALUES (2, 2)")
	eventually(t, "the table is stopped", func() bool { return len(r.Status()[0].Stopped) == 1 })
	stop()
	eventually(t, "the relay notices", func() bool { return r.Ready() != nil && r.Status()[0].State == Starting })
	b.registry.refuseWith(nil)
	if server, err = pgserver.Start(t.Context(), pgserver.Config{DataDir: dir, Port: port, Temporary: true}); err != nil {
		t.Fatal(err)
	}
	b.sql.Reset()
	b.exec("INSERT INTO items VALUES (3, 3)")
	b.caughtUp()
	b.agrees("items")
	b.agrees("bad")

	stop()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
