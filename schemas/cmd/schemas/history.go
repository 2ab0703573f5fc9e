package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/compat"
	"github.com/quokka-stream/quokka/schemas/gen"
)

// A released version of an event is the file avro/<domain>/history/<Name>.<n>.avsc:
// its schema complete in itself, as a registry has it. The history is what
// check compares with, so that it needs neither a registry nor git.

// historyDir holds a domain's released versions.
const historyDir = "history"

var versionFile = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)\.([1-9][0-9]*)\.avsc$`)

// released is the history of one event.
type released struct {
	domain, name string
	versions     []compat.Version // 1, 2, 3 …
}

// latest returns the text of the last version, "" for none.
func (r released) latest() string {
	if len(r.versions) == 0 {
		return ""
	}
	return r.versions[len(r.versions)-1].Schema.Inline()
}

// file is the path of a version.
func (r released) file(version int) string {
	return path.Join(r.domain, historyDir, fmt.Sprintf("%s.%d.avsc", r.name, version))
}

// loadHistory reads the histories of all events by "<domain>/<name>".
func loadHistory(fsys fs.FS) (map[string]released, error) {
	files, err := fs.Glob(fsys, "*/"+historyDir+"/*")
	if err != nil {
		return nil, err
	}
	out := map[string]released{}
	for _, f := range files {
		m := versionFile.FindStringSubmatch(path.Base(f))
		if m == nil {
			return nil, fmt.Errorf("%s: a released version is named <Name>.<number>.avsc", f)
		}
		number, err := strconv.Atoi(m[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		text, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, err
		}
		schema, err := codec.Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		if schema.Root().Name != m[1] {
			return nil, fmt.Errorf("%s defines %s", f, schema.FullName())
		}
		domain := path.Dir(path.Dir(f))
		r := out[domain+"/"+m[1]]
		r.domain, r.name = domain, m[1]
		r.versions = append(r.versions, compat.Version{Number: number, Schema: schema})
		out[domain+"/"+m[1]] = r
	}
	for key, r := range out {
		slices.SortFunc(r.versions, func(a, b compat.Version) int { return a.Number - b.Number })
		for i, v := range r.versions {
			if v.Number != i+1 {
				return nil, fmt.Errorf("%s is missing: released versions are never removed", r.file(i+1))
			}
		}
		out[key] = r
	}
	return out, nil
}

func historyKey(t gen.Type) string { return t.Domain + "/" + t.Schema.Root().Name }

// writeVersion records a schema as a version.
func writeVersion(dir string, r released, version int, schema *codec.Schema) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(path.Join(r.domain, historyDir), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(r.file(version), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	// Indented, so that a change reads as one in a review.
	var text bytes.Buffer
	if err := json.Indent(&text, []byte(schema.Inline()), "", "  "); err != nil {
		return errors.Join(err, f.Close())
	}
	text.WriteByte('\n')
	_, err = f.Write(text.Bytes())
	return errors.Join(err, f.Close())
}
