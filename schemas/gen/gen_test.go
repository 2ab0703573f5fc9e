package gen_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/quokka-stream/quokka/schemas/avro"
	"github.com/quokka-stream/quokka/schemas/gen"
)

// TestCheckedIn fails when package events is not what the schemas generate.
func TestCheckedIn(t *testing.T) {
	if err := gen.Check("../avro", "../events"); err != nil {
		t.Fatal(err)
	}
}

func TestDeterministic(t *testing.T) {
	first, err := gen.Files(avro.Files)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		again, err := gen.Files(avro.Files)
		if err != nil {
			t.Fatal(err)
		}
		for name := range first {
			if !bytes.Equal(first[name], again[name]) {
				t.Fatalf("%s differs between two runs", name)
			}
		}
	}
}

func TestGenerateRemovesStaleFiles(t *testing.T) {
	out := t.TempDir()
	stale := filepath.Join(out, "old_gen.go")
	byHand := filepath.Join(out, "byhand.go")
	for _, f := range []string{stale, byHand} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := gen.Check("../avro", out); !errors.Is(err, gen.ErrDrift) || !strings.Contains(err.Error(), "old_gen.go") {
		t.Errorf("Check = %v, want drift that names old_gen.go", err)
	}
	if err := gen.Generate("../avro", out); err != nil {
		t.Fatal(err)
	}
	if err := gen.Check("../avro", out); err != nil {
		t.Errorf("Check after Generate: %v", err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stale file kept: %v", err)
	}
	if _, err := os.Stat(byHand); err != nil {
		t.Errorf("file written by hand gone: %v", err)
	}
}

// TestEverything generates every construct the generator knows.
func TestEverything(t *testing.T) {
	files, err := gen.Files(fstest.MapFS{
		"a/All.avsc": {Data: []byte(`{"type":"record","name":"All","namespace":"quokka.a.v1","doc":"All has all.","fields":[
			{"name":"flag","type":"boolean","doc":"d"},
			{"name":"big","type":["null","long"],"default":null,"minimum":-5,"maximum":9,"doc":"d"},
			{"name":"ratio","type":"double","doc":"d"},
			{"name":"blob","type":"bytes","minLength":2,"maxLength":4,"doc":"d"},
			{"name":"names","type":{"type":"map","values":{"type":"array","items":"quokka.a.v1.Part"}},"maxItems":3,"doc":"d"},
			{"name":"part","type":["null","quokka.a.v1.Part"],"default":null,"doc":"d"},
			{"name":"kind","type":"Kind","doc":"d"}]}`)},
		"a/Kind.avsc": {Data: []byte(`{"type":"enum","name":"Kind","namespace":"quokka.a.v1","doc":"Kind is one.","symbols":["x","y_z"],"default":"x"}`)},
		"a/Part.avsc": {Data: []byte(`{"type":"record","name":"Part","namespace":"quokka.a.v1","doc":"Part is one.","fields":[{"name":"ids","type":{"type":"array","items":{"type":"string","logicalType":"uuid"}},"doc":"d"}]}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "everything.golden")
	got := files["a_gen.go"]
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("generated code changed; look at it and run with REWRITE=1:\n%s", got)
	}
	if !strings.Contains(string(files["types_gen.go"]), `"quokka.a.v1.All"`) || strings.Contains(string(files["types_gen.go"]), "Part") {
		t.Errorf("the table of events must hold All only:\n%s", files["types_gen.go"])
	}
}

func TestRefused(t *testing.T) {
	record := func(fields string) string {
		return `{"type":"record","name":"R","namespace":"quokka.a.v1","doc":"R.","fields":[` + fields + `]}`
	}
	tests := []struct{ name, file, text, want string }{
		{"no doc on a field", "a/R.avsc", record(`{"name":"f","type":"int"}`), "field R.f has no doc"},
		{"no doc on a type", "a/R.avsc", `{"type":"record","name":"R","namespace":"quokka.a.v1","fields":[]}`, "type R has no doc"},
		{"wrong namespace", "b/R.avsc", record(``), "must be quokka.b.v<major>"},
		{"wrong file", "a/Other.avsc", record(``), "file of its name"},
		{"misspelt limit", "a/R.avsc", record(`{"name":"f","type":"int","doc":"d","minimun":1}`), `unknown attribute "minimun"`},
		{"limit of another type", "a/R.avsc", record(`{"name":"f","type":"string","doc":"d","minimum":1}`), "does not apply to string"},
		{"limit that is no number", "a/R.avsc", record(`{"name":"f","type":"int","doc":"d","minimum":"one"}`), "not a number"},
		{"enum without default", "a/E.avsc", `{"type":"enum","name":"E","namespace":"quokka.a.v1","doc":"d","symbols":["x"]}`, "has no default"},
		{"unknown type", "a/R.avsc", record(`{"name":"f","type":"Missing","doc":"d"}`), `undefined name: "Missing"`},
		{"syntax", "a/R.avsc", `{`, "a/R.avsc: avro: not valid JSON"},
		{"union of two", "a/R.avsc", record(`{"name":"f","type":["int","string"],"doc":"d"}`), "union is not supported"},
		{"decimal", "a/R.avsc", record(`{"name":"f","type":{"type":"bytes","logicalType":"decimal","precision":4},"doc":"d"}`), "decimal is not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := gen.Files(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
