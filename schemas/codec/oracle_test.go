package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// A sample is a value as the two implementations take it: goavro wraps union
// values in a map that names the branch.
type sample struct {
	ours, goavro any
}

// A drawer draws schemas, with a generator of samples for each.
type drawer struct {
	names int
}

func (d *drawer) name() string {
	d.names++
	return fmt.Sprintf("n%d.T%d", d.names%3, d.names)
}

// schema draws a schema as JSON, how goavro names it in a union, and how to
// draw its values.
func (d *drawer) schema(t *rapid.T, depth int) (text, branch string, draw func(*rapid.T) sample) {
	kinds := []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "timestamp", "enum", "fixed"}
	if depth > 0 {
		kinds = append(kinds, "array", "map", "record", "record", "union")
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	same := func(v any) sample { return sample{v, v} }
	switch kind {
	case "null":
		return `"null"`, kind, func(*rapid.T) sample { return same(nil) }
	case "boolean":
		return `"boolean"`, kind, func(t *rapid.T) sample { return same(rapid.Bool().Draw(t, "boolean")) }
	case "int":
		return `{"type":"int","note":"x"}`, kind, func(t *rapid.T) sample { return same(rapid.Int32().Draw(t, "int")) }
	case "long":
		return `"long"`, kind, func(t *rapid.T) sample { return same(rapid.Int64().Draw(t, "long")) }
	case "float":
		return `"float"`, kind, func(t *rapid.T) sample { return same(rapid.Float32().Draw(t, "float")) }
	case "double":
		return `"double"`, kind, func(t *rapid.T) sample { return same(rapid.Float64().Draw(t, "double")) }
	case "bytes":
		return `"bytes"`, kind, func(t *rapid.T) sample { return same(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }
	case "string":
		return `"string"`, kind, func(t *rapid.T) sample { return same(rapid.String().Draw(t, "string")) }
	case "timestamp":
		return `{"type":"long","logicalType":"timestamp-micros"}`, "long.timestamp-micros", func(t *rapid.T) sample {
			return same(time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "timestamp")).UTC())
		}
	case "enum":
		name := d.name()
		return `{"type":"enum","name":"` + name + `","symbols":["A","B","C"]}`, name, func(t *rapid.T) sample {
			return same(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "enum"))
		}
	case "fixed":
		name := d.name()
		return `{"type":"fixed","name":"` + name + `","size":3}`, name, func(t *rapid.T) sample {
			return same(rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "fixed"))
		}
	case "array":
		text, _, item := d.schema(t, depth-1)
		return `{"type":"array","items":` + text + `}`, kind, func(t *rapid.T) sample {
			ours, theirs := []any{}, []any{}
			for range rapid.IntRange(0, 3).Draw(t, "length") {
				s := item(t)
				ours, theirs = append(ours, s.ours), append(theirs, s.goavro)
			}
			return sample{ours, theirs}
		}
	case "map":
		text, _, item := d.schema(t, depth-1)
		return `{"type":"map","values":` + text + `}`, kind, func(t *rapid.T) sample {
			// More than one entry would have bytes in any order.
			ours, theirs := map[string]any{}, map[string]any{}
			if rapid.Bool().Draw(t, "entry") {
				s := item(t)
				ours["k"], theirs["k"] = s.ours, s.goavro
			}
			return sample{ours, theirs}
		}
	case "record":
		return d.record(t, depth)
	default:
		return d.union(t, depth)
	}
}

func (d *drawer) record(t *rapid.T, depth int) (string, string, func(*rapid.T) sample) {
	name := d.name()
	var fields []string
	var draws []func(*rapid.T) sample
	for i := range rapid.IntRange(0, 4).Draw(t, "fields") {
		text, _, draw := d.schema(t, depth-1)
		fields = append(fields, fmt.Sprintf(`{"type":%s,"doc":"d","name":"f%d","x":{"b":1,"a":2}}`, text, i))
		draws = append(draws, draw)
	}
	text := `{"name":"` + name + `","fields":[` + strings.Join(fields, ", ") + `],"doc":"","type":"record"}`
	return text, name, func(t *rapid.T) sample {
		ours, theirs := map[string]any{}, map[string]any{}
		for i, draw := range draws {
			s := draw(t)
			key := fmt.Sprintf("f%d", i)
			ours[key], theirs[key] = s.ours, s.goavro
		}
		return sample{ours, theirs}
	}
}

// union draws null and one other type: what a bare value means among more is
// ambiguous, and no schema of the platform has them.
func (d *drawer) union(t *rapid.T, depth int) (string, string, func(*rapid.T) sample) {
	text, branch, draw := d.schema(t, depth-1)
	if text == `"null"` || strings.HasPrefix(text, "[") {
		text, branch, draw = `"long"`, "long", func(t *rapid.T) sample { v := rapid.Int64().Draw(t, "long"); return sample{v, v} }
	}
	return `["null",` + text + `]`, "union", func(t *rapid.T) sample {
		if rapid.Bool().Draw(t, "null") {
			return sample{nil, nil}
		}
		s := draw(t)
		return sample{s.ours, goavro.Union(branch, s.goavro)}
	}
}

// TestOracle: whatever schema and value, our bytes are goavro's, goavro reads
// them, and so do we.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _, draw := (&drawer{}).schema(t, 3)
		schema, err := codec.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		oracle, err := goavro.NewCodec(text)
		if err != nil {
			t.Skip("goavro does not know such a schema")
		}
		s := draw(t)
		ours, err := schema.AppendEncode(nil, s.ours)
		if err != nil {
			t.Fatalf("encode %#v by %s: %v", s.ours, schema, err)
		}
		theirs, err := oracle.BinaryFromNative(nil, s.goavro)
		if err != nil {
			t.Fatalf("goavro encodes %#v by %s: %v", s.goavro, text, err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("%#v by %s:\n% x, goavro has\n% x", s.ours, text, ours, theirs)
		}
		var back any
		if err := schema.Decode(ours, &back); err != nil {
			t.Fatalf("decode: %v", err)
		}
		if diff := cmp.Diff(s.ours, back); diff != "" {
			t.Fatalf("round trip by %s (-want +got):\n%s", text, diff)
		}
		resolved, err := codec.Resolve(schema, schema)
		if err != nil {
			t.Fatalf("resolve with itself: %v", err)
		}
		if err := resolved.Decode(ours, &back); err != nil {
			t.Fatalf("decode resolved: %v", err)
		}
		again, err := codec.Parse(schema.String())
		if err != nil || again.String() != schema.String() {
			t.Fatalf("printed %s, again %v, %v", schema, again, err)
		}
		if !json.Valid([]byte(schema.String())) {
			t.Fatalf("not JSON: %s", schema)
		}
		if d, differs := codec.Diff(again, schema); differs {
			t.Fatalf("printing changed %v", d)
		}
	})
}

// TestOneImporter: the Avro library can be replaced in one place.
func TestOneImporter(t *testing.T) {
	var importers []string
	err := filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(`"github.com/twmb/avro"`)) {
			importers = append(importers, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"../codec/twmb.go"}, importers); diff != "" {
		t.Errorf("importers of twmb/avro (-want +got):\n%s", diff)
	}
}
