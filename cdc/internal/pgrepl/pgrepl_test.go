package pgrepl

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// capture rewrites the messages against which package pgoutput is tested.
var capture = flag.Bool("capture", false, "write the received messages to ../pgoutput/testdata")

func open(t *testing.T, url string) (*Conn, *pgx.Conn) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	sql, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close(context.Background())
		_ = sql.Close(context.Background())
	})
	return c, sql
}

func exec(t *testing.T, sql *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := sql.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// received reads the stream up to now and returns the messages. Where that is, a
// transaction of its own tells, with one message in it: what a position in the log
// means to the sender depends on what has been flushed, and on pages.
func received(t *testing.T, s *Stream, sql *pgx.Conn) [][]byte {
	t.Helper()
	exec(t, sql, "SELECT pg_logical_emit_message(true, 'end of the test', '')")
	var out [][]byte
	for {
		m, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m.Data == nil:
		case m.Data[0] == byte(pgoutput.TypeMessage) && bytes.Contains(m.Data, []byte("end of the test\x00")):
			return out[:len(out)-1] // without its Begin
		default:
			out = append(out, slices.Clone(m.Data))
		}
	}
}

// TestStream: what a server sends, in the order in which it does.
func TestStream(t *testing.T) {
	big := "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 200) g)"
	tests := []struct {
		name    string
		setup   []string
		script  []string
		options string // of the server's decoding
		want    string // message types
	}{
		{name: "changes", setup: []string{
			"CREATE TYPE mood AS ENUM ('sad', 'happy')",
			"CREATE TABLE kept (id int PRIMARY KEY, name text, feeling mood, big text)",
			"ALTER TABLE kept ALTER big SET STORAGE EXTERNAL",
			"CREATE TABLE full_identity (a int, b text)",
			"ALTER TABLE full_identity REPLICA IDENTITY FULL",
		}, script: []string{
			"BEGIN; SELECT pg_logical_emit_message(true, 'quokka.trace', 'content'); INSERT INTO kept VALUES (1, 'é', 'sad', NULL), (2, '', NULL, " + big + "); COMMIT",
			"UPDATE kept SET name = 'x' WHERE id = 2",
			"UPDATE kept SET id = 3 WHERE id = 2",
			"DELETE FROM kept WHERE id = 1",
			"INSERT INTO full_identity VALUES (1, NULL)",
			"UPDATE full_identity SET b = 'b'",
			"DELETE FROM full_identity",
			"ALTER TABLE kept ADD COLUMN added numeric(10,2) DEFAULT 1.5",
			"UPDATE kept SET name = NULL",
			"TRUNCATE kept, full_identity RESTART IDENTITY CASCADE",
			"SELECT pg_logical_emit_message(false, 'beat', '')",
		}, want: "B M Y R I I C B U C B U C B D C B R I C B U C B D C B Y R U C B Y R R T C M"},
		{name: "streamed", setup: []string{"CREATE TABLE items (id int PRIMARY KEY, body text)"}, script: []string{
			"BEGIN; SAVEPOINT a; INSERT INTO items SELECT g, repeat('x', 600) FROM generate_series(1, 130) g; ROLLBACK TO a; INSERT INTO items SELECT g, repeat('y', 600) FROM generate_series(131, 260) g; COMMIT",
			"BEGIN; INSERT INTO items SELECT g, repeat('z', 600) FROM generate_series(1000, 1150) g; ROLLBACK",
		}, want: "S E A S R I E S I E c S R I E A"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := pgserver.NewDatabase(t)
			c, sql := open(t, url)
			exec(t, sql, tt.setup...)
			exec(t, sql, "CREATE PUBLICATION p FOR ALL TABLES", "ALTER SYSTEM SET logical_decoding_work_mem = '64kB'", "SELECT pg_reload_conf()")
			slot := "s_" + tt.name
			created, err := c.CreateSlot(t.Context(), slot, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.script {
				exec(t, sql, s)
			}
			stream, err := c.Start(t.Context(), Options{Slot: slot, Publication: "p", From: created.ConsistentPoint})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			messages := received(t, stream, sql)
			if *capture {
				var b strings.Builder
				for i, m := range messages {
					if i > 0 && i+1 < len(messages) && m[0] == messages[i-1][0] && m[0] == messages[i+1][0] {
						continue // the middle of many rows
					}
					b.WriteString(hex.EncodeToString(m) + "\n")
				}
				if err := os.WriteFile(filepath.Join("..", "pgoutput", "testdata", tt.name+".hex"), []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, m := range messages {
				// Rows of a block in one letter.
				if typ := string(m[:1]); tt.name != "streamed" || len(got) == 0 || got[len(got)-1] != typ {
					got = append(got, typ)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// sluggish is a connection whose writes return long after the server has had them.
type sluggish struct {
	net.Conn
	on *atomic.Bool
}

func (c sluggish) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.on.Load() {
		time.Sleep(100 * time.Millisecond)
	}
	return n, err
}

// TestStartAfterSlowWrites: on a busy machine a write may take so long that the
// connection is read in the background from then on. The stream gets its answers.
func TestStartAfterSlowWrites(t *testing.T) {
	cfg, err := pgconn.ParseConfig(pgserver.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	var slow atomic.Bool
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return sluggish{c, &slow}, err
	}
	c, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	slow.Store(true)
	if _, err := c.IdentifySystem(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := c.Start(ctx, Options{Slot: "none", Publication: "p"}); CodeOf(err) != "42704" {
		t.Errorf("a slot that does not exist: %v", err)
	}
}

// TestSlots: what the server says of slots, and of names and positions that
// are not right.
func TestSlots(t *testing.T) {
	url := pgserver.NewDatabase(t)
	c, sql := open(t, url)
	exec(t, sql, "CREATE TABLE items (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR ALL TABLES", "INSERT INTO items VALUES (1)")
	if s, err := c.FindSlot(t.Context(), "slots"); err != nil || s != nil {
		t.Fatalf("a slot before it is made: %v, %v", s, err)
	}
	system, err := c.IdentifySystem(t.Context())
	if err != nil || system.ID == "" || system.Flushed == 0 || !strings.Contains(url, system.Database) {
		t.Fatalf("system %+v, %v", system, err)
	}
	created, err := c.CreateSlot(t.Context(), "slots", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("snapshot", func(t *testing.T) {
		exec(t, sql, "INSERT INTO items VALUES (2)", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT '"+created.Snapshot+"'")
		var n int
		if err := sql.QueryRow(t.Context(), "SELECT count(*) FROM items").Scan(&n); err != nil || n != 1 {
			t.Errorf("the slot's snapshot has %d rows: %v", n, err)
		}
		exec(t, sql, "COMMIT")
	})
	slot, err := c.FindSlot(t.Context(), "slots")
	if err != nil || slot.Plugin != "pgoutput" || slot.Database != system.Database || slot.Confirmed != created.ConsistentPoint || slot.WALStatus != "reserved" || slot.ActivePID != 0 {
		t.Fatalf("slot %+v, %v", slot, err)
	}
	if _, err := c.CreateSlot(t.Context(), "slots", false); CodeOf(err) != "42710" {
		t.Errorf("the same slot again: %v", err)
	}

	second, _ := open(t, url)
	if got, err := second.TryLock(t.Context(), "lease"); err != nil || !got {
		t.Errorf("a free lock: %v, %v", got, err)
	}
	if got, err := c.TryLock(t.Context(), "lease"); err != nil || got {
		t.Errorf("a taken lock: %v, %v", got, err)
	}
	stream, err := second.Start(t.Context(), Options{Slot: "slots", Publication: "p", From: slot.Confirmed})
	if err != nil {
		t.Fatal(err)
	}
	if got := received(t, stream, sql); len(got) != 4 {
		t.Errorf("%d messages for one insert", len(got))
	}
	third, _ := open(t, url)
	if _, err := third.Start(t.Context(), Options{Slot: "slots", Publication: "p", From: 0}); CodeOf(err) != "55006" {
		t.Errorf("a slot in use: %v", err)
	}
	stream.Interrupt()
	for n := 0; ; n++ {
		if _, err := stream.Receive(); err != nil {
			break
		}
		if n > 10 {
			t.Fatal("an interrupted stream goes on")
		}
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; {
		err := c.DropSlot(t.Context(), "slots") // waits for no one
		if err == nil {
			break
		}
		if CodeOf(err) != "55006" || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	fourth, _ := open(t, url)
	if _, err := fourth.Start(t.Context(), Options{Slot: "slots", Publication: "p", From: 0}); CodeOf(err) != "42704" {
		t.Errorf("a dropped slot: %v", err)
	}
}
