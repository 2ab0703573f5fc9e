// Package internal holds no code, only the test of who may import whom in here.
package internal

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const prefix = "github.com/quokka-stream/quokka/broker/internal/"

// storage is the chain that replication will put a network into: each imports what stands
// before it, never what stands behind it.
var storage = []string{"fsys", "record", "commitlog", "partition", "coordinator", "api"}

// mayImport lists, for the packages whose walls matter, which others of this module
// their code may import. nil: what is not in the storage chain or above it.
var mayImport = map[string][]string{
	"fsys":      {},
	"history":   {},
	"record":    {},
	"commitlog": {"fsys", "record"},
	"partition": {"commitlog", "fsys", "record"},
	// It drives the pure state machines, on partitions that topics opens.
	"coordinator": {"partition", "record", "commitlog", "topics", "cluster", "group", "consumergroup", "txn", "errcode", "alloc", "wire"},
	// It sees logs through partitions; of files it knows what it sends from.
	"api": {
		"coordinator", "partition", "record", "topics", "cluster", "group", "consumergroup", "txn", "errcode",
		"auth", "quota", "limit", "wire", "fsys",
	},
	"topics": {"partition", "commitlog", "record", "fsys", "cluster", "datadir"},
	"group":  nil,
	"txn":    nil,
	// What it sees of the cluster it is given.
	"consumergroup": {"group", "errcode"},
	"cluster":       nil,
	"quota":         {},
	"metrics":       {},
	"limit":         {},
}

// never lists what the pure packages may not import at all.
var never = append([]string{"server", "topics", "clusterlog"}, storage...)

func TestImportArrows(t *testing.T) {
	for pkg, allowed := range mayImport {
		// A package that is renamed must not slip out of its wall.
		entries, err := os.ReadDir(pkg)
		if err != nil {
			t.Errorf("this package is to have a wall, and is not there; name it anew in this test: %v", err)
			continue
		}
		files := 0
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			files++
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
		if files == 0 {
			t.Errorf("there is no code in %s", pkg)
		}
	}
}

// TestStorageChain holds the table above to the order of the chain.
func TestStorageChain(t *testing.T) {
	for i, pkg := range storage {
		for _, above := range append([]string{"server"}, storage[i:]...) {
			if slices.Contains(mayImport[pkg], above) {
				t.Errorf("%s may not import %s", pkg, above)
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
