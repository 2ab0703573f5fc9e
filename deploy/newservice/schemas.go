package newservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/schemas/gen"
)

// Where the schemas are, and the sample's among them.
const (
	avroFolder   = "schemas/avro"
	eventsFolder = "schemas/events"
	sampleSchema = avroFolder + "/example/ExampleRecorded.avsc"
)

// addSchemas adds an event for each produced topic: its schema, made from the
// template's, its first version for `schemas check`, and its Go type.
func addSchemas(t *tree, spec Spec, produced []topic) error {
	if len(produced) == 0 {
		return nil
	}
	sample, err := t.read(sampleSchema)
	if err != nil {
		return err
	}
	for _, p := range produced {
		name := short(p.events[0])
		noun := strings.Split(p.events[0], ".")[1]
		text := replace(sampleSchema, string(sample), map[string]string{
			"ExampleRecorded": name, "quokka.example.v1": "quokka." + noun + ".v1", "template": spec.Name,
		})
		t.write(path.Join(avroFolder, noun, name+".avsc"), []byte(text))
	}
	types, files, err := generate(t)
	if err != nil {
		return err
	}
	for name, text := range files {
		t.write(path.Join(eventsFolder, name), text)
	}
	for _, typ := range types {
		if !slices.ContainsFunc(produced, func(p topic) bool { return p.events[0] == typ.Schema.FullName() }) {
			continue
		}
		var version bytes.Buffer
		if err := json.Indent(&version, []byte(typ.Schema.Inline()), "", "  "); err != nil {
			return err
		}
		version.WriteByte('\n')
		t.write(path.Join(avroFolder, typ.Domain, "history", typ.Schema.Root().Name+".1.avsc"), version.Bytes())
	}
	return nil
}

// generate reads all schemas as they will be, and generates the Go types.
func generate(t *tree) ([]gen.Type, map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "quokka-schemas-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(t.root, filepath.FromSlash(avroFolder)))); err != nil {
		return nil, nil, err
	}
	for name, text := range t.changes {
		file, ok := strings.CutPrefix(name, avroFolder+"/")
		if !ok {
			continue
		}
		to := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return nil, nil, err
		}
	}
	types, err := gen.Load(os.DirFS(dir))
	if err != nil {
		return nil, nil, err
	}
	files, err := gen.Files(os.DirFS(dir))
	return types, files, err
}

// declare adds the produced topics to schemas/topics.go, made from the sample's
// declaration, and the service's group to the topics that it consumes.
func declare(t *tree, spec Spec, consumed, produced []topic) error {
	d, err := readTopics(t)
	if err != nil {
		return err
	}
	group := "Group" + strings.ToUpper(spec.Name[:1]) + spec.Name[1:]
	constants, variables := d.specs(token.CONST), d.specs(token.VAR)
	if constants[group] != nil {
		return fmt.Errorf("%s declares %s already", topicsFile, group)
	}
	offset := func(p token.Pos) int { return d.fset.Position(p).Offset }
	last := constants["GroupSearchSync"]
	if last == nil {
		return fmt.Errorf("%s: want a constant GroupSearchSync, behind which new groups are declared", topicsFile)
	}
	edits := []insertion{{offset(last.End()), fmt.Sprintf("\n%s = %q", group, spec.Name)}}

	sample := variables[d.sample.variable]
	sampleText := string(d.src[offset(sample.Doc.Pos()):offset(sample.End())])
	for _, p := range produced {
		names := p.forProduced()
		names["template"] = spec.Name
		edits = append(edits,
			insertion{offset(constants[d.sample.constant].Pos()), fmt.Sprintf("%s = %q\n", p.constant, p.name)},
			insertion{offset(sample.Doc.Pos()), replace(topicsFile, sampleText, names) + "\n\n"},
			insertion{offset(d.listed().Rbrace), ", " + p.variable})
	}
	for _, c := range consumed {
		lit := variables[c.variable].Values[0].(*ast.CompositeLit)
		if groups, ok := field(lit, "Groups").(*ast.CompositeLit); ok {
			edits = append(edits, insertion{offset(groups.Rbrace), ", " + group})
		} else {
			edits = append(edits, insertion{offset(lit.Rbrace), "Groups: []string{" + group + "},\n"})
		}
	}
	out, err := insert(topicsFile, d.src, edits)
	if err != nil {
		return err
	}
	t.write(topicsFile, out)
	return nil
}
