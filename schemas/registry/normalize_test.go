package registry

import (
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// TestNormalize checks that spellings of one schema become one text.
func TestNormalize(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"order of attributes", `{"fields":[],"name":"R","type":"record"}`, `{"type":"record","name":"R","fields":[]}`},
		{"properties sorted, nested ones too", `{"type":"int","z":{"b":1,"a":[1.50,null]},"a":true}`, `{"type":"int","a":true,"z":{"a":[1.5,null],"b":1}}`},
		{"aliases sorted", `{"type":"fixed","name":"n.F","size":1,"aliases":["z","m.a"]}`, `{"type":"fixed","name":"F","namespace":"n","size":1,"aliases":["m.a","z"]}`},
		{"empty doc of a type dropped, of a field kept", `{"type":"record","name":"R","doc":"","fields":[{"name":"a","type":"int","doc":""}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":"int","doc":""}]}`},
		{"doc kept", `{"type":"enum","name":"E","symbols":["B","A"],"doc":"<d>","default":"A"}`, `{"type":"enum","name":"E","doc":"<d>","symbols":["B","A"],"default":"A"}`},
		{"logical type first", `{"scale":2,"a":0,"type":"bytes","precision":9,"logicalType":"decimal"}`, `{"type":"bytes","logicalType":"decimal","precision":9,"scale":2,"a":0}`},
		{"invalid logical type is a property", `{"type":"string","z":1,"logicalType":"date","a":2}`, `{"type":"string","a":2,"logicalType":"date","z":1}`},
		{"default order dropped, other kept", `{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"ascending"},{"name":"b","order":"ignore","type":"int"}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","order":"ignore"}]}`},
		{"defaults", `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":"int"},"default":{"z":1,"a":2}}]}`,
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":"int"},"default":{"a":2,"z":1}}]}`},
		{"recursion", `{"type":"record","name":"n.R","fields":[{"name":"next","type":["null","R"]}]}`,
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"next","type":["null","R"]}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := codec.Parse(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			out, err := codec.Parse(normalize(in.Root(), nil))
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got  %s\nwant %s", out, tt.want)
			}
			if again := normalize(out.Root(), nil); again != normalize(in.Root(), nil) {
				t.Errorf("normalized again: %s", again)
			}
		})
	}
}
