// Package internal holds no code, only the test of who may import whom in here.
package internal

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const prefix = "github.com/quokka-stream/quokka/broker/internal/"

// mayImport lists, for the packages whose walls matter, which others of this module
// their code may import: storage is a chain, and the state machines beside it are
// pure. Replication will put a network between these parts.
var mayImport = map[string][]string{
	"fsys":      {},
	"history":   {},
	"record":    {},
	"commitlog": {"fsys", "record"},
	"partition": {"commitlog", "fsys", "record"},
	"group":     nil,
	"txn":       nil,
	// What it sees of the cluster it is given.
	"consumergroup": {"group", "errcode"},
	"cluster":       nil,
	"quota":         {},
	"limit":         {},
}

// never lists what the pure packages may not import at all.
var never = []string{"fsys", "record", "commitlog", "partition", "coordinator", "api", "server"}

func TestImportArrows(t *testing.T) {
	for pkg, allowed := range mayImport {
		entries, err := os.ReadDir(pkg)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			name := filepath.Join(pkg, e.Name())
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range f.Imports {
				path, _ := strconv.Unquote(imp.Path.Value)
				other, ok := strings.CutPrefix(path, prefix)
				if ok && !permitted(other, allowed) {
					t.Errorf("%s imports %s: storage goes fsys ← record ← commitlog ← partition ← coordinator ← api; group, consumergroup, txn and cluster import none of these", name, other)
				}
			}
		}
	}
}

func permitted(other string, allowed []string) bool {
	list := allowed
	if allowed == nil {
		list = never
	}
	for _, a := range list {
		if other == a || strings.HasPrefix(other, a+"/") {
			return allowed != nil
		}
	}
	return allowed == nil
}
