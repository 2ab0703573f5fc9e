package compat_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/compat"
)

// rec is a record n.R with these fields.
func rec(fields ...string) string {
	return `{"type":"record","name":"R","namespace":"n","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string, more ...string) string {
	return `{"name":"` + name + `","type":` + typ + strings.Join(append([]string{""}, more...), ",") + `}`
}

func parse(t testing.TB, text string) *codec.Schema {
	t.Helper()
	s, err := codec.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// TestCanRead states the rules of schema resolution one by one. want lists
// "RULE location detail".
func TestCanRead(t *testing.T) {
	a := field("a", `"int"`)
	enum := func(more string, symbols ...string) string {
		return `{"type":"enum","name":"E","symbols":["` + strings.Join(symbols, `","`) + `"]` + more + `}`
	}
	tests := []struct {
		name           string
		reader, writer string
		want           []string
	}{
		{"same", rec(a), rec(a), nil},

		// Fields.
		{"reader lacks a field: skipped", rec(), rec(a), nil},
		{"new field with default", rec(a, field("b", `"string"`, `"default":""`)), rec(a), nil},
		{"new field with null default", rec(a, field("b", `["null","string"]`, `"default":null`)), rec(a), nil},
		{"new field without default", rec(a, field("b", `"string"`)), rec(a),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 b"}},
		{"nullable is not a default", rec(a, field("b", `["null","string"]`)), rec(a),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 b"}},
		{"all missing fields are reported", rec(field("x", `"int"`), field("y", `"int"`)), rec(a),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/0 x", "READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 y"}},
		{"order of fields does not matter", rec(field("b", `"int"`), a), rec(a, field("b", `"int"`)), nil},
		{"field renamed with alias", rec(field("b", `"int"`, `"aliases":["a"]`)), rec(a), nil},
		{"alias in the writer does not help", rec(field("b", `"int"`)), rec(field("a", `"int"`, `"aliases":["b"]`)),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/0 b"}},
		{"alias to a field of another type", rec(field("b", `"int"`, `"aliases":["a"]`)), rec(field("a", `"string"`)),
			[]string{"TYPE_MISMATCH /fields/0/type reader type: INT not compatible with writer type: STRING"}},
		{"name and alias both match", rec(field("a", `"int"`, `"aliases":["b"]`)), rec(a, field("b", `"int"`)),
			[]string{"UNDECIDED /fields/0 Reader record field a type:INT pos:0 matches multiple fields in writer record schema n.R"}},
		{"new enum field with an enum default only", rec(a, field("e", enum(`,"default":"X"`, "X"))), rec(a),
			[]string{"TYPE_MISMATCH /fields/1/type reader type: ENUM not compatible with writer type: RECORD"}},
		{"field in a nested record", rec(field("in", `{"type":"record","name":"In","fields":[`+field("z", `"int"`)+`]}`)),
			rec(field("in", `{"type":"record","name":"In","fields":[]}`)),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/0/type/fields/0 z"}},

		// Names.
		{"another name", `{"type":"record","name":"S","fields":[]}`, rec(),
			[]string{"NAME_MISMATCH /name expected: n.R"}},
		{"another namespace only", `{"type":"record","name":"R","namespace":"m","fields":[]}`, rec(), nil},
		{"full name in an alias", `{"type":"record","name":"S","aliases":["n.R"],"fields":[]}`, rec(), nil},
		{"alias in the reader's own namespace", `{"type":"record","name":"S","namespace":"n","aliases":["R"],"fields":[]}`, rec(), nil},
		{"simple name in an alias is not the full name", `{"type":"record","name":"S","aliases":["R"],"fields":[]}`, rec(),
			[]string{"NAME_MISMATCH /name expected: n.R"}},
		{"name and field both wrong", `{"type":"record","name":"S","fields":[` + a + `]}`, rec(),
			[]string{"NAME_MISMATCH /name expected: n.R", "READER_FIELD_MISSING_DEFAULT_VALUE /fields/0 a"}},

		// Enums.
		{"enum grows", enum("", "A", "B"), enum("", "A"), nil},
		{"enum shrinks", enum("", "A"), enum("", "C", "A", "B"),
			[]string{"MISSING_ENUM_SYMBOLS /symbols [B, C]"}},
		{"enum shrinks with a default", enum(`,"default":"A"`, "A"), enum("", "A", "B"), nil},
		{"default in the writer does not help", enum("", "A"), enum(`,"default":"B"`, "A", "B"),
			[]string{"MISSING_ENUM_SYMBOLS /symbols [B]"}},
		{"order of symbols does not matter", enum("", "B", "A"), enum("", "A", "B"), nil},

		// Fixed.
		{"fixed size", `{"type":"fixed","name":"F","size":8}`, `{"type":"fixed","name":"F","size":4}`,
			[]string{"FIXED_SIZE_MISMATCH /size expected: 4, found: 8"}},
		{"fixed name", `{"type":"fixed","name":"G","size":4}`, `{"type":"fixed","name":"F","size":4}`,
			[]string{"NAME_MISMATCH /name expected: F"}},
		{"fixed is not bytes", `"bytes"`, `{"type":"fixed","name":"F","size":4}`,
			[]string{"TYPE_MISMATCH / reader type: BYTES not compatible with writer type: FIXED"}},

		// Containers.
		{"array items", `{"type":"array","items":"long"}`, `{"type":"array","items":"int"}`, nil},
		{"array items narrow", `{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`,
			[]string{"TYPE_MISMATCH /items reader type: INT not compatible with writer type: LONG"}},
		{"map values", `{"type":"map","values":"string"}`, `{"type":"map","values":"bytes"}`, nil},
		{"map values differ", `{"type":"map","values":"string"}`, `{"type":"map","values":"int"}`,
			[]string{"TYPE_MISMATCH /values reader type: STRING not compatible with writer type: INT"}},
		{"map is not array", `{"type":"map","values":"int"}`, `{"type":"array","items":"int"}`,
			[]string{"TYPE_MISMATCH / reader type: MAP not compatible with writer type: ARRAY"}},

		// Unions.
		{"becomes nullable", `["null","int"]`, `"int"`, nil},
		{"into a union by promotion", `["null","double"]`, `"int"`, nil},
		{"no branch takes it", `["null","int"]`, `"string"`,
			[]string{"MISSING_UNION_BRANCH / reader union lacking writer type: STRING"}},
		{"union becomes one of its branches", `"int"`, `["null","int"]`,
			[]string{"TYPE_MISMATCH /0 reader type: INT not compatible with writer type: NULL"}},
		{"union of one becomes it", `"int"`, `["int"]`, nil},
		{"union read by a wider type", `"double"`, `["int","float"]`, nil},
		{"union grows", `["null","int","string"]`, `["null","int"]`, nil},
		{"union shrinks", `["null"]`, `["null","int","boolean"]`,
			[]string{"MISSING_UNION_BRANCH /1 reader union lacking writer type: INT", "MISSING_UNION_BRANCH /2 reader union lacking writer type: BOOLEAN"}},
		{"empty unions", `[]`, `[]`, nil},
		{"union of records by name", `[{"type":"record","name":"A","fields":[]},{"type":"record","name":"B","fields":[]}]`,
			`[{"type":"record","name":"B","fields":[]}]`, nil},
		{"union inside a field", rec(field("u", `["null","int"]`, `"default":null`)), rec(field("u", `["null","string"]`)),
			[]string{"MISSING_UNION_BRANCH /fields/0/type/1 reader union lacking writer type: STRING"}},

		// Recursion.
		{"recursive", rec(field("next", `["null","R"]`)), rec(field("next", `["null","R"]`)), nil},
		{"recursive with a new field", rec(field("next", `["null","R"]`), a), rec(field("next", `["null","R"]`)),
			[]string{"READER_FIELD_MISSING_DEFAULT_VALUE /fields/1 a"}},

		// Logical types are annotations.
		{"logical type ignored", `{"type":"long","logicalType":"timestamp-micros"}`, `{"type":"long","logicalType":"timestamp-millis"}`, nil},
		{"decimal scale ignored", `{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":9,"scale":4}`, nil},
		{"error is a record", `{"type":"error","name":"R","fields":[]}`, `{"type":"record","name":"R","fields":[]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, i := range compat.CanRead(parse(t, tt.reader), parse(t, tt.writer)) {
				got = append(got, fmt.Sprintf("%s %s %s", i.Rule, i.Location, i.Detail))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestPromotions is the whole table of what a primitive may be read as.
func TestPromotions(t *testing.T) {
	primitives := []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
	reads := map[string]string{
		"null": "null", "boolean": "boolean", "int": "int",
		"long": "long int", "float": "float int long", "double": "double int long float",
		"bytes": "bytes string", "string": "string bytes",
	}
	for _, reader := range primitives {
		for _, writer := range primitives {
			want := slices.Contains(strings.Fields(reads[reader]), writer)
			got := compat.CanRead(parse(t, `"`+reader+`"`), parse(t, `"`+writer+`"`)) == nil
			if got != want {
				t.Errorf("%s reads %s: %v, want %v", reader, writer, got, want)
			}
		}
	}
}

// TestPath checks the path of field names that goes with a location.
func TestPath(t *testing.T) {
	line := func(fields string) string {
		return rec(field("lines", `{"type":"array","items":{"type":"record","name":"Line","fields":[`+fields+`]}}`))
	}
	got := compat.CanRead(parse(t, line(field("sku", `"int"`))), parse(t, line(field("sku", `"string"`))))
	if len(got) != 1 || got[0].Path != "lines[].sku" || got[0].Location != "/fields/0/type/items/fields/0/type" {
		t.Errorf("got %+v", got)
	}
}

// TestLevels applies every level to a subject of three versions.
func TestLevels(t *testing.T) {
	v1 := rec(field("a", `"int"`), field("old", `"int"`))
	v2 := rec(field("a", `"int"`))
	history := []compat.Version{{Number: 1, Schema: parse(t, v1)}, {Number: 2, Schema: parse(t, v2)}}
	tests := []struct {
		name, next string
		fits       string
	}{
		{"the same again", v2, "NONE BACKWARD BACKWARD_TRANSITIVE FORWARD FULL"},
		{"optional field added", rec(field("a", `"int"`), field("b", `"int"`, `"default":0`)), "NONE BACKWARD BACKWARD_TRANSITIVE FORWARD FULL"},
		{"required field added", rec(field("a", `"int"`), field("b", `"int"`)), "NONE FORWARD"},
		{"required field removed", rec(), "NONE BACKWARD BACKWARD_TRANSITIVE"},
		{"removed field back with the type it had", rec(field("a", `"int"`), field("old", `"int"`, `"default":0`)),
			"NONE BACKWARD BACKWARD_TRANSITIVE FORWARD FORWARD_TRANSITIVE FULL FULL_TRANSITIVE"},
		{"removed field back with another type", rec(field("a", `"int"`), field("old", `"string"`, `"default":""`)), "NONE BACKWARD FORWARD FULL"},
		{"widened", rec(field("a", `"long"`)), "NONE BACKWARD BACKWARD_TRANSITIVE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, level := range compat.Levels() {
				want := slices.Contains(strings.Fields(tt.fits), string(level))
				got := compat.Check(level, parse(t, tt.next), history)
				if (got == nil) != want {
					t.Errorf("%s: compatible %v, want %v: %q", level, got == nil, want, got)
				}
			}
		})
	}
	for _, level := range compat.Levels() {
		if got := compat.Check(level, parse(t, v1), nil); got != nil {
			t.Errorf("%s: the first version: %q", level, got)
		}
	}
}

// TestMessages checks Confluent's wording and what it quotes.
func TestMessages(t *testing.T) {
	old := rec(field("a", `"int"`), field("c", `"int"`))
	history := []compat.Version{{Number: 7, Schema: parse(t, old)}}
	missing := func(name, path, reader, writer string) string {
		return fmt.Sprintf("{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field '%s' at path '%s' in the %s schema has no default value and is missing in the %s schema', additionalInfo:'%s'}",
			name, path, reader, writer, name)
	}
	next := parse(t, rec(field("a", `"int"`), field("b", `"int"`)))
	newB, oldC := missing("b", "/fields/1", "new", "old"), missing("c", "/fields/1", "old", "new")
	quote := []string{"{oldSchemaVersion: 7}", "{oldSchema: '" + parse(t, old).String() + "'}"}
	tests := []struct {
		level compat.Level
		next  *codec.Schema
		want  []string
	}{
		{compat.None, next, nil},
		{compat.Backward, next, append([]string{newB}, quote...)},
		{compat.Forward, next, append([]string{oldC}, quote...)},
		{compat.Full, next, append([]string{oldC, newB}, quote...)},
		{compat.Full, parse(t, rec(field("a", `"int"`))), []string{oldC}},
		{compat.Backward, parse(t, rec(field("a", `"string"`))), append([]string{
			"{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: STRING not compatible with writer type: INT'}"}, quote...)},
		{compat.Backward, parse(t, `{"type":"record","name":"S","fields":[]}`), append([]string{
			"{errorType:'NAME_MISMATCH', description:'The name of the schema has changed (path '/name')', additionalInfo:'expected: n.R'}"}, quote...)},
		{compat.Backward, parse(t, `["null"]`), append([]string{
			"{errorType:'MISSING_UNION_BRANCH', description:'The new schema is missing a type inside a union field at path '/' in the old schema', additionalInfo:'reader union lacking writer type: RECORD'}"}, quote...)},
	}
	for _, tt := range tests {
		if got := compat.Check(tt.level, tt.next, history); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.level, got, tt.want)
		}
	}
}

// TestMessageBounds checks that a long old schema is cut.
func TestMessageBounds(t *testing.T) {
	long := parse(t, `{"type":"record","name":"R","doc":"`+strings.Repeat("x", 20_000)+`","fields":[]}`)
	got := compat.Check(compat.Backward, parse(t, `"int"`), []compat.Version{{Schema: long}})
	if len(got) != 2 || !strings.HasPrefix(got[1], "{oldSchema: <truncated> '{") || len(got[1]) > 11_000 {
		t.Errorf("got %d messages, the last of %d bytes", len(got), len(got[len(got)-1]))
	}
}

// TestHostile checks that schemas built to be costly are answered quickly and
// in bounded space.
func TestHostile(t *testing.T) {
	t.Run("types used twice at every level", func(t *testing.T) {
		nest := func(leaf string) string {
			text := `{"type":"record","name":"T0","fields":[` + field("l", leaf) + `]}`
			for i := 1; i <= 40; i++ {
				text = fmt.Sprintf(`{"type":"record","name":"T%d","fields":[%s,%s]}`, i, field("a", text), field("b", fmt.Sprintf(`"T%d"`, i-1)))
			}
			return text
		}
		got := compat.CanRead(parse(t, nest(`"int"`)), parse(t, nest(`"string"`)))
		if len(got) == 0 || len(got) > 2000 {
			t.Errorf("%d findings", len(got))
		}
	})
	t.Run("two wide unions", func(t *testing.T) {
		union := func(prefix string) string {
			var b []string
			for i := range 600 {
				b = append(b, fmt.Sprintf(`{"type":"record","name":"%s%d","fields":[]}`, prefix, i))
			}
			return "[" + strings.Join(b, ",") + "]"
		}
		got := compat.CanRead(parse(t, union("A")), parse(t, union("B")))
		if len(got) != 1 || !strings.Contains(got[0].Detail, "too complex") {
			t.Errorf("got %d findings", len(got))
		}
	})
}

// TestExplain checks that every rule has advice.
func TestExplain(t *testing.T) {
	for _, rule := range []compat.Rule{compat.NameMismatch, compat.FixedSizeMismatch, compat.MissingEnumSymbols,
		compat.ReaderFieldMissingDefault, compat.TypeMismatch, compat.MissingUnionBranch} {
		if s := (compat.Incompatibility{Rule: rule, Detail: "DETAIL"}).Explain("new", "old"); s == "" || s == "DETAIL" {
			t.Errorf("%s: %q", rule, s)
		}
	}
}

// TestParseLevel accepts the names in any case and nothing else.
func TestParseLevel(t *testing.T) {
	for _, l := range compat.Levels() {
		if got, err := compat.ParseLevel(strings.ToLower(string(l))); err != nil || got != l {
			t.Errorf("%s: %s, %v", l, got, err)
		}
	}
	if _, err := compat.ParseLevel("SIDEWAYS"); err == nil || !strings.Contains(err.Error(), "FULL_TRANSITIVE") {
		t.Errorf("got %v", err)
	}
}
