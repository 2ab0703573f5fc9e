package debezium_test

import (
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/debezium"
)

var customers = debezium.Table{
	Topic: "cdc.order.public.customers",
	Columns: []debezium.Column{
		{Name: "customer_id", Type: debezium.Type{Kind: debezium.UUID}},
		{Name: "name", Type: debezium.Type{Kind: debezium.Text}},
		{Name: "updated_at", Type: debezium.Type{Kind: debezium.TimestampTZ}, Nullable: true},
	},
	Key: []string{"customer_id"},
}

// column is a column of a table of every kind, the value to encode, and what
// it is when decoded where that is not the same.
type column struct {
	name    string
	typ     debezium.Type
	value   any
	decoded any
}

var everyKind = []column{
	{"a_bool", debezium.Type{Kind: debezium.Bool}, true, nil},
	{"an_int2", debezium.Type{Kind: debezium.Int2}, int32(-32768), nil},
	{"an_int4", debezium.Type{Kind: debezium.Int4}, int32(-1 << 31), nil},
	{"an_int8", debezium.Type{Kind: debezium.Int8}, int64(-1 << 63), nil},
	{"an_oid", debezium.Type{Kind: debezium.OID}, int64(1<<32 - 1), nil},
	{"a_float4", debezium.Type{Kind: debezium.Float4}, float32(0.5), nil},
	{"a_float8", debezium.Type{Kind: debezium.Float8}, 0.1, nil},
	{"a_numeric", debezium.Type{Kind: debezium.Numeric, Precision: 10, Scale: 2}, "-12345678.90", big.NewRat(-1234567890, 100)},
	{"a_negative_scale", debezium.Type{Kind: debezium.Numeric, Precision: 3, Scale: -2}, []byte{1}, nil},
	{"a_money", debezium.Type{Kind: debezium.Money}, big.NewRat(199, 100), nil},
	{"bits", debezium.Type{Kind: debezium.Bits, Length: 10}, []byte{3, 1}, nil},
	{"varbits", debezium.Type{Kind: debezium.Bits}, []byte{}, nil},
	{"a_text", debezium.Type{Kind: debezium.Text}, "Grüße 🦘", nil},
	{"an_xml", debezium.Type{Kind: debezium.XML}, "<a/>", nil},
	{"an_ltree", debezium.Type{Kind: debezium.LTree}, "a.b", nil},
	{"a_tsvector", debezium.Type{Kind: debezium.TSVector}, "'a':1", nil},
	{"a_uuid", debezium.Type{Kind: debezium.UUID}, "0198c0de-0000-7000-8000-000000000001", nil},
	{"a_json", debezium.Type{Kind: debezium.JSON}, `{"a": 1e400}`, nil},
	{"a_bytea", debezium.Type{Kind: debezium.Bytea}, []byte{0, 255}, nil},
	{"a_date", debezium.Type{Kind: debezium.Date}, int32(-719893), nil},
	{"a_time3", debezium.Type{Kind: debezium.Time, Precision: 3}, int32(86400000), nil},
	{"a_time", debezium.Type{Kind: debezium.Time, Precision: -1}, int64(86400000000), nil},
	{"a_timetz", debezium.Type{Kind: debezium.TimeTZ}, "10:15:30Z", nil},
	{"a_timestamp0", debezium.Type{Kind: debezium.Timestamp}, int64(-1), nil},
	{"a_timestamp", debezium.Type{Kind: debezium.Timestamp, Precision: 6}, int64(1 << 60), nil},
	{"a_timestamptz", debezium.Type{Kind: debezium.TimestampTZ}, "2026-01-02T03:04:05.678901Z", nil},
	{"an_interval", debezium.Type{Kind: debezium.Interval}, int64(2629800000000), nil},
	{"an_enum", debezium.Type{Kind: debezium.Enum, Labels: []string{"a", "b c"}}, "b c", nil},
	{"an_array", debezium.Type{Kind: debezium.Array, Elem: &debezium.Type{Kind: debezium.Int4}}, []any{int32(1), nil}, nil},
	{"strange name-1", debezium.Type{Kind: debezium.Text}, "x", nil},
}

func TestCustomersSchema(t *testing.T) {
	value, err := customers.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "customers-value.golden", value.String())
	key, err := customers.KeySchema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "customers-key.golden", key.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	// One attribute a line: the text itself is a single line.
	got = strings.ReplaceAll(got, `},{"name"`, "},\n{\"name\"") + "\n"
	file := filepath.Join("testdata", name)
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s changed; look at it and run with REWRITE=1 (-want +got):\n%s", name, diff)
	}
}

func kindsTable(nullable bool) (debezium.Table, map[string]any, map[string]any) {
	table := debezium.Table{Topic: "cdc.test.public.kinds"}
	in, out := map[string]any{}, map[string]any{}
	for _, k := range everyKind {
		c := debezium.Column{Name: k.name, Type: k.typ, Nullable: nullable}
		table.Columns = append(table.Columns, c)
		in[c.Field()] = k.value
		out[c.Field()] = k.value
		if k.decoded != nil {
			out[c.Field()] = k.decoded
		}
	}
	for _, name := range []string{"n1", "n2"} {
		table.Columns = append(table.Columns, debezium.Column{Name: name, Type: debezium.Type{Kind: debezium.NumericAny}, Nullable: nullable})
		v, err := debezium.VariableScale("-1.50")
		if err != nil {
			panic(err)
		}
		in[name], out[name] = v, v
	}
	return table, in, out
}

func TestEveryKind(t *testing.T) {
	table, _, _ := kindsTable(false)
	s, err := table.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "kinds-value.golden", s.String())
	for _, nullable := range []bool{false, true} {
		table, in, want := kindsTable(nullable)
		s, err := table.ValueSchema()
		if err != nil {
			t.Fatal(err)
		}
		env := &debezium.Envelope{Op: debezium.Update, Before: in, After: in, At: time.UnixMicro(1).UTC()}
		got := roundTrip(t, s, env)
		rats := cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })
		for name := range want {
			if diff := cmp.Diff(want[name], got.After[name], rats); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if diff := cmp.Diff(want[name], got.Before[name], rats); diff != "" {
				t.Errorf("before %s (-want +got):\n%s", name, diff)
			}
		}
		if nullable {
			nulls := map[string]any{}
			for name := range want {
				nulls[name] = nil
			}
			got := roundTrip(t, s, &debezium.Envelope{Op: debezium.Create, After: nulls})
			if diff := cmp.Diff(nulls, got.After); diff != "" {
				t.Errorf("nulls (-want +got):\n%s", diff)
			}
		}
	}
}

func roundTrip(t *testing.T, s *codec.Schema, e *debezium.Envelope) *debezium.Envelope {
	t.Helper()
	b, err := s.AppendEncode(nil, e.Record())
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := s.Decode(b, &v); err != nil {
		t.Fatal(err)
	}
	got, err := debezium.DecodeEnvelope(v)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEnvelope(t *testing.T) {
	s, err := customers.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	rowA := map[string]any{"customer_id": "0198c0de-0000-7000-8000-000000000001", "name": "a", "updated_at": nil}
	rowB := map[string]any{"customer_id": "0198c0de-0000-7000-8000-000000000001", "name": "b", "updated_at": "2026-01-02T03:04:05.678901Z"}
	src := debezium.Source{
		Version: "0.1.0", Connector: "postgresql", Name: "cdc.order", At: time.Unix(1, 234567000).UTC(), Snapshot: "false",
		Database: "quokka_order", Schema: "public", Table: "customers",
	}
	full := src
	full.Snapshot, full.Sequence, full.TxID, full.LSN, full.Xmin, full.Origin, full.OriginLSN = "last", `["1","2"]`, 7, 1<<40, 5, "other", 9
	tests := []*debezium.Envelope{
		{Op: debezium.Read, After: rowA, Source: full},
		{Op: debezium.Create, After: rowA, Source: src, At: time.Unix(2, 3000).UTC()},
		{Op: debezium.Update, Before: rowA, After: rowB, Source: src, Transaction: &debezium.Transaction{ID: "7:8", TotalOrder: 2, DataCollectionOrder: 1}},
		{Op: debezium.Delete, Before: rowB, Source: src},
		{Op: debezium.Truncate, Source: src},
	}
	for _, want := range tests {
		got := roundTrip(t, s, want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Op, diff)
		}
	}
}

func TestKey(t *testing.T) {
	table := customers
	table.Key = []string{"name", "customer_id"}
	s, err := table.KeySchema()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range s.Root().Fields {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"name", "customer_id"}, names); diff != "" {
		t.Errorf("key order (-want +got):\n%s", diff)
	}
	table.Key = nil
	if _, err := table.KeySchema(); !errors.Is(err, debezium.ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
	table.Key = []string{"nope"}
	if _, err := table.KeySchema(); err == nil || !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("unknown key column: %v", err)
	}
}

func TestBadTables(t *testing.T) {
	text := debezium.Type{Kind: debezium.Text}
	tests := []struct {
		columns []debezium.Column
		want    string
	}{
		{[]debezium.Column{{Name: "a b", Type: text}, {Name: "a-b", Type: text}}, `columns "a b" and "a-b" both become field a_b`},
		{[]debezium.Column{{Name: "a"}}, "column a: unknown kind 0"},
		{[]debezium.Column{{Name: "a", Type: debezium.Type{Kind: debezium.Array}}}, "column a: array without element type"},
	}
	for _, tt := range tests {
		_, err := debezium.Table{Topic: "cdc.x.public.t", Columns: tt.columns}.ValueSchema()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// TestAddedColumn: a nullable column may come and go.
func TestAddedColumn(t *testing.T) {
	v2 := customers
	v2.Columns = append(v2.Columns[:len(v2.Columns):len(v2.Columns)], debezium.Column{Name: "email", Type: debezium.Type{Kind: debezium.Text}, Nullable: true})
	oldSchema, err := customers.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	newSchema, err := v2.ValueSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*codec.Schema{{oldSchema, newSchema}, {newSchema, oldSchema}} {
		if _, err := codec.Resolve(pair[0], pair[1]); err != nil {
			t.Error(err)
		}
	}
}

func TestNotAnEnvelope(t *testing.T) {
	tests := []any{
		nil, "text", map[string]any{}, map[string]any{"op": "x"}, map[string]any{"op": 1},
		map[string]any{"op": "c", "after": 5}, map[string]any{"op": "c", "source": map[string]any{"lsn": "high"}},
	}
	for _, v := range tests {
		if _, err := debezium.DecodeEnvelope(v); !errors.Is(err, debezium.ErrNotEnvelope) {
			t.Errorf("%v: %v", v, err)
		}
	}
	_, err := debezium.DecodeEnvelope(map[string]any{"op": "c", "source": map[string]any{"lsn": "high"}})
	if !strings.Contains(err.Error(), "source.lsn") {
		t.Errorf("the error does not name the field: %v", err)
	}
}

func TestVariableScale(t *testing.T) {
	for _, text := range []string{"0", "1", "-1", "127", "128", "-128", "-129", "255", "-256", "1.50", "-0.001", "123456789012345678901234567890.123"} {
		v, err := debezium.VariableScale(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := debezium.Decimal(v)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := new(big.Rat).SetString(text)
		if got.Cmp(want) != 0 {
			t.Errorf("%s came back as %s from % x", text, got, v["value"])
		}
	}
	bytes := map[string][]byte{"0": {0}, "128": {0, 128}, "-128": {128}, "-129": {0xff, 0x7f}, "-1": {0xff}}
	for text, want := range bytes {
		v, _ := debezium.VariableScale(text)
		if diff := cmp.Diff(want, v["value"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"NaN", "Infinity", "", "1e5"} {
		if _, err := debezium.VariableScale(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
