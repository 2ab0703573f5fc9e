package cdc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/pgrepl"
	"github.com/quokka-stream/quokka/cdc/internal/rowavro"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

// errSnapshotStale says that a table was rewritten between the snapshot and its
// reading, so that the snapshot would show it empty. A new one will not.
var errSnapshotStale = errors.New("a table was rewritten while its snapshot began")

// session is a source from lease to error.
type session struct {
	*source
	ctx    context.Context // of the session
	linger context.Context // of its records
	conn   *pgrepl.Conn
	tables *tables
	state  *state
}

// snapshot creates the slot if there is none, and reads the tables whose rows
// have not been read. The position of their rows is the consistent point of the
// slot whose snapshot shows them.
//
// The first time, that is the source's own slot. Later (a table joined, or the
// first time was cut short) it is a temporary one: the rows are those of a later
// moment than the stream's start, and the stream tells again how they came to
// be, at lower positions.
func (s *session) snapshot(p plan, all []published) error {
	var missing []published
	for _, t := range all {
		r, err := s.tables.catalog.relation(s.ctx, t)
		if err != nil {
			return err
		}
		described, err := s.tables.describe(s.ctx, r)
		if err != nil {
			return err
		}
		if (p.create || !described.read) && !described.stopped.set() {
			missing = append(missing, t)
		}
	}
	// The progress of this instance, before it changes anything: without a
	// position if it will create the slot.
	if err := s.store.save(s.ctx, s.state); err != nil {
		return err
	}
	if p.drop {
		s.log.Warn("dropping the slot to create it anew")
		if err := s.conn.DropSlot(s.ctx, s.Slot); err != nil {
			return err
		}
	}
	if !p.create && len(missing) == 0 {
		return nil
	}
	s.health.set(Snapshotting, nil)
	s.log.Info("snapshot begins", "tables", names(missing), "new_slot", p.create)
	name := s.Slot
	if !p.create {
		name = s.Slot[:min(len(s.Slot), 54)] + "_snapshot"
	}
	s.cfg.Fault("slot.create")
	// This waits for the end of all transactions that are running.
	created, err := s.conn.CreateSlot(s.ctx, name, !p.create)
	if err != nil {
		return s.serverError(err)
	}
	s.cfg.Fault("slot.created")
	if p.create {
		s.state.Position = created.ConsistentPoint
		if err := s.store.save(s.ctx, s.state); err != nil {
			return err
		}
	}
	if err := s.read(created, missing); err != nil {
		return err
	}
	if !p.create {
		return s.conn.DropSlot(s.ctx, name)
	}
	return nil
}

// read reads tables under an exported snapshot. After each, when the broker has
// all of its rows, the progress says so.
func (s *session) read(created pgrepl.Created, missing []published) error {
	conn, err := connect(s.ctx, s.cfg.PostgresURL, s.Database, map[string]string{
		// A policy that hides rows from us is an error, not a smaller table.
		"row_security": "off",
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(s.ctx)) }()
	if err := pgrepl.KeepEncoding(s.ctx, conn.PgConn()); err != nil {
		return err
	}
	tx, err := conn.BeginTx(s.ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(s.ctx, "SET TRANSACTION SNAPSHOT '"+created.Snapshot+"'"); err != nil {
		return fmt.Errorf("import the slot's snapshot: %w", err)
	}
	for _, p := range missing {
		if err := s.readTable(conn, created.ConsistentPoint, p); err != nil {
			return fmt.Errorf("snapshot of table %s: %w", p, err)
		}
	}
	return tx.Rollback(s.ctx)
}

func (s *session) readTable(conn *pgx.Conn, point pgoutput.LSN, p published) error {
	// From here to the end of the transaction the table's definition is fixed.
	if _, err := conn.Exec(s.ctx, "LOCK TABLE "+p.quoted()+" IN ACCESS SHARE MODE"); err != nil {
		return err
	}
	if err := unchanged(s.ctx, conn, p); err != nil {
		return err
	}
	r, err := s.tables.catalog.relation(s.ctx, p)
	if err != nil {
		return err
	}
	t, err := s.tables.describe(s.ctx, r)
	if err != nil {
		return err
	}
	if expected, err := s.tables.catalog.estimate(s.ctx, p.oid); err == nil {
		t.metrics.snapshotTotal.Set(expected)
	}
	t.metrics.snapshotRows.Set(0)
	began := time.Now()
	w := newSnapshotWriter(s, t, point)
	if _, err := conn.PgConn().CopyTo(s.ctx, w, "COPY ("+p.selection(r)+") TO STDOUT"); err != nil {
		return err
	}
	if err := w.wait(); err != nil {
		return err
	}
	if t.stopped.set() {
		return nil // a row cannot be written; the others go on without the table
	}
	s.cfg.Fault("snapshot.written")
	s.state.Tables[t.name] = p.oid
	if err := s.store.save(s.ctx, s.state); err != nil {
		return err
	}
	t.read, s.tables.read[t.name] = true, p.oid
	s.log.Info("table read", "table", t.name, "rows", w.rows, "seconds", time.Since(began).Seconds())
	s.cfg.Fault("snapshot.noted")
	return nil
}

// unchanged checks that the table still has the storage it had in the snapshot.
// TRUNCATE and an ALTER TABLE that rewrites replace the storage for everybody at
// once: older snapshots then see an empty table.
func unchanged(ctx context.Context, conn *pgx.Conn, p published) error {
	// pg_class is read under the snapshot, the function tells what is now.
	rows, err := conn.Query(ctx, `SELECT c.relfilenode IS NOT DISTINCT FROM pg_relation_filenode(t.relid)
		FROM unnest(coalesce((SELECT array_agg(relid) FROM pg_partition_tree($1::oid::regclass)), ARRAY[$1::oid::regclass])) t(relid)
		LEFT JOIN pg_class c ON c.oid = t.relid
		WHERE c.relkind IS DISTINCT FROM 'p'`, p.oid)
	if err != nil {
		return err
	}
	same, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return err
	}
	for _, ok := range same {
		if !ok {
			return errSnapshotStale
		}
	}
	return nil
}

// snapshotWriter makes records of the rows of a COPY.
type snapshotWriter struct {
	s        *session
	t        *table
	emit     emitter
	failed   chan error
	position []byte
	ordinal  []byte
	at       time.Time

	rest    []byte // an incomplete line
	scratch []byte
	row     pgoutput.Tuple
	event   rowavro.Event
	key     []byte
	value   []byte
	rows    int64
}

func newSnapshotWriter(s *session, t *table, point pgoutput.LSN) *snapshotWriter {
	w := &snapshotWriter{s: s, t: t, emit: emitter{ctx: s.linger, client: s.client}, failed: make(chan error, 1), at: time.Now()}
	w.position, w.ordinal = w.emit.number(uint64(point)), w.emit.number(0)
	w.event = rowavro.Event{
		Op: debezium.Read, Snapshot: debezium.SnapshotTrue, LSN: point,
		CommitMicros: w.at.UnixMicro(), NowMicros: w.at.UnixMicro(),
	}
	return w
}

// Write takes lines in COPY's text format.
func (w *snapshotWriter) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.rest = append(w.rest, b...)
			return n, nil
		}
		line := b[:i]
		if len(w.rest) > 0 {
			w.rest = append(w.rest, line...)
			line = w.rest
		}
		if err := w.line(line); err != nil {
			return 0, err
		}
		w.rest, b = w.rest[:0], b[i+1:]
	}
}

func (w *snapshotWriter) line(line []byte) error {
	select {
	case err := <-w.failed:
		return err
	default:
	}
	if w.t.stopped.set() {
		return nil // the rest of the rows is read for nothing
	}
	w.row, w.scratch = splitCopy(w.row[:0], w.scratch[:0], line)
	w.event.After = w.row
	key := w.key[:0]
	var err error
	if !w.t.rows.Keyless() {
		if key, err = w.t.rows.AppendKey(key, w.row); err == nil {
			w.key = key
		}
	} else {
		key = nil
	}
	if err == nil {
		w.value, err = w.t.rows.AppendValue(w.value[:0], &w.event)
	}
	if err != nil {
		w.s.tables.stop(w.t, "", err)
		return nil
	}
	r := w.emit.record()
	r.Topic, r.Key, r.Value = w.t.topic, w.emit.keep(key), w.emit.keep(w.value)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderCommitLSN, Value: w.position}, kgo.RecordHeader{Key: HeaderOrdinal, Value: w.ordinal})
	if len(w.event.Unrepresentable) > 0 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderUnrepresentable, Value: fieldNames(w.t, w.event.Unrepresentable)})
		w.t.metrics.unrepresentable.Inc()
	}
	w.emit.send(r, w.at, w.acknowledged)
	w.rows++
	w.t.metrics.snapshotRows.Set(float64(w.rows))
	w.t.metrics.rows(debezium.Read).Inc()
	w.s.cfg.Fault("snapshot.row")
	return nil
}

func (w *snapshotWriter) acknowledged(_ *kgo.Record, err error) {
	if err != nil && aboutRecord(err) {
		w.s.tables.stop(w.t, "", err)
	} else if err != nil {
		select {
		case w.failed <- fmt.Errorf("write to topic %s: %w", w.t.topic, err):
		default:
		}
	}
}

// wait waits until the broker has every row.
func (w *snapshotWriter) wait() error {
	if err := w.s.client.Flush(w.s.ctx); err != nil {
		return err
	}
	select {
	case err := <-w.failed:
		return err
	default:
		return nil
	}
}

// splitCopy splits a line of COPY's text format into its values. Those with
// escapes are written to scratch, which is returned for the next line.
func splitCopy(row pgoutput.Tuple, scratch, line []byte) (pgoutput.Tuple, []byte) {
	if need := len(line); cap(scratch) < need {
		scratch = make([]byte, 0, 2*need) // never grown below: values refer to it
	}
	for more := true; more; {
		var field []byte
		field, line, more = bytes.Cut(line, []byte{'\t'})
		switch {
		case len(field) == 2 && field[0] == '\\' && field[1] == 'N':
			row = append(row, pgoutput.Datum{Kind: pgoutput.Null})
			continue
		case bytes.IndexByte(field, '\\') >= 0:
			start := len(scratch)
			scratch = unescapeCopy(scratch, field)
			field = scratch[start:]
		}
		row = append(row, pgoutput.Datum{Kind: pgoutput.Text, Data: field})
	}
	return row, scratch
}

// unescapeCopy appends a value without its escapes: the control characters that
// COPY writes as letters, and whatever else stands behind a backslash.
func unescapeCopy(dst, field []byte) []byte {
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c == '\\' && i+1 < len(field) {
			i++
			switch c = field[i]; c {
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'v':
				c = '\v'
			}
		}
		dst = append(dst, c)
	}
	return dst
}
