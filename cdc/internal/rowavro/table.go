package rowavro

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

// Source is what all of a table's envelopes say of where they come from.
type Source struct {
	// Version is that of this program, Name the topic prefix.
	Version, Name           string
	Database, Schema, Table string
}

// Column is a published column.
type Column struct {
	Name   string
	Type   debezium.Type
	Append AppendFunc
	// Key columns identify a row. Only they are NOT NULL in the schema: a column
	// can be added to and dropped from a table whose old rows stay on the topic
	// only if the registry may assume that it was null.
	Key bool
}

// Table writes the keys and envelopes of a table. It is used by one goroutine.
type Table struct {
	columns []Column
	keys    []int // of columns
	keyless bool

	keySchema, valueSchema string
	keyHeader, valueHeader [5]byte // Confluent's: zero, schema id

	// The parts of the envelope's source that do not change.
	head []byte // version, connector, name
	db   []byte // database
	name []byte // schema, table
}

// NewTable derives the schemas of a table whose topic is given.
func NewTable(topic string, src Source, columns []Column) (*Table, error) {
	t := &Table{columns: columns}
	described := debezium.Table{Topic: topic}
	for i, c := range columns {
		described.Columns = append(described.Columns, debezium.Column{Name: c.Name, Type: c.Type, Nullable: !c.Key})
		if c.Key {
			described.Key = append(described.Key, c.Name)
			t.keys = append(t.keys, i)
		}
	}
	value, err := described.ValueSchema()
	if err != nil {
		return nil, err
	}
	t.valueSchema = value.String()
	key, err := described.KeySchema()
	switch {
	case errors.Is(err, debezium.ErrNoKey):
		t.keyless = true
	case err != nil:
		return nil, err
	default:
		t.keySchema = key.String()
	}
	for _, s := range []string{src.Version, "postgresql", src.Name} {
		t.head = appendBytes(t.head, []byte(s))
	}
	t.db = appendBytes(nil, []byte(src.Database))
	t.name = appendBytes(appendBytes(nil, []byte(src.Schema)), []byte(src.Table))
	return t, nil
}

// Keyless tells that no columns identify a row: records have no key.
func (t *Table) Keyless() bool { return t.keyless }

// KeySchema is the schema of keys, "" for a keyless table.
func (t *Table) KeySchema() string { return t.keySchema }

// ValueSchema is the schema of envelopes.
func (t *Table) ValueSchema() string { return t.valueSchema }

// SetIDs sets under which ids the registry has the schemas.
func (t *Table) SetIDs(key, value int) {
	binary.BigEndian.PutUint32(t.keyHeader[1:], uint32(key))
	binary.BigEndian.PutUint32(t.valueHeader[1:], uint32(value))
}

// Width is the number of columns a tuple of the table has.
func (t *Table) Width() int { return len(t.columns) }

// Field returns the name that column i has in the schemas.
func (t *Table) Field(i int) string { return debezium.Column{Name: t.columns[i].Name}.Field() }

// ValueError says which value cannot be written.
type ValueError struct {
	Column string
	Err    error
}

func (e *ValueError) Error() string { return fmt.Sprintf("column %s: %v", e.Column, e.Err) }
func (e *ValueError) Unwrap() error { return e.Err }

var (
	errNullKey   = errors.New("a key column has no value; set a primary key, or REPLICA IDENTITY FULL")
	errBinary    = errors.New("a binary value where text was asked for")
	errTupleSize = errors.New("row and table differ in their number of columns")
)

// AppendKey appends the key of a row.
func (t *Table) AppendKey(dst []byte, row pgoutput.Tuple) ([]byte, error) {
	if len(row) != len(t.columns) {
		return dst, errTupleSize
	}
	dst = append(dst, t.keyHeader[:]...)
	var err error
	for _, i := range t.keys {
		if dst, err = t.appendRequired(dst, i, row[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (t *Table) appendRequired(dst []byte, i int, d pgoutput.Datum) ([]byte, error) {
	c := &t.columns[i]
	switch d.Kind {
	case pgoutput.Text:
	case pgoutput.Binary:
		return dst, &ValueError{c.Name, errBinary}
	default:
		return dst, &ValueError{c.Name, errNullKey}
	}
	out, err := c.Append(dst, d.Data)
	if err != nil {
		return dst, &ValueError{c.Name, err}
	}
	return out, nil
}

// Event is a change to write.
type Event struct {
	Op debezium.Op
	// Before and After are nil where there is no such row, or it is not known.
	Before, After pgoutput.Tuple
	// CommitMicros is when the change was committed, NowMicros when it is
	// written, both since 1970.
	CommitMicros, NowMicros int64
	// Snapshot is one of debezium's, "" for a streamed change.
	Snapshot string
	// Sequence is [last commit, this change's position] in JSON, or empty.
	Sequence  []byte
	TxID      uint32
	LSN       pgoutput.LSN
	Origin    string
	OriginLSN pgoutput.LSN

	// Unavailable and Unrepresentable are set by AppendValue: columns of After
	// that are null for a reason (see the package's description).
	Unavailable, Unrepresentable []int
}

// AppendValue appends the envelope of a change.
func (t *Table) AppendValue(dst []byte, e *Event) ([]byte, error) {
	dst = append(dst, t.valueHeader[:]...)
	e.Unavailable, e.Unrepresentable = e.Unavailable[:0], e.Unrepresentable[:0]
	var err error
	if dst, err = t.appendRow(dst, e.Before, nil); err != nil {
		return dst, err
	}
	if dst, err = t.appendRow(dst, e.After, e); err != nil {
		return dst, err
	}
	dst = t.appendSource(dst, e)
	dst = append(dst, 0) // transaction: null
	dst = append(dst, 2, e.Op[0])
	return appendTimes(dst, e.NowMicros, true), nil
}

func (t *Table) appendRow(dst []byte, row pgoutput.Tuple, note *Event) ([]byte, error) {
	if row == nil {
		return append(dst, 0), nil
	}
	if len(row) != len(t.columns) {
		return dst, errTupleSize
	}
	dst = append(dst, 2)
	for i := range row {
		c := &t.columns[i]
		if c.Key {
			var err error
			if dst, err = t.appendRequired(dst, i, row[i]); err != nil {
				return dst, err
			}
			continue
		}
		switch row[i].Kind {
		case pgoutput.Text:
		case pgoutput.Null:
			dst = append(dst, 0)
			continue
		case pgoutput.Unchanged:
			dst = append(dst, 0)
			if note != nil {
				note.Unavailable = append(note.Unavailable, i)
			}
			continue
		default:
			return dst, &ValueError{c.Name, errBinary}
		}
		start := len(dst)
		out, err := c.Append(append(dst, 2), row[i].Data)
		switch {
		case errors.Is(err, errNoForm):
			dst = append(dst[:start], 0)
			if note != nil {
				note.Unrepresentable = append(note.Unrepresentable, i)
			}
		case err != nil:
			return dst[:start], &ValueError{c.Name, err}
		default:
			dst = out
		}
	}
	return dst, nil
}

// appendSource follows the order of the fields in debezium's Source.
func (t *Table) appendSource(dst []byte, e *Event) []byte {
	dst = append(dst, t.head...)
	dst = appendLong(dst, floorDiv(e.CommitMicros, 1000))
	snapshot := e.Snapshot
	if snapshot == "" {
		snapshot = debezium.SnapshotFalse
	}
	dst = appendText(append(dst, 0), snapshot)
	dst = append(dst, t.db...)
	if len(e.Sequence) > 0 {
		dst = appendBytes(append(dst, 2), e.Sequence)
	} else {
		dst = append(dst, 0)
	}
	dst = appendTimes(dst, e.CommitMicros, false)
	dst = append(dst, t.name...)
	dst = appendOptional(dst, int64(e.TxID))
	dst = appendOptional(dst, int64(e.LSN))
	dst = append(dst, 0) // xmin
	if e.Origin == "" {
		return append(dst, 0, 0)
	}
	dst = appendText(append(dst, 2), e.Origin)
	return appendOptional(dst, int64(e.OriginLSN))
}

func appendText(dst []byte, s string) []byte {
	return append(appendLong(dst, int64(len(s))), s...)
}

func appendOptional(dst []byte, n int64) []byte {
	if n == 0 {
		return append(dst, 0)
	}
	return appendLong(append(dst, 2), n)
}

// appendTimes writes a time as nullable micro- and nanoseconds, with
// milliseconds before them if asked. PostgreSQL's times reach beyond what
// nanoseconds can count; a commit's does not.
func appendTimes(dst []byte, micros int64, millis bool) []byte {
	if millis {
		dst = appendLong(append(dst, 2), floorDiv(micros, 1000))
	}
	dst = appendLong(append(dst, 2), micros)
	return appendLong(append(dst, 2), micros*1000)
}
