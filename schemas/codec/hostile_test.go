package codec_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// TestHostileBytes: lengths and counts that the bytes do not hold cost an
// error, not memory, time or the stack.
func TestHostileBytes(t *testing.T) {
	huge := binary.AppendVarint(nil, 1<<60)
	tests := []struct {
		name, schema string
		bytes        []byte
	}{
		{"string length", `"string"`, huge},
		{"bytes length", `"bytes"`, huge},
		{"negative length", `"string"`, binary.AppendVarint(nil, -5)},
		{"array count", `{"type":"array","items":"int"}`, huge},
		{"array block size", `{"type":"array","items":"int"}`, append(binary.AppendVarint(nil, -1<<60), huge...)},
		{"map count", `{"type":"map","values":"int"}`, huge},
		{"items of no size", `{"type":"array","items":"null"}`, huge},
		{"records of no size", `{"type":"array","items":{"type":"record","name":"E","fields":[]}}`, huge},
		{"arrays of no size nested", `{"type":"array","items":{"type":"array","items":"null"}}`, append(binary.AppendVarint(nil, 1<<20), huge...)},
		{"union index", `["null","int"]`, huge},
		{"enum index", `{"type":"enum","name":"E","symbols":["A"]}`, binary.AppendVarint(nil, 7)},
		{"overlong varint", `"long"`, []byte(strings.Repeat("\xff", 20))},
		{"int overflow", `"int"`, huge},
		{"depth", `{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}`, []byte(strings.Repeat("\x02", 10<<20))},
		{"depth of arrays", `{"type":"record","name":"R","fields":[{"name":"next","type":{"type":"array","items":"R"}}]}`, []byte(strings.Repeat("\x02", 10<<20))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := codec.MustParse(tt.schema)
			var v any
			if err := s.Decode(tt.bytes, &v); err == nil {
				t.Errorf("decoded as %T", v)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", ``, "unexpected EOF"},
		{"half", `{"type":"record"`, "unexpected EOF"},
		{"two", `"int" "int"`, "text follows"},
		{"not UTF-8", "\"\xff\"", "UTF-8"},
		{"deep", strings.Repeat("[", 5000), "nested deeper"},
		{"number", `5`, "not a schema: 5"},
		{"no type", `{"name":"x"}`, "no type"},
		{"type object", `{"type":{"type":"int"}}`, "no type"},
		{"unknown", `"integer"`, `undefined name: "integer"`},
		{"unknown type", `{"type":"integer"}`, `undefined name: "integer"`},
		{"no name", `{"type":"record","fields":[]}`, "no name"},
		{"no fields", `{"type":"record","name":"R"}`, "record R has no fields"},
		{"bad name", `{"type":"record","name":"a-b","fields":[]}`, `illegal character '-'`},
		{"bad namespace", `{"type":"record","name":"R","namespace":"a..b","fields":[]}`, "empty part"},
		{"primitive as name", `{"type":"record","name":"int","fields":[]}`, "named after primitives"},
		{"twice", `[{"type":"fixed","name":"F","size":1},{"type":"record","name":"R","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":2}}]}]`, "can't redefine: F"},
		{"duplicate field", `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`, "duplicate field a"},
		{"field without type", `{"type":"record","name":"R","fields":[{"name":"a"}]}`, "field a: no field type"},
		{"dotted field", `{"type":"record","name":"R","fields":[{"name":"a.b","type":"int"}]}`, "illegal field name"},
		{"bad order", `{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"up"}]}`, `order "up"`},
		{"bad default", `{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`, "default"},
		{"bad alias", `{"type":"record","name":"R","aliases":["1"],"fields":[]}`, "alias"},
		{"aliases no list", `{"type":"record","name":"R","aliases":"A","fields":[]}`, "aliases is not an array"},
		{"enum without symbols", `{"type":"enum","name":"E"}`, "enum E has no symbols"},
		{"enum twice the same", `{"type":"enum","name":"E","symbols":["A","A"]}`, "duplicate symbol A"},
		{"enum default", `{"type":"enum","name":"E","symbols":["A"],"default":"B"}`, "not one of the symbols"},
		{"fixed without size", `{"type":"fixed","name":"F"}`, "no size"},
		{"fixed of negative size", `{"type":"fixed","name":"F","size":-1}`, "invalid size -1"},
		{"array of nothing", `{"type":"array"}`, "without items"},
		{"map of nothing", `{"type":"map"}`, "without values"},
		{"union in union", `["int",["string"]]`, "nested union"},
		{"union of the same", `["int","int"]`, "duplicate in union: int"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := codec.Parse(tt.text)
			if err == nil {
				t.Fatalf("parsed as %s", s)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q lacks %q", err, tt.want)
			}
		})
	}
}
