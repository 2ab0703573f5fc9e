package debezium

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// Table describes a captured table.
type Table struct {
	// Topic is <prefix>.<schema>.<table>; it also names the records.
	Topic string
	// Columns are the published columns, in order.
	Columns []Column
	// Key are the names of the columns that identify a row, in key order.
	Key []string
}

// ErrNoKey says that a table has no columns that identify a row.
var ErrNoKey = errors.New("table has no key columns")

// ValueSchema returns the schema of the envelope around the table's rows.
func (t Table) ValueSchema() (*codec.Schema, error) {
	columns, err := t.fields(t.Columns)
	if err != nil {
		return nil, err
	}
	ns := recordNamespace(t.Topic)
	value := record("Value", ns, columns, 0)
	text := record("Envelope", ns, strings.Join([]string{
		nullable("before", value),
		nullable("after", `"Value"`),
		field("source", sourceSchema),
		nullable("transaction", transactionSchema),
		field("op", `"string"`),
		nullable("ts_ms", `"long"`),
		nullable("ts_us", `"long"`),
		nullable("ts_ns", `"long"`),
	}, ","), 2)
	return t.parse(text)
}

// KeySchema returns the schema of the record key: a record of the key columns.
// It is ErrNoKey for a table without any.
func (t Table) KeySchema() (*codec.Schema, error) {
	if len(t.Key) == 0 {
		return nil, fmt.Errorf("%s: %w", t.Topic, ErrNoKey)
	}
	var key []Column
	for _, name := range t.Key {
		c, ok := t.column(name)
		if !ok {
			return nil, fmt.Errorf("%s: key column %q is not among the columns", t.Topic, name)
		}
		key = append(key, c)
	}
	fields, err := t.fields(key)
	if err != nil {
		return nil, err
	}
	return t.parse(record("Key", recordNamespace(t.Topic), fields, 0))
}

func (t Table) column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

func (t Table) parse(text string) (*codec.Schema, error) {
	s, err := codec.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: derived schema: %w", t.Topic, err)
	}
	return s, nil
}

func (t Table) fields(columns []Column) (string, error) {
	used := map[string]bool{}
	names := map[string]string{}
	var out []string
	for _, c := range columns {
		name := c.Field()
		if other, dup := names[name]; dup {
			return "", fmt.Errorf("%s: columns %q and %q both become field %s", t.Topic, other, c.Name, name)
		}
		names[name] = c.Name
		typ, err := c.Type.avro(used)
		if err != nil {
			return "", fmt.Errorf("%s: column %s: %w", t.Topic, c.Name, err)
		}
		if c.Nullable {
			out = append(out, nullable(name, typ))
		} else {
			out = append(out, field(name, typ))
		}
	}
	return strings.Join(out, ","), nil
}

// snapshotSchema is Debezium's enum of where a record stands in a snapshot.
const snapshotSchema = `[{"type":"string","connect.version":1,` +
	`"connect.parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},` +
	`"connect.default":"false","connect.name":"io.debezium.data.Enum"},"null"]`

var sourceSchema = `{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[` +
	strings.Join([]string{
		field("version", `"string"`),
		field("connector", `"string"`),
		field("name", `"string"`),
		field("ts_ms", `"long"`),
		`{"name":"snapshot","type":` + snapshotSchema + `,"default":"false"}`,
		field("db", `"string"`),
		nullable("sequence", `"string"`),
		nullable("ts_us", `"long"`),
		nullable("ts_ns", `"long"`),
		field("schema", `"string"`),
		field("table", `"string"`),
		nullable("txId", `"long"`),
		nullable("lsn", `"long"`),
		nullable("xmin", `"long"`),
		nullable("origin", `"string"`),
		nullable("origin_lsn", `"long"`),
	}, ",") +
	`],"connect.version":1,"connect.name":"io.debezium.connector.postgresql.Source"}`

var transactionSchema = `{"type":"record","name":"block","namespace":"event","fields":[` +
	field("id", `"string"`) + "," + field("total_order", `"long"`) + "," + field("data_collection_order", `"long"`) +
	`],"connect.version":1,"connect.name":"event.block"}`

func record(name, namespace, fields string, version int) string {
	text := `{"type":"record","name":` + quote(name) + `,"namespace":` + quote(namespace) + `,"fields":[` + fields + `]`
	if version > 0 {
		text += fmt.Sprintf(`,"connect.version":%d`, version)
	}
	return text + `,"connect.name":` + quote(namespace+"."+name) + `}`
}

func field(name, typ string) string { return `{"name":` + quote(name) + `,"type":` + typ + `}` }

func nullable(name, typ string) string {
	return `{"name":` + quote(name) + `,"type":["null",` + typ + `],"default":null}`
}

// recordNamespace makes an Avro namespace of a topic name.
func recordNamespace(topic string) string {
	parts := strings.Split(topic, ".")
	for i, p := range parts {
		parts[i] = sanitize(p)
	}
	return strings.Join(parts, ".")
}

// sanitize makes an Avro name of s as Debezium does: what Avro does not allow
// becomes an underscore.
func sanitize(s string) string {
	var b strings.Builder
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		digit := '0' <= r && r <= '9'
		switch {
		case letter || digit && i > 0:
			b.WriteRune(r)
		case digit:
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
