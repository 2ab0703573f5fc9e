package codec_test

import (
	"errors"
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// TestString checks the canonical text against what Java prints.
func TestString(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"primitive", ` { "type" : "string" } `, `"string"`},
		{"primitive with properties", `{"type":"string","avro.java.string":"String"}`, `{"type":"string","avro.java.string":"String"}`},
		{"order of a record", `{"aliases":["Old","x.Older","n.Same"],"p":1,"fields":[],"doc":"d","namespace":"n","name":"R","type":"record"}`,
			`{"type":"record","name":"R","namespace":"n","doc":"d","fields":[],"p":1,"aliases":["Old","x.Older","Same"]}`},
		{"order of a field", `{"type":"record","name":"R","fields":[{"z":{"b":1,"a":[true,null]},"aliases":["g"],"order":"ignore","default":0,"doc":"","type":{"type":"int"},"name":"f"}]}`,
			`{"type":"record","name":"R","fields":[{"name":"f","type":"int","doc":"","default":0,"order":"ignore","aliases":["g"],"z":{"b":1,"a":[true,null]}}]}`},
		{"dotted name becomes name and namespace", `{"type":"fixed","name":"a.b.F","namespace":"x","size":4}`,
			`{"type":"fixed","name":"F","namespace":"a.b","size":4}`},
		{"redundant namespace dropped", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","namespace":"n","symbols":["A"],"default":"A"}},{"name":"e2","type":"n.E"}]}`,
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}},{"name":"e2","type":"E"}]}`},
		{"other namespace kept", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"fixed","name":"m.F","size":1}},{"name":"g","type":["null","m.F"],"default":null}]}`,
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"fixed","name":"F","namespace":"m","size":1}},{"name":"g","type":["null","m.F"],"default":null}]}`},
		{"no namespace inside one", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"fixed","name":"F","namespace":"","size":1}},{"name":"f","type":"F"}]}`,
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"fixed","name":"F","namespace":"","size":1}},{"name":"f","type":"F"}]}`},
		{"recursion", `{"type":"record","name":"R","namespace":"n","fields":[{"name":"next","type":["null","R"]}]}`,
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"next","type":["null","R"]}]}`},
		{"numbers as Jackson", `{"type":"map","values":"long","a":1.0,"b":1e10,"c":1E-5,"d":12345678901234567890,"e":0.25,"f":100}`,
			`{"type":"map","values":"long","a":1.0,"b":1.0E10,"c":1.0E-5,"d":12345678901234567890,"e":0.25,"f":100}`},
		{"strings as Jackson", `{"type":"array","items":"int","a":"<&>\u00e9\u2028\u0001\u001f\/\"\\"}`,
			"{\"type\":\"array\",\"items\":\"int\",\"a\":\"<&>é\u2028\\u0001\\u001F/\\\"\\\\\"}"},
		{"logical type", `{"type":"bytes","scale":2,"logicalType":"decimal","precision":10}`,
			`{"type":"bytes","scale":2,"logicalType":"decimal","precision":10}`},
		{"double default", `{"type":"record","name":"R","fields":[{"name":"f","type":"double","default":1}]}`,
			`{"type":"record","name":"R","fields":[{"name":"f","type":"double","default":1}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := codec.Parse(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			again, err := codec.Parse(s.String())
			if err != nil {
				t.Fatalf("the printed text does not parse: %v", err)
			}
			if again.String() != s.String() {
				t.Errorf("printed again: %s", again.String())
			}
		})
	}
}

// TestUnfitLogicalTypes checks that a logical type that its type cannot carry
// is kept in the text and ignored in values.
func TestUnfitLogicalTypes(t *testing.T) {
	for _, text := range []string{
		`{"type":"bytes","logicalType":"decimal","precision":3,"scale":-2}`,
		`{"type":"bytes","logicalType":"decimal","precision":3,"scale":4}`,
		`{"type":"bytes","logicalType":"decimal"}`,
		`{"type":"bytes","logicalType":"decimal","precision":"many"}`,
		`{"type":"bytes","logicalType":"uuid"}`,
		`{"type":"bytes","logicalType":"nonsense"}`,
		`{"type":"bytes","logicalType":7}`,
	} {
		s, err := codec.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if s.String() != text {
			t.Errorf("printed as %s, want %s", s, text)
		}
		b, err := s.AppendEncode(nil, []byte{1, 2})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var v any
		if err := s.Decode(b, &v); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got, ok := v.([]byte); !ok || len(got) != 2 {
			t.Errorf("%s: decoded as %T", text, v)
		}
	}
}

// TestStringWithReferences checks which types of other schemas are written by
// name: those schemas themselves, but not the types defined inside them.
func TestStringWithReferences(t *testing.T) {
	base := codec.MustParse(`{"type":"fixed","name":"Base","namespace":"n","size":1}`)
	ref := codec.MustParse(`{"type":"record","name":"Ref","namespace":"n","fields":[{"name":"b","type":"n.Base"},{"name":"i","type":{"type":"record","name":"Inner","fields":[]}}]}`, base)
	main := codec.MustParse(`{"type":"record","name":"Main","namespace":"n","fields":[{"name":"r","type":"n.Ref"},{"name":"b","type":"Base"},{"name":"i","type":"n.Inner"}]}`, ref)
	want := `{"type":"record","name":"Main","namespace":"n","fields":[{"name":"r","type":"Ref"},{"name":"b","type":"Base"},{"name":"i","type":{"type":"record","name":"Inner","fields":[]}}]}`
	if got := main.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again, err := codec.Parse(main.Inline())
	if err != nil {
		t.Fatal(err)
	}
	if again.Inline() != main.Inline() {
		t.Errorf("inline: got %s", again.Inline())
	}
}

// TestParseLoose checks that a schema with a bad default can be looked at, and
// not be used.
func TestParseLoose(t *testing.T) {
	const text = `{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}`
	if _, err := codec.Parse(text); err == nil {
		t.Error("Parse took a bad default")
	}
	s, err := codec.ParseLoose(text)
	if err != nil || s.String() != text {
		t.Fatalf("%v, %v", s, err)
	}
	if _, err := s.AppendEncode(nil, map[string]any{"a": 1}); !errors.Is(err, codec.ErrLoose) {
		t.Errorf("AppendEncode: %v", err)
	}
	var v any
	if err := s.Decode([]byte{2}, &v); !errors.Is(err, codec.ErrLoose) {
		t.Errorf("Decode: %v", err)
	}
	if _, err := codec.Resolve(s, s); err == nil {
		t.Error("Resolve took loose schemas")
	}
}
