package debezium

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is a kind of PostgreSQL type, as far as it decides the Avro type.
type Kind uint8

// The kinds, each with the Go value that a column of it takes when encoded and
// has when decoded generically. Where Debezium would drop a type it does not
// know, Text carries PostgreSQL's own text.
const (
	// Invalid is the zero Kind; a column must have another.
	Invalid Kind = iota
	// Bool is boolean and bit(1): bool.
	Bool
	// Int2 is smallint: int32, Connect type int16.
	Int2
	// Int4 is integer: int32.
	Int4
	// Int8 is bigint: int64.
	Int8
	// OID is oid: int64.
	OID
	// Float4 is real: float32.
	Float4
	// Float8 is double precision: float64.
	Float8
	// Numeric is numeric(p,s), with Precision and Scale: *big.Rat or, when
	// encoding, its text. NaN and infinities have no form here: null them.
	Numeric
	// NumericAny is numeric without precision: the record of VariableScale.
	NumericAny
	// Money is money: as Numeric with two decimals.
	Money
	// Bits is bit(n) and bit varying(n), with Length (0 = unbounded): []byte,
	// little-endian, as Debezium has it.
	Bits
	// Text is text, varchar, bpchar, citext, inet, cidr, macaddr, ranges and
	// every type without a kind of its own: string.
	Text
	// XML is xml: string.
	XML
	// LTree is ltree: string.
	LTree
	// TSVector is tsvector: string.
	TSVector
	// UUID is uuid: string.
	UUID
	// JSON is json, jsonb and hstore (as a JSON object): string.
	JSON
	// Bytea is bytea: []byte.
	Bytea
	// Date is date: int32, days since 1970-01-01.
	Date
	// Time is time with Precision 0 to 3: int32, milliseconds since midnight;
	// with any other: int64, microseconds.
	Time
	// TimeTZ is time with time zone: string, in UTC, like 10:15:30Z.
	TimeTZ
	// Timestamp is timestamp with Precision 0 to 3: int64, milliseconds since
	// 1970 as if in UTC; with any other: int64, microseconds.
	Timestamp
	// TimestampTZ is timestamp with time zone: string, in UTC, like
	// 2026-01-02T03:04:05.678901Z (see ZonedTimestamp).
	TimestampTZ
	// Interval is interval: int64, microseconds, a month being 30.4375 days.
	Interval
	// Enum is an enum type, with Labels: string.
	Enum
	// Array is an array, with Elem: []any, nil for null elements. Dimensions
	// beyond the first have no form here: describe such columns as Text.
	Array
)

// Type is a column's type.
type Type struct {
	Kind Kind
	// Precision of Numeric, and of Time and Timestamp where declared: those
	// without a declared precision have 6, which is what -1 stands for.
	Precision int
	// Scale of Numeric; PostgreSQL allows it to be negative or to exceed the
	// precision.
	Scale int
	// Length of Bits.
	Length int
	// Labels of Enum, in order.
	Labels []string
	// Elem is the element of Array.
	Elem *Type
}

// Column is a column of a captured table.
type Column struct {
	// Name is the column's name in the database.
	Name string
	// Type is its type, a domain's being its base type.
	Type Type
	// Nullable is false for NOT NULL. A column added to a table whose old rows
	// remain on the topic must be nullable, else the registry refuses the new
	// schema: old rows have no value for it.
	Nullable bool
}

// Field returns the column's name in the schemas: other characters than Avro
// allows become underscores.
func (c Column) Field() string { return sanitize(c.Name) }

// connect is a Connect schema's annotations in the order in which Confluent's
// converter writes them.
type connect struct {
	base    string // Avro type
	attrs   string // attributes that precede Connect's
	version int
	params  [][2]string
	name    string
	connect string // connect.type
	logical string
}

func (c connect) String() string {
	var b strings.Builder
	b.WriteString(`{"type":` + quote(c.base) + c.attrs)
	if c.version > 0 {
		b.WriteString(`,"connect.version":` + strconv.Itoa(c.version))
	}
	if len(c.params) > 0 {
		b.WriteString(`,"connect.parameters":{`)
		for i, p := range c.params {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(quote(p[0]) + ":" + quote(p[1]))
		}
		b.WriteString("}")
	}
	if c.name != "" {
		b.WriteString(`,"connect.name":` + quote(c.name))
	}
	if c.connect != "" {
		b.WriteString(`,"connect.type":` + quote(c.connect))
	}
	if c.logical != "" {
		b.WriteString(`,"logicalType":` + quote(c.logical))
	}
	b.WriteString("}")
	return b.String()
}

// avro returns the Avro type of a value of t, not null. A record type is
// defined where it is first used, which used remembers.
func (t Type) avro(used map[string]bool) (string, error) {
	switch t.Kind {
	case Bool:
		return `"boolean"`, nil
	case Int2:
		return connect{base: "int", connect: "int16"}.String(), nil
	case Int4:
		return `"int"`, nil
	case Int8, OID:
		return `"long"`, nil
	case Float4:
		return `"float"`, nil
	case Float8:
		return `"double"`, nil
	case Numeric:
		return decimal(t.Precision, t.Scale, [][2]string{{"scale", strconv.Itoa(t.Scale)}, {"connect.decimal.precision", strconv.Itoa(t.Precision)}}), nil
	case Money:
		return decimal(64, 2, [][2]string{{"scale", "2"}}), nil
	case NumericAny:
		return variableScale(used), nil
	case Bits:
		length := t.Length
		if length == 0 {
			length = 1<<31 - 1
		}
		return connect{base: "bytes", version: 1, params: [][2]string{{"length", strconv.Itoa(length)}}, name: "io.debezium.data.Bits"}.String(), nil
	case Text:
		return `"string"`, nil
	case Bytea:
		return `"bytes"`, nil
	case Enum:
		return connect{base: "string", version: 1, params: [][2]string{{"allowed", strings.Join(t.Labels, ",")}}, name: "io.debezium.data.Enum"}.String(), nil
	case Array:
		if t.Elem == nil {
			return "", fmt.Errorf("array without element type")
		}
		elem, err := t.Elem.avro(used)
		if err != nil {
			return "", err
		}
		return `{"type":"array","items":["null",` + elem + `]}`, nil
	}
	if c, ok := t.semantic(); ok {
		return c.String(), nil
	}
	return "", fmt.Errorf("unknown kind %d", t.Kind)
}

// semantic returns the types that are a primitive with a Debezium name.
func (t Type) semantic() (connect, bool) {
	millis := t.Precision >= 0 && t.Precision <= 3
	var c connect
	switch {
	case t.Kind == XML:
		c = connect{base: "string", name: "io.debezium.data.Xml"}
	case t.Kind == LTree:
		c = connect{base: "string", name: "io.debezium.data.Ltree"}
	case t.Kind == TSVector:
		c = connect{base: "string", name: "io.debezium.data.TsVector"}
	case t.Kind == UUID:
		c = connect{base: "string", name: "io.debezium.data.Uuid"}
	case t.Kind == JSON:
		c = connect{base: "string", name: "io.debezium.data.Json"}
	case t.Kind == Date:
		c = connect{base: "int", name: "io.debezium.time.Date"}
	case t.Kind == Time && millis:
		c = connect{base: "int", name: "io.debezium.time.Time"}
	case t.Kind == Time:
		c = connect{base: "long", name: "io.debezium.time.MicroTime"}
	case t.Kind == TimeTZ:
		c = connect{base: "string", name: "io.debezium.time.ZonedTime"}
	case t.Kind == Timestamp && millis:
		c = connect{base: "long", name: "io.debezium.time.Timestamp"}
	case t.Kind == Timestamp:
		c = connect{base: "long", name: "io.debezium.time.MicroTimestamp"}
	case t.Kind == TimestampTZ:
		c = connect{base: "string", name: "io.debezium.time.ZonedTimestamp"}
	case t.Kind == Interval:
		c = connect{base: "long", name: "io.debezium.time.MicroDuration"}
	default:
		return connect{}, false
	}
	c.version = 1
	return c, true
}

// decimal returns Connect's Decimal. Avro's own decimal cannot have a negative
// scale or one above the precision; such a type is plain bytes to Avro and a
// Decimal to Connect, by its parameters.
func decimal(precision, scale int, params [][2]string) string {
	c := connect{base: "bytes", version: 1, params: params, name: "org.apache.kafka.connect.data.Decimal", logical: "decimal"}
	c.attrs = fmt.Sprintf(`,"scale":%d,"precision":%d`, scale, precision)
	return c.String()
}

// variableScale returns Debezium's record for numerics of any scale.
func variableScale(used map[string]bool) string {
	const full = "io.debezium.data.VariableScaleDecimal"
	if used[full] {
		return quote(full)
	}
	used[full] = true
	return `{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data",` +
		`"fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}],` +
		`"connect.doc":"Variable scaled decimal","connect.version":1,"connect.name":"` + full + `"}`
}
