package searchsync

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestVersionOrder(t *testing.T) {
	ordered := []Version{{}, {0, 1}, {1, 0}, {1, 7}, {2, 0}, {1 << 40, 3}}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
		if back, err := parseVersion(a.String()); err != nil || back != a {
			t.Errorf("parseVersion(%q) = %v, %v", a.String(), back, err)
		}
	}
}

// TestSupersedeIsAJoin: however the states of one document arrive, and however
// often, the document ends the same.
func TestSupersedeIsAJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partial := rapid.Bool().Draw(t, "partial")
		n := rapid.IntRange(1, 6).Draw(t, "states")
		states := make([]Document, n)
		for i := range states {
			states[i] = Document{Kind: Orders, ID: "1", Version: Version{uint64(i + 1), 0}, Partial: partial,
				Fields: map[string]any{"status": fmt.Sprint(i)}}
			if i == 0 {
				states[i].Fields["lines"] = "all"
			}
			if !partial && rapid.Bool().Draw(t, "deleted") {
				states[i].Deleted, states[i].Fields = true, nil
			}
		}
		fold := func(order []int) *Document {
			var doc *Document
			for _, i := range order {
				next, _ := supersede(doc, states[i])
				doc = &next
			}
			return doc
		}
		inOrder := make([]int, n)
		for i := range inOrder {
			inOrder[i] = i
		}
		shuffled := rapid.Permutation(inOrder).Draw(t, "order")
		again := append(shuffled, rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 5).Draw(t, "repeats")...)
		if diff := cmp.Diff(fold(inOrder), fold(again)); diff != "" {
			t.Fatalf("order %v ends elsewhere (-in order +arrived):\n%s", again, diff)
		}
	})
}

// indexes are the implementations under one contract.
func indexes(t *testing.T) map[string]func(t *testing.T) Index {
	t.Helper()
	return map[string]func(t *testing.T) Index{
		"bleve": func(t *testing.T) Index {
			t.Helper()
			index, err := OpenBleve(filepath.Join(t.TempDir(), "index"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { index.Close() })
			return index
		},
	}
}

func product(sku, name string, major, minor uint64) Document {
	return Document{Kind: Products, ID: sku, Version: Version{major, minor}, Fields: map[string]any{"sku": sku, "name": name}}
}

func TestIndexContract(t *testing.T) {
	for name, open := range indexes(t) {
		t.Run(name, func(t *testing.T) { testIndex(t, open(t)) })
	}
}

func testIndex(t *testing.T, index Index) {
	ctx := t.Context()
	apply := func(docs ...Document) {
		t.Helper()
		if err := index.Apply(ctx, docs); err != nil {
			t.Fatal(err)
		}
	}
	search := func(kind Kind, q string) string {
		t.Helper()
		found, err := index.Search(ctx, kind, q, 10)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, hit := range found.Hits {
			ids = append(ids, hit.ID)
		}
		if int(found.Total) != len(ids) {
			t.Errorf("search %q: total %d but %d hits", q, found.Total, len(ids))
		}
		return strings.Join(ids, " ")
	}

	apply(product("SKU-1", "Red kettle", 10, 1), product("SKU-2", "Blue teapot", 10, 2))
	if got := search(Products, "kettle"); got != "SKU-1" {
		t.Errorf("search by word found %q", got)
	}
	if got := search(Products, "sku:SKU-2"); got != "SKU-2" {
		t.Errorf("search by exact field found %q", got)
	}
	if got := search(Products, "SKU-2"); got != "SKU-2" {
		t.Errorf("search by a bare id found %q", got)
	}
	if got := search(Customers, ""); got != "" {
		t.Errorf("another kind found %q", got)
	}

	// An older change does nothing, also within one batch.
	apply(product("SKU-1", "Green kettle", 12, 1), product("SKU-1", "Old kettle", 11, 1))
	if got := search(Products, "old"); got != "" {
		t.Errorf("an older change came through: %q", got)
	}
	if got := search(Products, "green"); got != "SKU-1" {
		t.Errorf("the newer change is not found: %q", got)
	}

	// A delete leaves its version behind.
	apply(Document{Kind: Products, ID: "SKU-1", Version: Version{13, 1}, Deleted: true})
	apply(product("SKU-1", "Back from the dead", 12, 9))
	if got := search(Products, "dead"); got != "" {
		t.Errorf("an older change undid a delete: %q", got)
	}
	if _, err := index.Get(ctx, Products, "SKU-1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of a deleted document: %v", err)
	}
	apply(product("SKU-1", "New kettle", 14, 1))
	if got := search(Products, "kettle"); got != "SKU-1" {
		t.Errorf("created again, found %q", got)
	}

	// Partial states add up.
	apply(Document{Kind: Orders, ID: "o", Version: Version{2, 0}, Partial: true, Fields: map[string]any{"status": "confirmed"}})
	apply(Document{Kind: Orders, ID: "o", Version: Version{1, 0}, Partial: true, Fields: map[string]any{"status": "pending", "skus": []any{"SKU-2"}}})
	doc, err := index.Get(ctx, Orders, "o")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"status": "confirmed", "skus": []any{"SKU-2"}}, doc.Fields); diff != "" {
		t.Errorf("order after events in the wrong order (-want +got):\n%s", diff)
	}
	if got := search(Orders, "status:confirmed"); got != "o" {
		t.Errorf("search by status found %q", got)
	}

	if _, err := index.Search(ctx, Products, `"unclosed`, 10); !errors.Is(err, ErrBadQuery) {
		t.Errorf("bad query: %v", err)
	}
}

// TestBleveSurvivesReopen: what Apply acknowledged is there after a restart,
// versions of deleted documents included.
func TestBleveSurvivesReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	index, err := OpenBleve(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.Apply(t.Context(), []Document{
		product("A", "Lamp", 5, 1),
		{Kind: Products, ID: "B", Version: Version{6, 1}, Deleted: true},
	}); err != nil {
		t.Fatal(err)
	}
	if err := index.Close(); err != nil {
		t.Fatal(err)
	}
	if index, err = OpenBleve(dir); err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	if err := index.Apply(t.Context(), []Document{product("B", "Old lamp", 5, 2)}); err != nil {
		t.Fatal(err)
	}
	found, err := index.Search(t.Context(), Products, "lamp", 10)
	if err != nil {
		t.Fatal(err)
	}
	if found.Total != 1 || found.Hits[0].ID != "A" {
		t.Errorf("found %+v, want the lamp A only", found)
	}
}
