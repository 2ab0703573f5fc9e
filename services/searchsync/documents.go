package searchsync

import (
	"fmt"
	"maps"
	"math"
	"strconv"

	"github.com/quokka-stream/quokka/schemas/debezium"
	"github.com/quokka-stream/quokka/schemas/events"
)

// Headers of change records by which changes of one row are ordered.
const (
	headerCommitLSN = "pg.commit_lsn"
	headerOrdinal   = "pg.tx_ordinal"
)

// table is how the rows of one captured table become documents.
type table struct {
	kind Kind
	// key is the primary-key column, whose value is the document's id.
	key string
}

// changeVersion is the position of a change from its record's headers.
func changeVersion(header func(string) string) (Version, error) {
	lsn, err := strconv.ParseUint(header(headerCommitLSN), 10, 64)
	if err != nil {
		return Version{}, fmt.Errorf("header %s: %w", headerCommitLSN, err)
	}
	ordinal, err := strconv.ParseUint(header(headerOrdinal), 10, 64)
	if err != nil {
		return Version{}, fmt.Errorf("header %s: %w", headerOrdinal, err)
	}
	return Version{Major: lsn, Minor: ordinal}, nil
}

// document is the state of a row after a change.
func (t table) document(version Version, change *debezium.Envelope) (Document, error) {
	row, deleted := change.After, false
	switch change.Op {
	case debezium.Create, debezium.Update, debezium.Read:
	case debezium.Delete:
		row, deleted = change.Before, true
	default:
		return Document{}, fmt.Errorf("operation %q on table %s.%s cannot be followed: rebuild the index from the topic's start", change.Op, change.Source.Schema, change.Source.Table)
	}
	id, ok := row[t.key].(string)
	if !ok {
		return Document{}, fmt.Errorf("change of table %s.%s has no text in its key column %s", change.Source.Schema, change.Source.Table, t.key)
	}
	doc := Document{Kind: t.kind, ID: id, Version: version, Deleted: deleted}
	if !deleted {
		doc.Fields = withoutNaN(row)
	}
	return doc, nil
}

// withoutNaN is a row as JSON can hold it: PostgreSQL's numbers that are none
// become their names.
func withoutNaN(row map[string]any) map[string]any {
	out, cloned := row, false
	for name, value := range row {
		number, ok := value.(float64)
		if small, isSmall := value.(float32); isSmall {
			number, ok = float64(small), true
		}
		if !ok || !math.IsNaN(number) && !math.IsInf(number, 0) {
			continue
		}
		if !cloned {
			out, cloned = maps.Clone(row), true
		}
		out[name] = strconv.FormatFloat(number, 'g', -1, 64)
	}
	return out
}

// tombstone is the state of a row whose deletion is all that is left of it on
// a compacted topic. key is the record's decoded key.
func (t table) tombstone(version Version, key any) (Document, error) {
	fields, _ := key.(map[string]any)
	id, ok := fields[t.key].(string)
	if !ok {
		return Document{}, fmt.Errorf("tombstone without %s in its key", t.key)
	}
	return Document{Kind: t.kind, ID: id, Version: version, Deleted: true}, nil
}

// orderDocument is what one event tells about its order.
func orderDocument(event events.Event) (Document, bool) {
	var (
		id      string
		version int32
		fields  map[string]any
	)
	switch e := event.(type) {
	case *events.OrderPlaced:
		skus := make([]any, len(e.Lines))
		quantity := 0
		for i, line := range e.Lines {
			skus[i] = line.SKU
			quantity += int(line.Quantity)
		}
		id, version = e.OrderID, e.Version
		fields = map[string]any{
			"order_id": e.OrderID, "customer_id": e.CustomerID, "status": "pending",
			"skus": skus, "quantity": quantity, "placed_at": e.OccurredAt.UTC(),
		}
	case *events.OrderConfirmed:
		id, version = e.OrderID, e.Version
		fields = map[string]any{"order_id": e.OrderID, "customer_id": e.CustomerID, "status": "confirmed"}
	case *events.OrderRejected:
		id, version = e.OrderID, e.Version
		fields = map[string]any{"order_id": e.OrderID, "customer_id": e.CustomerID, "status": "rejected", "reason": e.Reason}
	case *events.OrderCancelled:
		id, version = e.OrderID, e.Version
		fields = map[string]any{"order_id": e.OrderID, "customer_id": e.CustomerID, "status": "cancelled", "reason": e.Reason}
	default:
		return Document{}, false
	}
	return Document{Kind: Orders, ID: id, Version: Version{Major: uint64(version)}, Partial: true, Fields: fields}, true
}

// logDocument is one log line. Its id is its place in the topic, so that the
// same record always is the same document.
func logDocument(partition int32, offset int64, line *events.LogLine) Document {
	fields := map[string]any{
		"time": line.Time.UTC(), "level": line.Level, "service": line.Service, "message": line.Message,
		"trace_id": line.TraceID, "span_id": line.SpanID,
	}
	if len(line.Attributes) > 0 {
		attributes := make(map[string]any, len(line.Attributes))
		for name, value := range line.Attributes {
			attributes[name] = value
		}
		fields["attributes"] = attributes
	}
	return Document{Kind: Logs, ID: fmt.Sprintf("%d-%d", partition, offset), Fields: fields}
}
