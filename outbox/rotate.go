package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// rotation decides when the event tables change places and when the one that
// rests is emptied. New rows go to the active table; the other one waits until all
// its rows are published and all who wrote to it have ended, is emptied, and then
// waits for its turn.
type rotation struct {
	rows  int64         // rotate after this many events,
	after time.Duration // or this long after the first

	active  int           // the table that takes new rows
	empty   bool          // the other one is empty
	since   time.Time     // of the first event published since the last rotation
	count   int64         // events published since the last rotation
	retryAt time.Time     // when to try again to empty the other one,
	pause   time.Duration // after such a pause
}

// published notes n more events.
func (r *rotation) published(n int, now time.Time) {
	if r.count == 0 {
		r.since = now
	}
	r.count += int64(n)
}

// due tells what is to be done at the time now.
func (r *rotation) due(now time.Time) (rotate, truncate bool) {
	if !r.empty {
		return false, !now.Before(r.retryAt)
	}
	return r.count > 0 && (r.count >= r.rows || now.Sub(r.since) >= r.after), false
}

// rotated notes that the tables changed places.
func (r *rotation) rotated() {
	r.active, r.empty, r.count, r.retryAt, r.pause = 1-r.active, false, 0, time.Time{}, 0
}

// tried notes an attempt to empty the other table.
func (r *rotation) tried(done bool, now time.Time) {
	r.empty = done
	r.pause = min(max(2*r.pause, 20*time.Millisecond), time.Second)
	r.retryAt = now.Add(r.pause)
}

// loadRotation finds the state of the tables.
func (s *session) loadRotation(ctx context.Context, r *rotation) error {
	if err := s.conn.QueryRow(ctx, "SELECT last_value % 2 FROM outbox.rotation").Scan(&r.active); err != nil {
		return err
	}
	var rows bool
	err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM outbox.event WHERE slot = $1)", 1-r.active).Scan(&rows)
	r.empty = !rows
	return err
}

// activate makes new rows go to the table given.
func (s *session) activate(ctx context.Context, table int) error {
	_, err := s.conn.Exec(ctx, "SELECT setval('outbox.rotation', $1)", table)
	return err
}

// readCommitted, whatever the role's default is: what follows a lock must see what
// was committed before it was granted.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// truncate empties an event table, unless somebody still has an open transaction
// on it or one of its rows is not published: done is false then.
//
// The exclusive lock is taken without waiting, so writers never queue behind it,
// and with it no row can appear or be uncommitted. What the check sees is all
// there is, so no unread row is lost, however the row got here.
func (s *session) truncate(ctx context.Context, table int, cursor string) (done bool, err error) {
	name := fmt.Sprintf("outbox.event_%d", table)
	// A lock that is refused is an error in the server's log: do not ask in vain.
	var locked bool
	err = s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::text::regclass AND pid <> pg_backend_pid()
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`, name).Scan(&locked)
	if err != nil || locked {
		return false, err
	}
	err = pgx.BeginTxFunc(ctx, s.conn, readCommitted, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"SET LOCAL lock_timeout = '100ms'", // for the table's index and overflow storage
			"LOCK TABLE " + name + " IN ACCESS EXCLUSIVE MODE NOWAIT",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		var unread bool
		if err := tx.QueryRow(ctx, fmt.Sprintf(`
			SELECT EXISTS (SELECT FROM %[1]s WHERE xid >= pg_snapshot_xmax($1::pg_snapshot))
			    OR EXISTS (SELECT FROM %[1]s WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot))))`, name), cursor).Scan(&unread); err != nil {
			return err
		}
		if unread {
			return nil
		}
		if _, err := tx.Exec(ctx, "TRUNCATE "+name); err != nil {
			return err
		}
		done = true
		s.fault(FaultTruncating)
		return nil
	})
	if sqlState(err) == lockNotAvailable {
		return false, nil
	}
	return done && err == nil, err
}

// compact drops all stored positions but the one given.
func (s *session) compact(ctx context.Context, p position) (done bool, err error) {
	err = pgx.BeginTxFunc(ctx, s.conn, readCommitted, func(tx pgx.Tx) error {
		for _, sql := range []string{
			"SET LOCAL lock_timeout = '100ms'",
			"LOCK TABLE outbox.progress IN ACCESS EXCLUSIVE MODE NOWAIT",
			"TRUNCATE outbox.progress",
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, insertProgress, p.columns()...)
		return err
	})
	if sqlState(err) == lockNotAvailable {
		return false, nil
	}
	return err == nil, err
}

const lockNotAvailable = "55P03"
