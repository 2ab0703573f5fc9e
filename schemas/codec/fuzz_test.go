package codec_test

import (
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// FuzzParse: no text panics, and what parses prints to what parses the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`"int"`, `["null","string"]`, `{"type":"array","items":"long"}`,
		`{"type":"record","name":"n.R","aliases":["S"],"fields":[{"name":"a","type":["null","R"],"default":null,"x":1e5}]}`,
		`{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}`,
		`{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`,
		`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"double","default":"NaN","order":"ignore"}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := codec.Parse(text)
		if err != nil {
			return
		}
		again, err := codec.Parse(s.String())
		if err != nil {
			t.Fatalf("%q prints as %q, which does not parse: %v", text, s, err)
		}
		if again.String() != s.String() {
			t.Fatalf("%q prints as %q, that as %q", text, s, again)
		}
		if d, differs := codec.Diff(s, again); differs {
			t.Fatalf("%q: %v", text, d)
		}
	})
}

// FuzzDecode: no bytes panic, and what decodes encodes to what decodes the
// same. There is no decimal: one with too many digits decodes, as Java's does,
// but does not encode.
func FuzzDecode(f *testing.F) {
	s := codec.MustParse(`{"type":"record","name":"R","fields":[
		{"name":"i","type":"int"},{"name":"l","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"s","type":"string"},{"name":"u","type":["null","string","R"]},
		{"name":"a","type":{"type":"array","items":"R"}},{"name":"m","type":{"type":"map","values":"bytes"}},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"f","type":{"type":"fixed","name":"F","size":2}},
		{"name":"x","type":"double"},{"name":"b","type":"boolean"}]}`)
	f.Add([]byte{2, 4, 2, 'x', 0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if err := s.Decode(b, &v); err != nil {
			return
		}
		first, err := s.AppendEncode(nil, v)
		if err != nil {
			t.Fatalf("% x decodes as %v, which does not encode: %v", b, v, err)
		}
		var w any
		if err := s.Decode(first, &w); err != nil {
			t.Fatalf("% x encodes as % x, which does not decode: %v", b, first, err)
		}
		second, err := s.AppendEncode(nil, w)
		if err != nil || len(second) != len(first) {
			t.Fatalf("% x became % x, %v", first, second, err)
		}
	})
}
