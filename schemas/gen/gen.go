// Package gen writes the Go types of the event schemas. It runs when a
// developer changes a schema, not when the platform runs: its output, package
// events, is checked in, and a test fails when the two differ.
package gen

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// genSuffix ends the name of every generated file.
const genSuffix = "_gen.go"

// Generate writes the Go files for the .avsc files under dir into the
// directory out, and removes the generated files there that no schema accounts
// for any more.
func Generate(dir, out string) error {
	files, err := Files(os.DirFS(dir))
	if err != nil {
		return fmt.Errorf("generate from %s: %w", dir, err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	have, err := filepath.Glob(filepath.Join(out, "*"+genSuffix))
	if err != nil {
		return err
	}
	for _, f := range have {
		if files[filepath.Base(f)] == nil {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// ErrDrift says that generated files do not match their schemas.
var ErrDrift = errors.New("generated code differs from the schemas, run: schemas generate")

// Check reports as ErrDrift the files in out that Generate would change.
func Check(dir, out string) error {
	files, err := Files(os.DirFS(dir))
	if err != nil {
		return err
	}
	var differ []string
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(out, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !bytes.Equal(have, want) {
			differ = append(differ, name)
		}
	}
	have, err := filepath.Glob(filepath.Join(out, "*"+genSuffix))
	if err != nil {
		return err
	}
	for _, f := range have {
		if files[filepath.Base(f)] == nil {
			differ = append(differ, filepath.Base(f))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	sort.Strings(differ)
	return fmt.Errorf("%w (%s)", ErrDrift, strings.Join(differ, ", "))
}

// Files returns the generated files by name: one for each domain, and the
// table of event types. The same schemas give the same bytes.
func Files(fsys fs.FS) (map[string][]byte, error) {
	types, err := Load(fsys)
	if err != nil {
		return nil, err
	}
	byDomain := map[string][]Type{}
	owner := map[string]string{}
	for _, t := range types {
		root := t.Schema.Root()
		if other, dup := owner[root.Name]; dup {
			return nil, fmt.Errorf("%s: type %s is also defined by %s; Go types share one package", t.File, root.Name, other)
		}
		owner[root.Name] = t.File
		byDomain[t.Domain] = append(byDomain[t.Domain], t)
	}
	out := map[string][]byte{}
	for _, domain := range slices.Sorted(maps.Keys(byDomain)) {
		src, err := domainFile(byDomain[domain])
		if err != nil {
			return nil, err
		}
		out[domain+genSuffix] = src
	}
	if out["types"+genSuffix], err = tableFile(types); err != nil {
		return nil, err
	}
	return out, nil
}

func domainFile(types []Type) ([]byte, error) {
	var body strings.Builder
	for _, t := range types {
		root := t.Schema.Root()
		if root.Type == "enum" {
			enum(&body, root)
			continue
		}
		if err := record(&body, root); err != nil {
			return nil, fmt.Errorf("%s: %w", t.File, err)
		}
		if t.Event {
			event(&body, t)
		}
	}
	return source(body.String())
}

func record(b *strings.Builder, n *codec.Node) error {
	b.WriteString(comment("", n.Doc))
	b.WriteString("type " + n.Name + " struct {\n")
	var body string
	for _, f := range n.Fields {
		typ, err := goType(f.Type)
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		l, err := parseLimits(f)
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		b.WriteString(comment("\t", f.Doc))
		fmt.Fprintf(b, "%s %s `avro:%q json:%q`\n", goName(f.Name), typ, f.Name, f.Name)
		body += checks(f.Type, l, place{expr: "e." + goName(f.Name), format: f.Name})
	}
	b.WriteString("}\n\n")
	fmt.Fprintf(b, "// check returns the first field that the schema's limits do not allow.\n")
	fmt.Fprintf(b, "func (e *%s) check() (field, problem string) {\n%sreturn \"\", \"\"\n}\n\n", n.Name, body)
	return nil
}

// enum writes an enum as a string with constants. The type is an alias: what
// matters is the set of values, and the database and JSON know them as text.
func enum(b *strings.Builder, n *codec.Node) {
	b.WriteString(comment("", n.Doc))
	fmt.Fprintf(b, "type %s = string\n\n", n.Name)
	fmt.Fprintf(b, "// The values of %s.\nconst (\n", n.Name)
	var quoted []string
	for _, s := range n.Symbols {
		fmt.Fprintf(b, "%s%s %s = %q\n", n.Name, goName(s), n.Name, s)
		quoted = append(quoted, n.Name+goName(s))
	}
	b.WriteString(")\n\n")
	fmt.Fprintf(b, "func valid%s(s string) bool {\nswitch s {\ncase %s:\nreturn true\n}\nreturn false\n}\n\n", n.Name, strings.Join(quoted, ", "))
}

func event(b *strings.Builder, t Type) {
	n := t.Schema.Root()
	fmt.Fprintf(b, "const schema%s = %s\n\n", n.Name, quote(t.Schema.Inline()))
	fmt.Fprintf(b, "// AvroName returns %s.\nfunc (*%s) AvroName() string { return %q }\n\n", n.FullName(), n.Name, n.FullName())
	fmt.Fprintf(b, "// AvroSchema returns the schema's canonical text.\nfunc (*%s) AvroSchema() string { return schema%s }\n\n", n.Name, n.Name)
	fmt.Fprintf(b, "// Validate reports the first field that the schema's limits do not allow.\nfunc (e *%s) Validate() error {\n"+
		"if field, problem := e.check(); problem != \"\" {\nreturn &ValidationError{Event: e.AvroName(), Field: field, Problem: problem}\n}\nreturn nil\n}\n\n", n.Name)
}

// tableFile writes the table from full names to types.
func tableFile(types []Type) ([]byte, error) {
	var events []*codec.Node
	for _, t := range types {
		if t.Event {
			events = append(events, t.Schema.Root())
		}
	}
	slices.SortFunc(events, func(a, b *codec.Node) int { return strings.Compare(a.FullName(), b.FullName()) })
	var b strings.Builder
	b.WriteString("// names are the full names of the event types, sorted.\nvar names = []string{\n")
	for _, e := range events {
		fmt.Fprintf(&b, "%q,\n", e.FullName())
	}
	b.WriteString("}\n\n// types are the event types by full name.\nvar types = map[string]eventType{\n")
	for _, e := range events {
		fmt.Fprintf(&b, "%q: {func() Event { return new(%s) }, parsed(schema%s)},\n", e.FullName(), e.Name, e.Name)
	}
	b.WriteString("}\n")
	return source(b.String())
}

// source adds header and the imports that body needs, and formats it.
func source(body string) ([]byte, error) {
	var b strings.Builder
	b.WriteString("// Code generated by schemas generate from ../avro; DO NOT EDIT.\n\npackage events\n\n")
	var imports strings.Builder
	for _, imp := range []struct{ use, path string }{{"fmt.Sprintf", "fmt"}, {"time.Time", "time"}, {"utf8.", "unicode/utf8"}} {
		if strings.Contains(body, imp.use) {
			fmt.Fprintf(&imports, "%q\n", imp.path)
		}
	}
	if imports.Len() > 0 {
		b.WriteString("import (\n" + imports.String() + ")\n\n")
	}
	b.WriteString(body)
	src, err := format.Source([]byte(b.String()))
	if err != nil {
		return nil, fmt.Errorf("generated code does not parse: %w\n%s", err, b.String())
	}
	return src, nil
}

func quote(s string) string {
	if strings.Contains(s, "`") {
		return strconv.Quote(s)
	}
	return "`" + s + "`"
}
