package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/cdc/internal/rowavro"
	"github.com/quokka-stream/quokka/cdc/internal/txbuf"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

// errJoined says that a table's changes arrive whose rows were never read: it
// joined the publication. The session ends and begins anew, with a snapshot of
// the table.
var errJoined = errors.New("a table joined the publication")

// publisher writes transactions to the broker, one after the other.
type publisher struct {
	tables *tables
	emit   emitter
	fault  func(string)
	// joined tells whether a table that was never read is published now.
	joined func(ctx context.Context, r *pgoutput.Relation) (bool, error)
	// fail ends the session.
	fail func(error)

	relations map[uint32]*table
	row       pgoutput.Row
	event     rowavro.Event
	after     pgoutput.Tuple
	oldKey    []byte
	newKey    []byte
	value     []byte

	// Of the current transaction.
	in       *inflight
	promised promised
	tx       *txbuf.Tx
	position []byte // its end, decimal
	ordinal  uint64
	trace    traceContext
	spans    spans
	last     pgoutput.LSN // the commit before it
}

// transaction writes a transaction. When it returns, its records are with the
// client; in completes when the broker has them.
func (p *publisher) transaction(ctx context.Context, tx *txbuf.Tx, in *inflight) error {
	defer tx.Release()
	p.fault("transaction.begin")
	p.tx, p.in, p.ordinal, p.trace = tx, in, 0, traceContext{}
	p.position = p.emit.number(uint64(tx.EndLSN))
	p.event = rowavro.Event{
		CommitMicros: tx.CommitTime.UnixMicro(), NowMicros: time.Now().UnixMicro(),
		TxID: tx.XID, Origin: tx.Origin, OriginLSN: tx.OriginLSN,
		Unavailable: p.event.Unavailable, Unrepresentable: p.event.Unrepresentable, Sequence: p.event.Sequence,
	}
	for {
		pos, data, err := tx.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.message(ctx, pos, data)
		}
		if err != nil {
			return err
		}
	}
	p.fault("transaction.sent")
	p.last = tx.CommitLSN
	in.complete = p.spans.end()
	in.done()
	return nil
}

func (p *publisher) message(ctx context.Context, pos pgoutput.LSN, data []byte) error {
	switch t := pgoutput.MessageType(data[0]); t {
	case pgoutput.TypeInsert, pgoutput.TypeUpdate, pgoutput.TypeDelete:
		if err := p.row.Decode(data, p.tx.Streamed); err != nil {
			return err
		}
		if p.ordinal++; p.ordinal%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		t := p.relations[p.row.Relation]
		if t == nil {
			return fmt.Errorf("%w: a row of relation %d, which was not described", txbuf.ErrProtocol, p.row.Relation)
		}
		if !p.writes(t) {
			return nil
		}
		if err := p.change(t, pos); err != nil {
			p.tables.stop(t, "", err)
			p.writes(t)
		}
		return nil
	}
	m, err := pgoutput.Decode(data, p.tx.Streamed)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *pgoutput.Relation:
		return p.relation(ctx, m)
	case *pgoutput.Message:
		if t, ok := parseTrace(m.Content); ok {
			p.trace = traceContext{parent: p.emit.keep(t.parent), state: p.emit.keep(t.state)}
			p.spans.follow(t)
		}
	case *pgoutput.Truncate:
		return p.truncate(ctx, m, pos)
	}
	return nil
}

func (p *publisher) relation(ctx context.Context, r *pgoutput.Relation) error {
	t, err := p.tables.describe(ctx, r)
	if err != nil {
		return err
	}
	if !t.read && !t.stopped.set() {
		joined, err := p.joined(ctx, r)
		if err != nil {
			return err
		}
		if joined {
			return fmt.Errorf("%w: %s", errJoined, t.name)
		}
	}
	p.relations[r.ID] = t
	return nil
}

// writes tells whether the table's changes are written. If not, the position
// stays before this transaction, so that they are not lost. (A table that was
// never read needs no such care: reading it will find them.)
func (p *publisher) writes(t *table) bool {
	if !t.stopped.set() {
		return true
	}
	if t.read {
		p.in.hold()
	}
	return false
}

// change writes p.row. An error is one of the row: it cannot be written.
func (p *publisher) change(t *table, pos pgoutput.LSN) error {
	r := &p.row
	p.at(pos)
	e := &p.event
	e.Before, e.After = nil, nil
	if r.OldKind != pgoutput.OldNone {
		e.Before = r.Old
	}
	switch r.Type {
	case pgoutput.TypeInsert:
		e.Op, e.After = debezium.Create, r.New
	case pgoutput.TypeDelete:
		return p.delete(t, nil)
	case pgoutput.TypeUpdate:
		e.Op, e.After = debezium.Update, p.merged()
	}
	if t.rows.Keyless() {
		return p.write(t, nil)
	}
	var err error
	if p.newKey, err = t.rows.AppendKey(p.newKey[:0], e.After); err != nil {
		return err
	}
	if r.Type == pgoutput.TypeUpdate && r.OldKind != pgoutput.OldNone {
		if p.oldKey, err = t.rows.AppendKey(p.oldKey[:0], r.Old); err != nil {
			return err
		}
		if !slices.Equal(p.oldKey, p.newKey) {
			return p.keyChange(t)
		}
	}
	if r.OldKind == pgoutput.OldKey {
		e.Before = nil // no more than the key, which has not changed
	}
	return p.write(t, p.newKey)
}

// merged returns the new row, with what was not sent filled in from the old one
// where that is known in full. Where only the key is known, its columns are.
func (p *publisher) merged() pgoutput.Tuple {
	r := &p.row
	if r.OldKind == pgoutput.OldNone || len(r.Old) != len(r.New) {
		return r.New
	}
	p.after = append(p.after[:0], r.New...)
	for i, d := range p.after {
		if d.Kind == pgoutput.Unchanged && (r.OldKind == pgoutput.OldFull || r.Old[i].Kind == pgoutput.Text) {
			p.after[i] = r.Old[i]
		}
	}
	return p.after
}

// keyChange writes the update of a key as the end of one row and the beginning
// of another.
func (p *publisher) keyChange(t *table) error {
	after := p.event.After
	// Nothing may be written if either half cannot be.
	p.event.Op, p.event.Before = debezium.Create, nil
	if _, err := t.rows.AppendValue(p.value[:0], &p.event); err != nil {
		return err
	}
	p.event.After, p.event.Before = nil, p.row.Old
	if err := p.delete(t, p.newKey); err != nil {
		return err
	}
	p.event.Op, p.event.Before, p.event.After = debezium.Create, nil, after
	return p.write(t, p.newKey, kgo.RecordHeader{Key: HeaderOldKey, Value: p.emit.keep(p.oldKey)})
}

// delete writes the end of p.row's old row and the tombstone that lets
// compaction forget its key.
func (p *publisher) delete(t *table, newKey []byte) error {
	p.event.Op = debezium.Delete
	if t.rows.Keyless() {
		return p.write(t, nil)
	}
	var err error
	if p.oldKey, err = t.rows.AppendKey(p.oldKey[:0], p.row.Old); err != nil {
		return err
	}
	var headers []kgo.RecordHeader
	if newKey != nil {
		headers = []kgo.RecordHeader{{Key: HeaderNewKey, Value: p.emit.keep(newKey)}}
	}
	if err := p.write(t, p.oldKey, headers...); err != nil {
		return err
	}
	p.send(t, p.oldKey, nil, nil)
	return nil
}

// write writes the current event. A nil key is that of a keyless table.
func (p *publisher) write(t *table, key []byte, headers ...kgo.RecordHeader) error {
	var err error
	if p.value, err = t.rows.AppendValue(p.value[:0], &p.event); err != nil {
		return err
	}
	if len(p.event.Unavailable) > 0 {
		headers = append(headers, kgo.RecordHeader{Key: HeaderUnavailable, Value: fieldNames(t, p.event.Unavailable)})
	}
	if len(p.event.Unrepresentable) > 0 {
		headers = append(headers, kgo.RecordHeader{Key: HeaderUnrepresentable, Value: fieldNames(t, p.event.Unrepresentable)})
		t.metrics.unrepresentable.Inc()
	}
	p.send(t, key, p.value, headers)
	t.metrics.rows(p.event.Op).Inc()
	return nil
}

// send sends a record of the current transaction; a nil value is a tombstone.
// Keyless records all go to one partition, to stay in order.
func (p *publisher) send(t *table, key, value []byte, headers []kgo.RecordHeader) {
	r := p.emit.record()
	r.Topic, r.Key, r.Value = t.topic, p.emit.keep(key), p.emit.keep(value)
	r.Headers = append(r.Headers,
		kgo.RecordHeader{Key: HeaderCommitLSN, Value: p.position},
		kgo.RecordHeader{Key: HeaderOrdinal, Value: p.emit.number(p.ordinal)})
	if p.trace.parent != nil {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTraceparent, Value: p.trace.parent})
		if p.trace.state != nil {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderTracestate, Value: p.trace.state})
		}
	}
	r.Headers = append(r.Headers, headers...)
	p.dispatch(t, r, time.UnixMicro(p.event.CommitMicros))
}

func (p *publisher) dispatch(t *table, r *kgo.Record, at time.Time) {
	p.in.add()
	if p.spans.traced {
		p.spans.sent(t.topic, string(p.position))
	}
	if p.promised.in != p.in || p.promised.table != t {
		p.promised = promised{p.in, t, p.promise(p.in, t)}
	}
	p.emit.send(r, at, p.promised.promise)
}

// promised keeps the promise of a transaction's records in a table: one for
// many.
type promised struct {
	in      *inflight
	table   *table
	promise func(*kgo.Record, error)
}

// promise returns what is called with the broker's answer to a record.
func (p *publisher) promise(in *inflight, t *table) func(*kgo.Record, error) {
	return func(_ *kgo.Record, err error) {
		switch {
		case err == nil:
			in.ack()
		case aboutRecord(err):
			// Not acknowledged, so the position cannot pass it; held, so that
			// what follows is not collected for ever.
			in.hold()
			p.tables.stop(t, "", err)
		default:
			p.fail(fmt.Errorf("write to topic %s: %w", t.topic, err))
		}
	}
}

// aboutRecord tells the broker's refusals of a record, which it would refuse
// again, from failures that pass.
func aboutRecord(err error) bool {
	for _, refusal := range []error{kerr.MessageTooLarge, kerr.InvalidRecord, kerr.RecordListTooLarge, kerr.InvalidTimestamp, kerr.PolicyViolation, kerr.CorruptMessage} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// truncate writes an envelope without rows to every partition of each table's
// topic: whatever key a consumer has from it, its row is gone. The key is empty,
// not absent, because a compacted topic takes no record without.
func (p *publisher) truncate(ctx context.Context, m *pgoutput.Truncate, pos pgoutput.LSN) error {
	for _, id := range m.Relations {
		p.ordinal++
		t := p.relations[id]
		if t == nil {
			return fmt.Errorf("%w: truncate of relation %d, which was not described", txbuf.ErrProtocol, id)
		}
		if !p.writes(t) {
			continue
		}
		n, err := partitionsOf(ctx, p.emit.client, t.topic)
		if err != nil {
			return err
		}
		p.at(pos)
		p.event.Op, p.event.Before, p.event.After = debezium.Truncate, nil, nil
		if p.value, err = t.rows.AppendValue(p.value[:0], &p.event); err != nil {
			return err
		}
		for i := range n {
			p.sendTo(t, int32(i))
		}
		t.metrics.rows(debezium.Truncate).Inc()
	}
	return nil
}

// sendTo sends p.value with an empty key to a partition.
func (p *publisher) sendTo(t *table, partition int32) {
	r := p.emit.record()
	r.Topic, r.Partition, r.Key, r.Value = t.topic, partition, []byte{}, p.emit.keep(p.value)
	r.Headers = append(r.Headers,
		kgo.RecordHeader{Key: HeaderCommitLSN, Value: p.position},
		kgo.RecordHeader{Key: HeaderOrdinal, Value: p.emit.number(p.ordinal)})
	p.dispatch(t, r, time.UnixMicro(p.event.CommitMicros))
}

// at sets where the change stands in the log, as Debezium tells it.
func (p *publisher) at(pos pgoutput.LSN) {
	e := &p.event
	e.LSN = pos
	s := append(e.Sequence[:0], '[')
	if p.last == 0 {
		s = append(s, "null"...)
	} else {
		s = append(strconv.AppendUint(append(s, '"'), uint64(p.last), 10), '"')
	}
	s = strconv.AppendUint(append(s, ',', '"'), uint64(pos), 10)
	e.Sequence = append(s, '"', ']')
}

// fieldNames lists columns in a header.
func fieldNames(t *table, columns []int) []byte {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = t.rows.Field(c)
	}
	return []byte(strings.Join(names, ","))
}
