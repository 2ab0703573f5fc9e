package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// relayLock is the advisory lock whose holder is the relay of the database.
const relayLock = 0x6f7574626f78 // "outbox"

// session is the relay's one connection. It holds the lease, and everything the
// relay reads or stores goes through it: a relay whose session is gone can neither
// read nor advance.
type session struct {
	conn *pgx.Conn
	// fault is the tests' seam.
	fault func(point string)
}

// settings of the session. The planner has no statistics of tables that are
// emptied all the time, so it is left no choice: the index on xid. Losing the last
// stored positions in a crash of the server costs repetitions only, so nobody
// waits for the disk. The keepalives let the server notice within seconds that
// the relay's machine is gone, and give the lease to the standby.
var sessionSettings = map[string]string{
	"application_name":                    "quokka-outbox",
	"enable_seqscan":                      "off",
	"enable_bitmapscan":                   "off",
	"max_parallel_workers_per_gather":     "0",
	"jit":                                 "off",
	"plan_cache_mode":                     "force_generic_plan",
	"work_mem":                            "32MB",
	"synchronous_commit":                  "off",
	"statement_timeout":                   "0",
	"idle_session_timeout":                "0",
	"idle_in_transaction_session_timeout": "0",
	"tcp_keepalives_idle":                 "5",
	"tcp_keepalives_interval":             "2",
	"tcp_keepalives_count":                "3",
}

// connect opens the session, without the lease.
func connect(ctx context.Context, cfg *pgx.ConnConfig, fault func(string)) (*session, error) {
	cfg = cfg.Copy()
	cfg.Tracer = nil // polls are no spans
	cfg.DefaultQueryExecMode, cfg.StatementCacheCapacity = pgx.QueryExecModeCacheStatement, 64
	for k, v := range sessionSettings {
		cfg.RuntimeParams[k] = v
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, fault: fault}, nil
}

// close ends the session and with it the lease.
func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // the server ends the session either way
}

// tryLease takes the lease if it is free.
func (s *session) tryLease(ctx context.Context) (held bool, err error) {
	err = s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(relayLock)).Scan(&held)
	return held, err
}

// ping tells whether the session, and so the lease, still stands.
func (s *session) ping(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.conn.Ping(ctx)
}

// ClusterChangedError says that the outbox's cursor belongs to another PostgreSQL
// cluster.
type ClusterChangedError struct{ Stored, Actual int64 }

func (e *ClusterChangedError) Error() string {
	return fmt.Sprintf("outbox: the stored position belongs to PostgreSQL cluster %d, this is cluster %d (restored from a dump, or a logical copy?): its transaction numbers mean nothing here, and going on would lose events; "+
		"if the old outbox is retired, call outbox.Adopt, which publishes again what is still in the tables", e.Stored, e.Actual)
}

// ErrNotMigrated says that the database has no outbox, or an older layout of it.
var ErrNotMigrated = errors.New("outbox: the database's outbox is missing or of an older version: call outbox.Migrate first")

// load returns the stored position, after checking that it means anything here.
func (s *session) load(ctx context.Context) (position, error) {
	var version int
	err := s.conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM outbox.version").Scan(&version)
	if code := sqlState(err); code == "42P01" || code == "3F000" || err == nil && version < len(migrations) {
		return position{}, ErrNotMigrated
	}
	if err != nil {
		return position{}, err
	}
	var cache int64
	if err := s.conn.QueryRow(ctx, "SELECT seqcache FROM pg_sequence WHERE seqrelid = 'outbox.event_seq'::regclass").Scan(&cache); err != nil {
		return position{}, err
	}
	if cache != 1 {
		return position{}, fmt.Errorf("%w: the sequence outbox.event_seq has CACHE %d, which breaks the order of keys: ALTER SEQUENCE outbox.event_seq CACHE 1", errRefused, cache)
	}
	var p position
	var target *string
	var stored, actual int64
	err = s.conn.QueryRow(ctx, `SELECT cursor::text, target::text, reached, sent_to, p.system_identifier, c.system_identifier
		FROM outbox.progress p, pg_control_system() c ORDER BY n DESC LIMIT 1`).
		Scan(&p.cursor, &target, &p.reached, &p.sentTo, &stored, &actual)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return position{}, fmt.Errorf("%w: outbox.progress is empty, so nobody knows what is published: call outbox.Adopt to publish again what is still in the tables", errRefused)
	case err != nil:
		return position{}, err
	case stored != actual:
		return position{}, &ClusterChangedError{Stored: stored, Actual: actual}
	}
	if target != nil {
		p.target = *target
	}
	return p, nil
}

// errRefused marks states in which trying again is of no use.
var errRefused = errors.New("outbox: refused")

// poll takes a snapshot and tells whether it shows events that cursor does not.
// Of the transactions that were running at the cursor only those that have ended
// are looked at: a big open one is not scanned again at every poll.
func (s *session) poll(ctx context.Context, cursor string) (now string, found bool, err error) {
	err = s.conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text,
		EXISTS (SELECT FROM outbox.event WHERE xid >= pg_snapshot_xmax($1::pg_snapshot))
		OR EXISTS (SELECT FROM outbox.event WHERE xid = ANY (ARRAY(
			SELECT x FROM pg_snapshot_xip($1::pg_snapshot) x WHERE pg_visible_in_snapshot(x, pg_current_snapshot()))))`,
		cursor).Scan(&now, &found)
	return now, found, err
}

// ref names an event of a window: where it is and how much it weighs.
type ref struct {
	seq   int64
	tid   pgtype.TID
	table int16
	size  int32
}

// maxRefs is how many events of a window are looked up at once. Each takes a few
// dozen bytes of memory, and a window of n events is sorted n/maxRefs times. Tests make it small.
var maxRefs = 200_000

// refs returns the first events of the window that are not published, in order,
// and whether there may be more.
//
// What a transaction wrote is not visible at the cursor if it was running then, or
// started later. That finds exactly the new rows by the index, where a test of
// visibility at the cursor would read everything since the oldest transaction that
// was running.
func (s *session) refs(ctx context.Context, p position) (refs []ref, more bool, err error) {
	rows, err := s.conn.Query(ctx, `SELECT seq, ctid, slot,
		coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) + coalesce(pg_column_size(header_keys), 0) + coalesce(pg_column_size(header_values), 0)
	FROM (
		SELECT *, ctid FROM outbox.event WHERE xid >= pg_snapshot_xmax($1::pg_snapshot) AND xid < pg_snapshot_xmax($2::pg_snapshot)
		UNION ALL
		SELECT *, ctid FROM outbox.event WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
	) e WHERE pg_visible_in_snapshot(xid, $2::pg_snapshot) AND seq > $3 ORDER BY seq LIMIT $4`,
		p.cursor, p.target, p.reached, maxRefs)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var r ref
		if err := rows.Scan(&r.seq, &r.tid, &r.table, &r.size); err != nil {
			return nil, false, err
		}
		refs = append(refs, r)
	}
	return refs, len(refs) == maxRefs, rows.Err()
}

// fetch reads the events that refs name, in the order of refs.
func (s *session) fetch(ctx context.Context, refs []ref) ([]stored, error) {
	places := [2][]byte{{'{'}, {'{'}}
	for _, r := range refs {
		b := places[r.table]
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, `"(`...)
		b = strconv.AppendUint(b, uint64(r.tid.BlockNumber), 10)
		b = append(b, ',')
		b = strconv.AppendUint(b, uint64(r.tid.OffsetNumber), 10)
		places[r.table] = append(b, `)"`...)
	}
	const columns = "seq, created_at, event_id, topic, key, value, header_keys, header_values, traceparent, tracestate"
	rows, err := s.conn.Query(ctx, "SELECT "+columns+" FROM outbox.event_0 WHERE ctid = ANY ($1::tid[]) UNION ALL SELECT "+columns+" FROM outbox.event_1 WHERE ctid = ANY ($2::tid[])",
		string(append(places[0], '}')), string(append(places[1], '}')))
	if err != nil {
		return nil, err
	}
	events, err := scan(rows, len(refs))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(events, func(a, b stored) int { return cmp.Compare(a.seq, b.seq) })
	if !slices.EqualFunc(events, refs, func(e stored, r ref) bool { return e.seq == r.seq }) {
		return nil, errMoved
	}
	return events, nil
}

// errMoved: the rows are not where they were a moment ago. Somebody rewrote the
// table (VACUUM FULL, CLUSTER); looking them up again finds them.
var errMoved = errors.New("the event table was rewritten while it was read")

func scan(rows pgx.Rows, n int) ([]stored, error) {
	defer rows.Close()
	events := make([]stored, 0, n)
	for rows.Next() {
		var e stored
		var id [16]byte
		var keys []string
		var values [][]byte
		var traceparent, tracestate *string
		if err := rows.Scan(&e.seq, &e.created, &id, &e.Topic, &e.Key, &e.Value, &keys, &values, &traceparent, &tracestate); err != nil {
			return nil, err
		}
		e.ID = uuid.UUID(id)
		for i, k := range keys {
			e.Headers = append(e.Headers, Header{Key: k, Value: values[i]})
		}
		if traceparent != nil {
			e.traceparent = *traceparent
		}
		if tracestate != nil {
			e.tracestate = *tracestate
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

const insertProgress = `INSERT INTO outbox.progress (cursor, target, reached, sent_to, system_identifier)
	SELECT $1::pg_snapshot, $2::pg_snapshot, $3, $4, system_identifier FROM pg_control_system()`

func (p position) columns() []any {
	return []any{p.cursor, orNull(p.target), p.reached, p.sentTo}
}

// store keeps the position for a successor.
func (s *session) store(ctx context.Context, p position) error {
	_, err := s.conn.Exec(ctx, insertProgress, p.columns()...)
	return err
}

// pending counts the events that cursor does not show, up to a limit: the number
// says how bad it is, and counting must not make it worse.
func (s *session) pending(ctx context.Context, cursor string) (n int64, err error) {
	err = s.conn.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM (
		SELECT FROM outbox.event WHERE xid >= pg_snapshot_xmax($1::pg_snapshot)
		UNION ALL
		SELECT FROM outbox.event WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
		LIMIT %d) e`, maxPending), cursor).Scan(&n)
	return n, err
}

// maxPending is the largest number of waiting events that is told apart.
const maxPending = 100_000

// sqlState returns the SQLSTATE of an error from the server, or "".
func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}
