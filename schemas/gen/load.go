package gen

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// Type is one .avsc file.
type Type struct {
	// File is its path, Domain its directory.
	File, Domain string
	// Schema is what it defines; Schema.Inline() is complete in itself.
	Schema *codec.Schema
	// Event is set for a record that no other file uses: those are what
	// travels on topics, the rest are their parts.
	Event bool
}

// Load reads every .avsc file under the root of fsys, resolves the names they
// use of each other, and checks the house rules: file and directory named for
// the type, a versioned namespace, a doc on every type and field, known limits.
// Types are sorted by file.
func Load(fsys fs.FS) ([]Type, error) {
	files, err := fs.Glob(fsys, "*/*.avsc")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no */*.avsc files found")
	}
	slices.Sort(files)
	parsed, err := parseAll(fsys, files)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	types := make([]Type, 0, len(files))
	for _, f := range files {
		s := parsed[f]
		t := Type{File: f, Domain: path.Dir(f), Schema: s}
		if err := lint(t); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		markUsed(s.Root(), used)
		types = append(types, t)
	}
	for i := range types {
		root := types[i].Schema.Root()
		types[i].Event = root.Type == "record" && !used[root.FullName()]
	}
	return types, nil
}

// parseAll parses files in whatever order their references need: each round
// parses those whose references are known by then.
func parseAll(fsys fs.FS, files []string) (map[string]*codec.Schema, error) {
	parsed := map[string]*codec.Schema{}
	var refs []*codec.Schema
	pending := files
	for len(pending) > 0 {
		var left []string
		var firstErr error
		for _, f := range pending {
			text, err := fs.ReadFile(fsys, f)
			if err != nil {
				return nil, err
			}
			s, err := codec.Parse(string(text), refs...)
			if errors.Is(err, codec.ErrUndefinedName) {
				left = append(left, f)
				if firstErr == nil {
					firstErr = fmt.Errorf("%s: %w", f, err)
				}
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			parsed[f] = s
			refs = append(refs, s)
		}
		if len(left) == len(pending) {
			return nil, firstErr
		}
		pending = left
	}
	return parsed, nil
}

// markUsed marks the named types that root's fields use.
func markUsed(root *codec.Node, used map[string]bool) {
	var walk func(n *codec.Node)
	walk = func(n *codec.Node) {
		if n == nil {
			return
		}
		if n.Named() {
			if used[n.FullName()] {
				return
			}
			used[n.FullName()] = true
		}
		for _, f := range n.Fields {
			walk(f.Type)
		}
		walk(n.Elem)
		for _, b := range n.Branches {
			walk(b)
		}
	}
	for _, f := range root.Fields {
		walk(f.Type)
	}
}

var namespace = regexp.MustCompile(`^quokka\.([a-z]+)\.v[1-9][0-9]*$`)

func lint(t Type) error {
	root := t.Schema.Root()
	if root.Type != "record" && root.Type != "enum" {
		return fmt.Errorf("a file defines a record or an enum, not a %s", root.Type)
	}
	if want := strings.TrimSuffix(path.Base(t.File), ".avsc"); root.Name != want {
		return fmt.Errorf("type %s must be in a file of its name", root.Name)
	}
	m := namespace.FindStringSubmatch(root.Namespace)
	if m == nil || m[1] != t.Domain {
		return fmt.Errorf("namespace %q must be quokka.%s.v<major>", root.Namespace, t.Domain)
	}
	if root.Doc == "" {
		return fmt.Errorf("type %s has no doc", root.Name)
	}
	if root.Type == "enum" && root.EnumDefault == nil {
		return fmt.Errorf("enum %s has no default: an old reader could not read a new symbol", root.Name)
	}
	for _, f := range root.Fields {
		if f.Doc == "" {
			return fmt.Errorf("field %s.%s has no doc", root.Name, f.Name)
		}
		if _, err := parseLimits(f); err != nil {
			return fmt.Errorf("field %s.%s: %w", root.Name, f.Name, err)
		}
	}
	return nil
}
