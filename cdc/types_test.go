package cdc

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/schemas/debezium"
)

// TestTypes: values at the edges of their types, read by the snapshot and by the
// stream, from a database whose settings all differ from ours. Both give the
// same bytes, and readers get the same values.
func TestTypes(t *testing.T) {
	rat := func(s string) *big.Rat {
		r, _ := new(big.Rat).SetString(s)
		return r
	}
	unrepresentable := struct{ string }{"null, and named in a header"}
	columns := []struct {
		typ, literal string
		want         any
	}{
		{"int2", "-32768", int32(-32768)},
		{"int4", "2147483647", int32(math.MaxInt32)},
		{"int8", "-9223372036854775808", int64(math.MinInt64)},
		{"oid", "4294967295", int64(math.MaxUint32)},
		{"float4", "'1.17549435e-38'", float32(1.17549435e-38)},
		{"float8", "0.1::float8 + 0.2", 0.30000000000000004},
		{"float8", "'-infinity'", math.Inf(-1)},
		{"numeric(10,2)", "-12345678.9", rat("-12345678.90")},
		{"numeric(10,2)", "'NaN'", unrepresentable},
		{"numeric(38,0)", "99999999999999999999999999999999999999", rat("99999999999999999999999999999999999999")},
		{"numeric", "'infinity'", unrepresentable},
		{"numeric", "123456789012345678901234567890.1234567890", nil},
		{"numeric(5,-2)", "1234567", nil},
		{"money", "-12.34", rat("-12.34")},
		{"bool", "true", true},
		{"bit(1)", "B'1'", true},
		{"bit(9)", "B'100000011'", []byte{3, 1}},
		{"varbit", "B''", []byte{}},
		{"text", "E'tab\\t nl\\n cr\\r backslash \\\\ quote'' \\\\N \U0001F998'", "tab\t nl\n cr\r backslash \\ quote' \\N 🦘"},
		{"text", "''", ""},
		{"text", "E'\\\\N'", `\N`},
		{"varchar(5)", "'ab'", "ab"},
		{"char(5)", "'ab'", "ab   "},
		{"name", "'n'", "n"},
		{"uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"json", `'{"a" : 1e400, "a": 2}'`, `{"a" : 1e400, "a": 2}`},
		{"jsonb", `'{"b": "\u00e9", "a": [1.0]}'`, `{"a": [1.0], "b": "é"}`},
		{"xml", "'<a>x</a>'", "<a>x</a>"},
		{"bytea", `'\x0001ff5c'`, []byte{0, 1, 255, 92}},
		{"date", "'2026-11-23'", int32(20780)},
		{"date", "'4713-01-01 BC'", nil},
		{"date", "'5874897-12-31'", int32(2145042905)},
		{"date", "'infinity'", int32(math.MaxInt32)},
		{"time", "'24:00'", int64(86400000000)},
		{"time(3)", "'13:51:30.1236'", int32(49890124)},
		{"timetz", "'01:02:03.456+05:30'", "19:32:03.456Z"},
		{"timestamp", "'1969-12-31 23:59:59.999999'", int64(-1)},
		{"timestamp(3)", "'2026-01-02 03:04:05.678'", int64(1767323045678)},
		{"timestamp", "'294276-12-31 23:59:59.999999'", unrepresentable},
		{"timestamp", "'-infinity'", int64(-9223372036832400000)},
		{"timestamptz", "'2026-01-02 03:04:05.6789+05:30'", "2026-01-01T21:34:05.678900Z"},
		{"timestamptz", "'4714-11-24 00:00:00+00 BC'", "-4713-11-24T00:00:00.000000Z"},
		{"timestamptz", "'infinity'", "infinity"},
		{"interval", "'1 year -2 months 3 days -04:05:06.789'", int64(10*2629800000000 + 3*86400000000 - 14706789000)},
		{"mood", "'happy'", "happy"},
		{"positive", "1.5", rat("1.50")},
		{"int4[]", "'{1,NULL,-3}'", []any{int32(1), nil, int32(-3)}},
		{"int4[]", "'[0:1]={5,6}'", []any{int32(5), int32(6)}},
		{"int4[]", "'{{1,2},{3,4}}'", unrepresentable},
		{"int4[][]", "'{{1,2},{3,4}}'", "{{1,2},{3,4}}"},
		{"text[]", `ARRAY['a,b', '', 'NULL', NULL, 'q"\', E'\n']`, []any{"a,b", "", "NULL", nil, `q"\`, "\n"}},
		{"mood[]", "'{sad,happy}'", []any{"sad", "happy"}},
		{"timestamptz[]", "ARRAY['2026-01-02 03:04:05+00'::timestamptz]", []any{"2026-01-02T03:04:05.000000Z"}},
		{"int4range", "'[1,5)'", "[1,5)"},
		{"tstzrange", "'[2026-01-01 00:00+00,infinity]'", `["2026-01-01 00:00:00+00",infinity]`},
		{"int4multirange", "'{[1,3),[5,7)}'", "{[1,3),[5,7)}"},
		{"inet", "'10.1.2.3/8'", "10.1.2.3/8"},
		{"cidr", "'2001:db8::/32'", "2001:db8::/32"},
		{"macaddr", "'08-00-2b-01-02-03'", "08:00:2b:01:02:03"},
		{"point", "'(1.5,-2)'", "(1.5,-2)"},
		{"box", "'(0,0),(1,1)'", "(1,1),(0,0)"},
		{"pair", "ROW(1, 'a b')", `(1,"a b")`},
		{"regclass", "'items'", "public.items"},
		{"tsvector", "'fat cat'", "'cat' 'fat'"},
		{"pg_lsn", "'0/16B3748'", "0/16B3748"},
		{"int2vector", "'1 2'", "1 2"},
	}
	var definition, values []string
	for i, c := range columns {
		definition = append(definition, fmt.Sprintf("c%d %s", i, c.typ))
		values = append(values, c.literal)
	}
	insert := "INSERT INTO items VALUES (1, " + strings.Join(values, ", ") + ")"
	b := newBed(t, "CREATE TYPE mood AS ENUM ('sad', 'happy')", "CREATE DOMAIN positive AS numeric(10,2) CHECK (VALUE > 0)", "CREATE TYPE pair AS (a int, b text)",
		"CREATE TABLE items (id int PRIMARY KEY, "+strings.Join(definition, ", ")+")", insert)
	for setting, value := range map[string]string{
		"TimeZone": "Asia/Kolkata", "DateStyle": "German, DMY", "IntervalStyle": "iso_8601", "bytea_output": "escape", "extra_float_digits": "0",
	} {
		b.exec(fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", b.database, setting, value))
	}
	r := b.start()
	r.is(Streaming)
	b.exec("DELETE FROM items", insert)
	b.caughtUp()

	var read, created record
	for _, r := range b.records("items") {
		switch {
		case r.envelope == nil:
		case r.envelope.Op == debezium.Read:
			read = r
		case r.envelope.Op == debezium.Create:
			created = r
		}
	}
	if read.envelope == nil || created.envelope == nil {
		t.Fatal("one of the two is missing")
	}
	// Both begin with the row, up to the envelope's source.
	rowOf := func(r record) []byte {
		row, _, found := bytes.Cut(r.rawValue, []byte("\x0a"+Version+"\x14postgresql"))
		if !found {
			t.Fatalf("no source in %q", r.rawValue)
		}
		return row
	}
	if !bytes.Equal(rowOf(read), rowOf(created)) {
		t.Errorf("snapshot and stream differ:\n%s", cmp.Diff(read.envelope.After, created.envelope.After))
	}
	var noForm []string
	for i, c := range columns {
		name := fmt.Sprintf("c%d", i)
		got := created.envelope.After[name]
		switch want := c.want.(type) {
		case nil:
			if got == nil {
				t.Errorf("%s %s is null", c.typ, c.literal)
			}
			if m, ok := got.(map[string]any); ok {
				r, err := debezium.Decimal(m)
				if plain := strings.Trim(c.literal, "'"); err != nil || r.Cmp(rat(plain)) != 0 && c.typ == "numeric" {
					t.Errorf("%s %s: got %v, %v", c.typ, c.literal, r, err)
				}
			}
		case struct{ string }:
			noForm = append(noForm, name)
			if got != nil {
				t.Errorf("%s %s: got %v", c.typ, c.literal, got)
			}
		default:
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })); diff != "" {
				t.Errorf("%s %s: want - got +\n%s", c.typ, c.literal, diff)
			}
		}
	}
	for _, r := range []record{read, created} {
		if got, want := r.headers[HeaderUnrepresentable], strings.Join(noForm, ","); got != want {
			t.Errorf("%s: without a form are %s, want %s", r.envelope.Op, got, want)
		}
	}
}

// TestExtensions: types of extensions, where they are installed.
func TestExtensions(t *testing.T) {
	b := newBed(t)
	for _, tt := range []struct {
		extension, typ, literal string
		want                    any
	}{
		{"hstore", "hstore", `'a=>1, b=>NULL'`, `{"a":"1","b":null}`},
		{"citext", "citext", "'MiXed'", "MiXed"},
		{"ltree", "ltree", "'a.b'", "a.b"},
	} {
		if !scan[bool](b, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)", tt.extension) {
			t.Logf("not run: %s is not installed", tt.extension)
			continue
		}
		b.exec("CREATE EXTENSION "+tt.extension, fmt.Sprintf("CREATE TABLE with_%s (id int PRIMARY KEY, v %s)", tt.extension, tt.typ),
			fmt.Sprintf("INSERT INTO with_%s VALUES (1, %s)", tt.extension, tt.literal))
		defer func() {
			for _, r := range b.records("with_" + tt.extension) {
				if got := r.envelope.After["v"]; got != tt.want {
					t.Errorf("%s: got %v, want %v", tt.typ, got, tt.want)
				}
			}
		}()
	}
	b.start().is(Streaming)
	b.caughtUp()
}

// TestNotUTF8: text in a database without an encoding that is not UTF-8 stops
// its table: it is neither skipped nor changed.
func TestNotUTF8(t *testing.T) {
	b := newBed(t)
	name := b.database + "_ascii"
	b.exec("CREATE DATABASE " + name + " ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	ascii := newBedOn(t, strings.Replace(b.url, "/"+b.database, "/"+name, 1), "CREATE TABLE items (id int PRIMARY KEY, v text)", "CREATE TABLE others (id bigint PRIMARY KEY)")
	t.Cleanup(func() { _, _ = b.sql.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)") })
	r := ascii.start()
	r.is(Streaming)
	ascii.exec(`INSERT INTO items VALUES (1, convert_from('\xff', 'SQL_ASCII'))`, "INSERT INTO others VALUES (1)")
	eventually(t, "the table is stopped", func() bool { return len(r.Status()[0].Stopped) == 1 })
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "not UTF-8") || !strings.Contains(err.Error(), "column v") {
		t.Errorf("%v", err)
	}
	eventually(t, "the other table goes on", func() bool { return topicHas(ascii, "others", 1) })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	eventually(t, "the slot is free", func() bool {
		_, err := ascii.sql.Exec(t.Context(), "SELECT pg_drop_replication_slot('"+ascii.source.Slot+"')")
		return err == nil
	})
}
