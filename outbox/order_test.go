package outbox

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A strategy reads the outbox: each call returns what it would publish next.
type strategy interface {
	next(ctx context.Context) ([]item, error)
}

type item struct {
	key string
	n   int
}

func collect(rows pgx.Rows, err error, also ...any) ([]item, error) {
	if err != nil {
		return nil, err
	}
	var out []item
	var key, value []byte
	_, err = pgx.ForEachRow(rows, append([]any{&key, &value}, also...), func() error {
		n, err := strconv.Atoi(string(value))
		out = append(out, item{string(key), n})
		return err
	})
	return out, err
}

// idCursor remembers the last id. Wrong: ids commit out of order.
type idCursor struct {
	conn *pgx.Conn
	last int64
}

func (s *idCursor) next(ctx context.Context) ([]item, error) {
	rows, err := s.conn.Query(ctx, "SELECT key, value, seq FROM outbox.event WHERE seq > $1 ORDER BY seq", s.last)
	return collect(rows, err, &s.last)
}

// xidGate reads in the order of (transaction, id) what is older than the oldest
// running transaction. Wrong: transactions do not take a key's lock in the order
// in which they got their number.
type xidGate struct {
	conn *pgx.Conn
	xid  string
	last int64
}

func (s *xidGate) next(ctx context.Context) ([]item, error) {
	if s.xid == "" {
		s.xid = "0"
	}
	rows, err := s.conn.Query(ctx, `SELECT key, value, seq, xid::text AS last FROM outbox.event
		WHERE (xid, seq) > ($1::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, seq`, s.xid, s.last)
	return collect(rows, err, &s.last, &s.xid)
}

// gatedIDCursor is the same gate with a cursor on the id alone. Wrong: an id below
// the cursor may pass the gate later.
type gatedIDCursor struct {
	conn *pgx.Conn
	last int64
}

func (s *gatedIDCursor) next(ctx context.Context) ([]item, error) {
	rows, err := s.conn.Query(ctx, `SELECT key, value, seq FROM outbox.event
		WHERE seq > $1 AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY seq`, s.last)
	return collect(rows, err, &s.last)
}

// skipLocked is two relays that claim one row each, side by side. Wrong: nothing
// keeps the one with the earlier row from publishing later.
type skipLocked struct{ a, b *pgx.Conn }

func (s *skipLocked) next(ctx context.Context) (out []item, err error) {
	const claim = `DELETE FROM outbox.event WHERE (slot, seq) = (SELECT slot, seq FROM outbox.event ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING key, value`
	for {
		first, err := s.a.Begin(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := first.Query(ctx, claim)
		early, err := collect(rows, err)
		if err != nil {
			return nil, err
		}
		rows, err = s.b.Query(ctx, claim)
		late, err := collect(rows, err)
		if err != nil {
			return nil, err
		}
		if err := first.Commit(ctx); err != nil {
			return nil, err
		}
		if len(early) == 0 {
			return out, nil
		}
		out = append(append(out, late...), early...)
	}
}

// snapshotDifference is ours, up to the point where events go to the producer.
type snapshotDifference struct{ l *leader }

func (s *snapshotDifference) next(ctx context.Context) (out []item, err error) {
	for {
		found, err := s.l.next(ctx)
		if err != nil || !found {
			return out, err
		}
		refs := s.l.queue[:s.l.take()]
		events, err := s.l.s.fetch(ctx, refs)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			n, err := strconv.Atoi(string(e.Value))
			if err != nil {
				return nil, err
			}
			out = append(out, item{string(e.Key), n})
		}
		s.l.advance(events)
		s.l.queue = s.l.queue[len(events):]
	}
}

func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// newLeader is a leader on its own session, to be stepped by hand.
func newLeader(t *testing.T, url string, batch int) *leader {
	t.Helper()
	r, err := NewRelay(Config{DatabaseURL: url, Brokers: []string{"127.0.0.1:1"}, BatchRows: batch})
	if err != nil {
		t.Fatal(err)
	}
	s, err := connect(t.Context(), r.cfg.Postgres, r.cfg.Fault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	l := &leader{Relay: r, s: s}
	if l.pos, err = s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

var strategies = map[string]func(t *testing.T, url string) strategy{
	"id cursor":       func(t *testing.T, url string) strategy { return &idCursor{conn: connectTo(t, url)} },
	"xid gate":        func(t *testing.T, url string) strategy { return &xidGate{conn: connectTo(t, url)} },
	"gated id cursor": func(t *testing.T, url string) strategy { return &gatedIDCursor{conn: connectTo(t, url)} },
	"skip locked": func(t *testing.T, url string) strategy {
		return &skipLocked{connectTo(t, url), connectTo(t, url)}
	},
	"snapshot difference": func(t *testing.T, url string) strategy { return &snapshotDifference{newLeader(t, url, 2)} },
}

// interleavings are histories of transactions 1, 2, 3, step by step: "early" takes
// a transaction number by an unrelated write (what an inbox row does), "write k"
// locks key k, counts it up and writes the event. Each known-bad strategy must
// fail where it is listed, ours nowhere.
var interleavings = []struct {
	name  string
	steps string
	fails map[string]string
}{
	{"one after the other", "1 write a, 1 commit, read, 2 write a, 2 commit, read", nil},
	{"the later id commits first", "1 write a, 2 write b, 2 commit, read, 1 commit, read",
		map[string]string{"id cursor": "lost"}},
	{"a transaction number taken before the lock", "1 early, 2 write a, 2 commit, 1 write a, 1 commit, read",
		map[string]string{"xid gate": "inverted"}},
	{"the older transaction has the later id", "1 early, 2 write a, 1 write b, 1 commit, read, 2 commit, read",
		map[string]string{"id cursor": "lost", "gated id cursor": "lost"}},
	{"two events of one key wait", "1 write a, 1 commit, 2 write a, 2 commit, read",
		map[string]string{"skip locked": "inverted"}},
	{"a long transaction among short ones", "1 write a, 2 write b, 2 commit, read, 3 write b, 3 commit, read, 1 write c, 1 commit, read",
		map[string]string{"id cursor": "lost"}},
	{"rolled back", "1 early, 2 write a, 1 write b, 1 rollback, read, 2 commit, 3 write b, 3 commit, read", nil},
	{"a batch cut in the middle of a transaction", "1 write a, 1 write a, 1 write a, 1 write b, 2 write c, 1 commit, read, 2 commit, read",
		map[string]string{"skip locked": "inverted"}},
	{"savepoint rolled back", "1 write a, 1 savepoint, 1 write b, 1 undo, 1 write a, 2 write b, 2 commit, read, 1 commit, read",
		map[string]string{"id cursor": "lost"}},
}

// TestInterleavings replays the histories against every strategy.
func TestInterleavings(t *testing.T) {
	e := newEnv(t)
	e.exec("CREATE TABLE agg (k text PRIMARY KEY, v int NOT NULL)")
	e.exec("CREATE TABLE unrelated (n int)")
	for _, tt := range interleavings {
		for name, open := range strategies {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				e.exec("TRUNCATE agg, unrelated, outbox.event")
				got := replay(t, e, tt.steps, open(t, e.url))
				outcome := ""
				if got.lost > 0 {
					outcome = "lost"
				} else if got.inversions > 0 {
					outcome = "inverted"
				}
				if want, listed := tt.fails[name]; listed && outcome != want {
					t.Errorf("got %v: this test no longer catches what it is there to catch (%s)", got, want)
				} else if name == "snapshot difference" && got != (verdict{}) {
					t.Errorf("got %v", got)
				}
			})
		}
	}
}

// replay runs a history and judges what s read.
func replay(t *testing.T, e *env, steps string, s strategy) verdict {
	t.Helper()
	txs := map[string]pgx.Tx{}
	got := map[string][]int{}
	// Everything the strategy would publish of other histories is behind it.
	if _, err := s.next(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec := func(tx pgx.Tx, sql string) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range strings.Split(steps, ", ") {
		f := strings.Fields(step)
		if f[0] == "read" {
			items, err := s.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				got[it.key] = append(got[it.key], it.n)
			}
			continue
		}
		tx := txs[f[0]]
		if tx == nil {
			var err error
			if tx, err = connectTo(t, e.url).Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			txs[f[0]] = tx
		}
		switch f[1] {
		case "early":
			exec(tx, "INSERT INTO unrelated VALUES (1)")
		case "write":
			if err := e.bump(t.Context(), tx, f[2]); err != nil {
				t.Fatal(err)
			}
		case "savepoint":
			exec(tx, "SAVEPOINT s")
		case "undo":
			exec(tx, "ROLLBACK TO SAVEPOINT s")
		case "commit":
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "rollback":
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("no such step: %q", step)
		}
	}
	return judge(got, e.last())
}

// bump takes the key's lock, counts the key up and writes the event that says so.
func (e *env) bump(ctx context.Context, tx pgx.Tx, key string) error {
	var v int
	err := tx.QueryRow(ctx, "INSERT INTO agg VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET v = agg.v + 1 RETURNING v", key).Scan(&v)
	if err != nil {
		return err
	}
	return Write(ctx, tx, e.event(key, v))
}

// last returns each key's committed count.
func (e *env) last() map[string]int {
	e.t.Helper()
	out := map[string]int{}
	rows, err := e.pool.Query(e.t.Context(), "SELECT k, v FROM agg")
	if err != nil {
		e.t.Fatal(err)
	}
	var k string
	var v int
	if _, err := pgx.ForEachRow(rows, []any{&k, &v}, func() error { out[k] = v; return nil }); err != nil {
		e.t.Fatal(err)
	}
	return out
}

func TestJudge(t *testing.T) {
	for i, tt := range []struct {
		got  []int
		want verdict
	}{
		{[]int{1, 2, 3}, verdict{}},
		{[]int{1, 3}, verdict{lost: 1}},
		{[]int{1, 3, 2}, verdict{inversions: 1}},
		{[]int{1, 2, 1, 2, 3}, verdict{repeated: 2}},
		{nil, verdict{lost: 3}},
	} {
		if v := judge(map[string][]int{"k": tt.got}, map[string]int{"k": 3}); v != tt.want {
			t.Errorf("%d: got %v, want %v", i, v, tt.want)
		}
	}
}
