package debezium

import (
	"errors"
	"fmt"
	"time"
)

// Op is what happened to a row.
type Op string

// The operations of an envelope.
const (
	Read     Op = "r" // found by the initial snapshot
	Create   Op = "c"
	Update   Op = "u"
	Delete   Op = "d"
	Truncate Op = "t"
	Message  Op = "m"
)

// Values of Source.Snapshot.
const (
	SnapshotFalse = "false"
	SnapshotTrue  = "true"
	SnapshotFirst = "first"
	SnapshotLast  = "last"
)

// Envelope is one change of one row.
type Envelope struct {
	// Before is the row before the change as far as the table's replica
	// identity tells, nil where unknown; After the row after it, nil for a
	// delete. Keys are Column.Field names, values as the Kinds say, nil for
	// null.
	Before, After map[string]any
	// Source says where the change comes from.
	Source Source
	// Transaction is set where the writer provides transaction metadata.
	Transaction *Transaction
	// Op is the kind of change.
	Op Op
	// At is when the writer made the envelope; zero for unknown.
	At time.Time
}

// Source is where a change comes from. A zero number and an empty text stand
// for null in the fields that Debezium has optional.
type Source struct {
	// Version is that of the writing program; Connector what it captures.
	Version, Connector string
	// Name is the topic prefix.
	Name string
	// At is when the change was committed, for a snapshot when it was read.
	At time.Time
	// Snapshot is where in a snapshot the row was read; "" means false.
	Snapshot string
	// Database, Schema and Table are where the row lives.
	Database, Schema, Table string
	// Sequence is JSON: [last seen commit LSN, LSN].
	Sequence string
	// TxID is the transaction; LSN the position of the row's own change. The
	// LSN does not order changes: see the record's headers for that.
	TxID int64
	LSN  uint64
	// Xmin is the slot's xmin, where tracked.
	Xmin int64
	// Origin is the replication origin of a replicated row, at OriginLSN there.
	Origin    string
	OriginLSN uint64
}

// Transaction is a change's place in its transaction.
type Transaction struct {
	ID string
	// TotalOrder counts all changes of the transaction, DataCollectionOrder
	// those of this table, both from 1.
	TotalOrder, DataCollectionOrder int64
}

// Record returns the envelope as a value to encode with Table.ValueSchema.
func (e *Envelope) Record() map[string]any {
	m := map[string]any{
		"before":      row(e.Before),
		"after":       row(e.After),
		"source":      e.Source.record(),
		"transaction": nil,
		"op":          string(e.Op),
		"ts_ms":       nil,
		"ts_us":       nil,
		"ts_ns":       nil,
	}
	if t := e.Transaction; t != nil {
		m["transaction"] = map[string]any{"id": t.ID, "total_order": t.TotalOrder, "data_collection_order": t.DataCollectionOrder}
	}
	if !e.At.IsZero() {
		m["ts_ms"], m["ts_us"], m["ts_ns"] = e.At.UnixMilli(), e.At.UnixMicro(), e.At.UnixNano()
	}
	return m
}

func (s *Source) record() map[string]any {
	snapshot := s.Snapshot
	if snapshot == "" {
		snapshot = SnapshotFalse
	}
	connector := s.Connector
	if connector == "" {
		connector = "postgresql"
	}
	m := map[string]any{
		"version": s.Version, "connector": connector, "name": s.Name,
		"ts_ms": int64(0), "ts_us": nil, "ts_ns": nil,
		"snapshot": snapshot,
		"db":       s.Database, "schema": s.Schema, "table": s.Table,
		"sequence": optional(s.Sequence),
		"txId":     optional(s.TxID), "lsn": optional(int64(s.LSN)), "xmin": optional(s.Xmin),
		"origin": optional(s.Origin), "origin_lsn": optional(int64(s.OriginLSN)),
	}
	if !s.At.IsZero() {
		m["ts_ms"], m["ts_us"], m["ts_ns"] = s.At.UnixMilli(), s.At.UnixMicro(), s.At.UnixNano()
	}
	return m
}

func row(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

func optional[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// ErrNotEnvelope says that a value is not a change event.
var ErrNotEnvelope = errors.New("not a Debezium envelope")

// DecodeEnvelope makes an Envelope of a generically decoded value. Fields that
// another writer's envelope does not have stay zero.
func DecodeEnvelope(v any) (*Envelope, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %T is not a record", ErrNotEnvelope, v)
	}
	var first error
	r := reader{m: m, err: &first}
	e := &Envelope{
		Before: r.record("before"),
		After:  r.record("after"),
		Op:     Op(r.text("op")),
		At:     r.time(),
	}
	if src := r.record("source"); src != nil {
		e.Source = source(reader{m: src, at: "source.", err: &first})
	}
	if tx := r.record("transaction"); tx != nil {
		t := reader{m: tx, at: "transaction.", err: &first}
		e.Transaction = &Transaction{ID: t.text("id"), TotalOrder: t.number("total_order"), DataCollectionOrder: t.number("data_collection_order")}
	}
	if first != nil {
		return nil, first
	}
	switch e.Op {
	case Read, Create, Update, Delete, Truncate, Message:
		return e, nil
	}
	return nil, fmt.Errorf("%w: op is %q", ErrNotEnvelope, string(e.Op))
}
