package rowavro

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

func base(oid uint32, name string) *PGType { return &PGType{OID: oid, Name: name, Kind: 'b'} }

func array(elem *PGType) *PGType {
	return &PGType{OID: 1, Name: "_" + elem.Name, Kind: 'b', Elem: elem, Delim: ','}
}

func numericMod(precision, scale int) int32 { return int32(precision<<16|scale&0x7ff) + 4 }

// column is a table of one column.
type column struct {
	table  *Table
	schema *codec.Schema
	array  bool
}

func newColumn(t testing.TB, typ *PGType, mod int32, dims int) column {
	t.Helper()
	described, f := Map(typ, mod, dims)
	table, err := NewTable("p.s.t", Source{Version: "1", Name: "p", Database: "d", Schema: "s", Table: "t"}, []Column{
		{Name: "v", Type: described, Append: f},
	})
	if err != nil {
		t.Fatal(err)
	}
	table.SetIDs(0, 7)
	return column{table, codec.MustParse(table.ValueSchema()), typ.Elem != nil}
}

// roundTrip writes a value, reads it back with the codec and returns what a
// reader gets.
func (c column) roundTrip(t *testing.T, text string) (any, *Event, error) {
	t.Helper()
	e := &Event{Op: debezium.Create, After: pgoutput.Tuple{{Kind: pgoutput.Text, Data: []byte(text)}}, CommitMicros: 1, NowMicros: 2}
	value, err := c.table.AppendValue(nil, e)
	if err != nil {
		return nil, e, err
	}
	var got any
	if err := c.schema.Decode(value[5:], &got); err != nil {
		t.Fatalf("the codec cannot read it: %v", err)
	}
	envelope, err := debezium.DecodeEnvelope(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.schema.AppendEncode(nil, envelope.Record())
	if err != nil {
		t.Fatalf("the codec cannot write it: %v", err)
	}
	// The codec writes the same bytes for the same values, but for arrays,
	// which Avro lets one cut into blocks.
	if !c.array && !bytes.Equal(again, value[5:]) {
		t.Errorf("the codec writes\n%x, we\n%x", again, value[5:])
	}
	return envelope.After["v"], e, nil
}

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

var (
	errWantNoForm = errors.New("no form")
	errWantSyntax = errors.New("syntax")
)

func TestValues(t *testing.T) {
	unsized := base(pgtype.NumericOID, "numeric")
	scaled := func(scale int32, hexBytes string) map[string]any {
		b, _ := hex.DecodeString(hexBytes)
		return map[string]any{"scale": scale, "value": b}
	}
	enum := &PGType{OID: 1, Name: "mood", Kind: 'e', Labels: []string{"sad", "happy"}}
	domain := &PGType{OID: 2, Name: "price", Kind: 'd', Base: unsized, BaseMod: numericMod(10, 2)}
	tests := []struct {
		name string
		typ  *PGType
		mod  int32
		text string
		want any // a value, errWantNoForm or errWantSyntax
	}{
		{"bool", base(pgtype.BoolOID, "bool"), -1, "t", true},
		{"bool", base(pgtype.BoolOID, "bool"), -1, "f", false},
		{"bool", base(pgtype.BoolOID, "bool"), -1, "true", errWantSyntax},
		{"int2", base(pgtype.Int2OID, "int2"), -1, "-32768", int32(-32768)},
		{"int2", base(pgtype.Int2OID, "int2"), -1, "32768", errWantSyntax},
		{"int4", base(pgtype.Int4OID, "int4"), -1, "2147483647", int32(2147483647)},
		{"int8", base(pgtype.Int8OID, "int8"), -1, "-9223372036854775808", int64(-9223372036854775808)},
		{"int8", base(pgtype.Int8OID, "int8"), -1, "", errWantSyntax},
		{"oid", base(pgtype.OIDOID, "oid"), -1, "4294967295", int64(4294967295)},
		{"float4", base(pgtype.Float4OID, "float4"), -1, "1.17549435e-38", float32(1.17549435e-38)},
		{"float8", base(pgtype.Float8OID, "float8"), -1, "-0", 0.0},
		{"float8", base(pgtype.Float8OID, "float8"), -1, "1.7976931348623157e+308", 1.7976931348623157e+308},
		{"numeric(10,2)", unsized, numericMod(10, 2), "-12345678.90", rat("-12345678.90")},
		{"numeric(38,10)", unsized, numericMod(38, 10), "1234567890123456789012345678.0123456789", rat("1234567890123456789012345678.0123456789")},
		{"numeric(5,-2)", unsized, numericMod(5, -2), "1234500", scaled(0, "12d644")},
		{"numeric(5,-2) zero", unsized, numericMod(5, -2), "0", scaled(0, "00")},
		{"numeric(3,5)", unsized, numericMod(3, 5), "0.00123", scaled(5, "7b")},
		{"numeric(5,2) NaN", unsized, numericMod(5, 2), "NaN", errWantNoForm},
		{"numeric(5,2) too precise", unsized, numericMod(5, 2), "1.234", errWantNoForm},
		{"numeric", unsized, -1, "-12.340", scaled(3, "cfcc")},
		{"numeric", unsized, -1, "0", scaled(0, "00")},
		{"numeric", unsized, -1, "128", scaled(0, "0080")},
		{"numeric", unsized, -1, "-128", scaled(0, "80")},
		{"numeric", unsized, -1, "-129", scaled(0, "ff7f")},
		{"numeric", unsized, -1, "9223372036854775808", scaled(0, "008000000000000000")},
		{"numeric", unsized, -1, "-9223372036854775808", scaled(0, "8000000000000000")},
		{"numeric", unsized, -1, "Infinity", errWantNoForm},
		{"numeric", unsized, -1, "-Infinity", errWantNoForm},
		{"numeric", unsized, -1, "1e5", errWantSyntax},
		{"money", base(oidMoney, "money"), -1, "-$92,233,720,368,547,758.08", rat("-92233720368547758.08")},
		{"bit(1)", base(oidBit, "bit"), 1, "1", true},
		{"bit(10)", base(oidBit, "bit"), 10, "1000000011", []byte{0x03, 0x02}},
		{"varbit", base(oidVarbit, "varbit"), -1, "", []byte{}},
		{"text", base(pgtype.TextOID, "text"), -1, "grüße 🦘", "grüße 🦘"},
		{"text", base(pgtype.TextOID, "text"), -1, "\xff", errWantSyntax},
		{"bpchar", base(pgtype.BPCharOID, "bpchar"), -1, "a  ", "a  "},
		{"uuid", base(pgtype.UUIDOID, "uuid"), -1, "0190a8e0-0000-7000-8000-000000000000", "0190a8e0-0000-7000-8000-000000000000"},
		{"jsonb", base(pgtype.JSONBOID, "jsonb"), -1, `{"a": 1e400}`, `{"a": 1e400}`},
		{"bytea", base(pgtype.ByteaOID, "bytea"), -1, `\x00ff`, []byte{0, 255}},
		{"bytea", base(pgtype.ByteaOID, "bytea"), -1, `\x`, []byte{}},
		{"bytea escape", base(pgtype.ByteaOID, "bytea"), -1, `\000`, errWantSyntax},
		{"date", base(pgtype.DateOID, "date"), -1, "1970-01-01", int32(0)},
		{"date", base(pgtype.DateOID, "date"), -1, "4714-11-24 BC", int32(-2440588)},
		{"date", base(pgtype.DateOID, "date"), -1, "5874897-12-31", int32(2145042905)},
		{"date", base(pgtype.DateOID, "date"), -1, "infinity", int32(2147483647)},
		{"date", base(pgtype.DateOID, "date"), -1, "-infinity", int32(-2147483648)},
		{"time(3)", base(pgtype.TimeOID, "time"), 3, "13:51:30.123", int32(49890123)},
		{"time", base(pgtype.TimeOID, "time"), -1, "13:51:30.123456", int64(49890123456)},
		{"time", base(pgtype.TimeOID, "time"), -1, "24:00:00", int64(86400000000)},
		{"timetz", base(pgtype.TimetzOID, "timetz"), -1, "13:51:30.5-02:30", "16:21:30.5Z"},
		{"timetz", base(pgtype.TimetzOID, "timetz"), -1, "00:30:00+01", "23:30:00Z"},
		{"timestamp(3)", base(pgtype.TimestampOID, "timestamp"), 3, "1969-12-31 23:59:59.999", int64(-1)},
		{"timestamp", base(pgtype.TimestampOID, "timestamp"), -1, "2026-01-02 03:04:05.678901", time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC).UnixMicro()},
		{"timestamp", base(pgtype.TimestampOID, "timestamp"), -1, "4714-11-24 00:00:00 BC", int64(-210866803200000000)},
		{"timestamp", base(pgtype.TimestampOID, "timestamp"), -1, "infinity", int64(9223372036825200000)},
		{"timestamp", base(pgtype.TimestampOID, "timestamp"), -1, "-infinity", int64(-9223372036832400000)},
		{"timestamp", base(pgtype.TimestampOID, "timestamp"), -1, "294276-12-31 23:59:59.999999", errWantNoForm},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "2026-01-02 03:04:05+00", "2026-01-02T03:04:05.000000Z"},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "2026-01-01 00:30:00.5+05:30", "2025-12-31T19:00:00.500000Z"},
		{"timestamptz(3)", base(pgtype.TimestamptzOID, "timestamptz"), 3, "2026-01-02 03:04:05.12+00", "2026-01-02T03:04:05.120Z"},
		{"timestamptz(0)", base(pgtype.TimestamptzOID, "timestamptz"), 0, "2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z"},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "0001-02-29 00:00:00+00 BC", "0000-02-29T00:00:00.000000Z"},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "4714-11-24 00:00:00+00 BC", "-4713-11-24T00:00:00.000000Z"},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999999Z"},
		{"timestamptz", base(pgtype.TimestamptzOID, "timestamptz"), -1, "-infinity", "-infinity"},
		{"interval", base(pgtype.IntervalOID, "interval"), -1, "1 year 2 mons 3 days 04:05:06.789", int64(14*2629800000000 + 3*86400000000 + 14706789000)},
		{"interval", base(pgtype.IntervalOID, "interval"), -1, "-1 mons +2 days -00:00:01", int64(-2629800000000 + 2*86400000000 - 1000000)},
		{"interval", base(pgtype.IntervalOID, "interval"), -1, "00:00:00", int64(0)},
		{"interval", base(pgtype.IntervalOID, "interval"), -1, "178000000 years", errWantNoForm},
		{"interval", base(pgtype.IntervalOID, "interval"), -1, "infinity", errWantNoForm},
		{"enum", enum, -1, "happy", "happy"},
		{"domain", domain, -1, "1.50", rat("1.50")},
		{"hstore", base(99999, "hstore"), -1, `"a"=>"1 \"x\"", "b"=>NULL`, `{"a":"1 \"x\"","b":null}`},
		{"hstore", base(99999, "hstore"), -1, ``, `{}`},
		{"int4[]", array(base(pgtype.Int4OID, "int4")), -1, "{1,NULL,-3}", []any{int32(1), nil, int32(-3)}},
		{"int4[]", array(base(pgtype.Int4OID, "int4")), -1, "{}", []any{}},
		{"int4[]", array(base(pgtype.Int4OID, "int4")), -1, "[0:1]={7,8}", []any{int32(7), int32(8)}},
		{"int4[]", array(base(pgtype.Int4OID, "int4")), -1, "{{1,2},{3,4}}", errWantNoForm},
		{"text[]", array(base(pgtype.TextOID, "text")), -1, `{a,"b,\"c\"","NULL",NULL,"",\\x}`, []any{"a", `b,"c"`, "NULL", nil, "", `\\x`}},
		{"numeric[]", array(unsized), numericMod(4, 1), "{1.5,NULL}", []any{rat("1.5"), nil}},
		{"numeric[] NaN", array(unsized), numericMod(4, 1), "{1.5,NaN}", errWantNoForm},
		{"inet", base(pgtype.InetOID, "inet"), -1, "10.0.0.1/8", "10.0.0.1/8"},
		{"range", &PGType{OID: pgtype.Int4rangeOID, Name: "int4range", Kind: 'r'}, -1, "[1,3)", "[1,3)"},
		{"composite", &PGType{OID: 5, Name: "pair", Kind: 'c'}, -1, "(1,x)", "(1,x)"},
		{"vector", base(99998, "vector"), -1, "[1,2,3]", "[1,2,3]"},
		{"unknown", nil, -1, "x", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.text, func(t *testing.T) {
			if tt.typ == nil {
				tt.typ = &PGType{Kind: 'p'}
			}
			got, e, err := newColumn(t, tt.typ, tt.mod, 1).roundTrip(t, tt.text)
			switch tt.want {
			case errWantSyntax:
				if v, ok := errors.AsType[*ValueError](err); !ok || v.Column != "v" {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			case errWantNoForm:
				if err != nil || got != nil || len(e.Unrepresentable) != 1 {
					t.Fatalf("got %v, %v, noted %v", got, err, e.Unrepresentable)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}

// TestDeclaredDimensions: a column declared int[][] cannot be Avro's array.
func TestDeclaredDimensions(t *testing.T) {
	got, _, err := newColumn(t, array(base(pgtype.Int4OID, "int4")), -1, 2).roundTrip(t, "{{1,2},{3,4}}")
	if err != nil || got != "{{1,2},{3,4}}" {
		t.Errorf("got %v, %v", got, err)
	}
}

func tuple(data ...string) pgoutput.Tuple {
	var out pgoutput.Tuple
	for _, d := range data {
		switch d {
		case "<null>":
			out = append(out, pgoutput.Datum{Kind: pgoutput.Null})
		case "<unchanged>":
			out = append(out, pgoutput.Datum{Kind: pgoutput.Unchanged})
		default:
			out = append(out, pgoutput.Datum{Kind: pgoutput.Text, Data: []byte(d)})
		}
	}
	return out
}

func TestEnvelope(t *testing.T) {
	text, appendText := Map(base(pgtype.TextOID, "text"), -1, 0)
	number, appendNumber := Map(base(pgtype.Int8OID, "int8"), -1, 0)
	table, err := NewTable("cdc.shop.public.big items", Source{Version: "0.1", Name: "cdc.shop", Database: "shop", Schema: "public", Table: "big items"}, []Column{
		{Name: "name", Type: text, Append: appendText},
		{Name: "id", Type: number, Append: appendNumber, Key: true},
		{Name: "full text", Type: text, Append: appendText},
	})
	if err != nil {
		t.Fatal(err)
	}
	table.SetIDs(258, 1<<24)

	key, err := table.AppendKey([]byte("x"), tuple("a", "-1", "<unchanged>"))
	if want := "x\x00\x00\x00\x01\x02\x01"; err != nil || string(key) != want {
		t.Errorf("key %q, %v", key, err)
	}
	e := &Event{
		Op: debezium.Update, Before: tuple("<null>", "5", "<null>"), After: tuple("<null>", "6", "<unchanged>"),
		CommitMicros: 1767323045678901, NowMicros: 1767323045999000,
		Sequence: []byte(`["1","2"]`), TxID: 77, LSN: 1 << 40, Origin: "elsewhere", OriginLSN: 9,
	}
	value, err := table.AppendValue(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(value), "\x00\x01\x00\x00\x00") {
		t.Errorf("starts with % x", value[:5])
	}
	var decoded any
	if err := codec.MustParse(table.ValueSchema()).Decode(value[5:], &decoded); err != nil {
		t.Fatal(err)
	}
	got, err := debezium.DecodeEnvelope(decoded)
	if err != nil {
		t.Fatal(err)
	}
	want := &debezium.Envelope{
		Before: map[string]any{"name": nil, "id": int64(5), "full_text": nil},
		After:  map[string]any{"name": nil, "id": int64(6), "full_text": nil},
		Op:     debezium.Update, At: time.UnixMicro(1767323045999000).UTC(),
		Source: debezium.Source{
			Version: "0.1", Connector: "postgresql", Name: "cdc.shop", At: time.UnixMicro(1767323045678901).UTC(), Snapshot: "false",
			Database: "shop", Schema: "public", Table: "big items", Sequence: `["1","2"]`, TxID: 77, LSN: 1 << 40, Origin: "elsewhere", OriginLSN: 9,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if len(e.Unavailable) != 1 || table.Field(e.Unavailable[0]) != "full_text" {
		t.Errorf("unavailable: %v", e.Unavailable)
	}

	for name, row := range map[string]pgoutput.Tuple{"null key": tuple("a", "<null>", "b"), "unsent key": tuple("a", "<unchanged>", "b"), "too short": tuple("a")} {
		if _, err := table.AppendKey(nil, row); err == nil {
			t.Errorf("%s: no error from AppendKey", name)
		}
		if _, err := table.AppendValue(nil, &Event{Op: debezium.Create, After: row}); err == nil {
			t.Errorf("%s: no error from AppendValue", name)
		}
	}
}

func FuzzAppend(f *testing.F) {
	types := []*PGType{
		base(pgtype.NumericOID, "numeric"), base(pgtype.TimestamptzOID, "timestamptz"), base(pgtype.TimestampOID, "timestamp"),
		base(pgtype.DateOID, "date"), base(pgtype.IntervalOID, "interval"), base(pgtype.TimetzOID, "timetz"), base(99999, "hstore"),
		array(base(pgtype.TextOID, "text")), array(base(pgtype.NumericOID, "numeric")), base(oidMoney, "money"), base(pgtype.ByteaOID, "bytea"),
		base(oidBit, "bit"),
	}
	var columns []column
	for _, typ := range types {
		for _, mod := range []int32{-1, 3, numericMod(5, 2)} {
			columns = append(columns, newColumn(f, typ, mod, 1))
		}
	}
	for _, seed := range []string{"-12.5", "2026-01-02 03:04:05.6+00 BC", "1 year -00:00:01", `{a,"b\"",NULL}`, `"a"=>"b"`, "$1.00", `\x00`, "{", `{"`, "[0:1]={1}", "+", "1 ", "{,}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range columns {
			if _, _, err := c.roundTrip(t, text); err != nil {
				if _, ok := errors.AsType[*ValueError](err); !ok {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
	})
}
