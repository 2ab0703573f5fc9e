package searchsync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
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
		"OpenSearch": func(t *testing.T) Index {
			t.Helper()
			return onOpenSearch(t)
		},
	}
}

// onOpenSearch opens indexes of the test's own on the server that
// QUOKKA_SEARCH_URL names.
func onOpenSearch(t *testing.T) *openSearch {
	t.Helper()
	address := os.Getenv("QUOKKA_SEARCH_URL")
	if address == "" {
		t.Skip("not run: QUOKKA_SEARCH_URL names no OpenSearch (make opensearch-test starts one)")
	}
	index, err := openOpenSearch(address, "test-"+strings.ToLower(rand.Text())+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, kind := range Kinds {
			name := index.index(kind)
			_, err := index.client.Indices.Delete(context.Background(), opensearchapi.IndicesDeleteReq{Indices: []string{name}})
			_, err2 := index.client.IndexTemplate.Delete(context.Background(), opensearchapi.IndexTemplateDeleteReq{IndexTemplate: name})
			if err := errors.Join(err, err2); err != nil {
				t.Error(err)
			}
		}
		index.Close()
	})
	return index
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

// TestQueryContract: the query language finds the same in every index.
func TestQueryContract(t *testing.T) {
	placed := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	docs := []Document{
		{Kind: Products, ID: "SKU-1", Version: Version{1, 1}, Fields: map[string]any{"sku": "SKU-1", "name": "Red copper kettle", "price_cents": 1000}},
		{Kind: Products, ID: "SKU-2", Version: Version{1, 2}, Fields: map[string]any{"sku": "SKU-2", "name": "Red teapot", "price_cents": 950.5}},
		{Kind: Products, ID: "SKU-3", Version: Version{1, 3}, Fields: map[string]any{"sku": "SKU-3", "name": "The blue kettle of copper", "price_cents": 30, "discontinued": nil}},
		{Kind: Orders, ID: "o-1", Version: Version{1, 0}, Partial: true, Fields: map[string]any{"order_id": "o-1", "status": "pending", "skus": []any{"SKU-1", "SKU-2"}, "quantity": 7, "placed_at": placed}},
		{Kind: Orders, ID: "o-2", Version: Version{2, 0}, Partial: true, Fields: map[string]any{"order_id": "o-2", "status": "confirmed", "placed_at": placed.Add(time.Hour)}},
		{Kind: Logs, ID: "0-1", Fields: map[string]any{"message": "GET /orders failed (again)", "level": "ERROR", "attributes": map[string]any{"error": "connection refused", "error.kind": "net", "http": map[string]any{"status": "503"}}}},
		{Kind: Logs, ID: "0-2", Fields: map[string]any{"message": "started", "level": "INFO", "attributes": map[string]any{"long": strings.Repeat("x", 50_000), "error": "none"}}},
	}
	tests := []struct {
		kind  Kind
		query string
		want  string
	}{
		{Products, "", "SKU-1 SKU-2 SKU-3"},
		{Products, "kettle teapot", "SKU-1 SKU-2 SKU-3"},
		{Products, "+kettle +red", "SKU-1"},
		{Products, "kettle -red", "SKU-3"},
		{Products, "-red", "SKU-3"},
		{Products, "KETTLE", "SKU-1 SKU-3"},
		{Products, `"copper kettle"`, "SKU-1"},
		{Products, `name:"copper kettle"`, "SKU-1"},
		{Products, "name:teapot", "SKU-2"},
		{Products, "nothing:teapot", ""},
		{Products, "teap*", "SKU-2"},
		{Products, "name:kett?e", "SKU-1 SKU-3"},
		{Products, "/tea.*/", "SKU-2"},
		{Products, "kettel~2", "SKU-1 SKU-3"},
		{Products, "kettle^2", "SKU-1 SKU-3"},
		{Products, "price_cents:1000", "SKU-1"},
		{Products, "price_cents:>950", "SKU-1 SKU-2"},
		{Products, "price_cents:<=30", "SKU-3"},
		{Products, "+price_cents:>500 -teapot", "SKU-1"},
		{Products, "price_cents:cheap", ""},
		{Products, "SKU-3", "SKU-3"},
		{Products, "sku:SKU-3", "SKU-3"},
		{Products, "sku:sku-3", ""},
		{Orders, "skus:SKU-2", "o-1"},
		{Orders, "SKU-2", "o-1"},
		{Orders, "status:pending", "o-1"},
		{Orders, "confirmed", "o-2"},
		{Orders, "Confirmed", "o-2"},
		{Orders, "quantity:>=7", "o-1"},
		{Orders, `placed_at:>"2026-03-01T12:30:00Z"`, "o-2"},
		{Orders, `placed_at:<="2026-03-01T12:30:00Z"`, "o-1"},
		{Logs, "GET /orders", "0-1"},
		{Logs, "failed (again)", "0-1"},
		{Logs, "refused", "0-1"},
		{Logs, `attributes.error:none`, "0-2"},
		{Logs, "attributes.http.status:503", "0-1"},
		{Logs, "level:INFO", "0-2"},
	}
	for name, open := range indexes(t) {
		t.Run(name, func(t *testing.T) {
			index := open(t)
			if err := index.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := index.Apply(t.Context(), docs); err != nil {
				t.Fatal(err)
			}
			for _, tt := range tests {
				found, err := index.Search(t.Context(), tt.kind, tt.query, 10)
				if err != nil {
					t.Errorf("%s %q: %v", tt.kind, tt.query, err)
					continue
				}
				var ids []string
				for _, hit := range found.Hits {
					ids = append(ids, hit.ID)
				}
				slices.Sort(ids)
				if got := strings.Join(ids, " "); got != tt.want {
					t.Errorf("%s %q found %q, want %q", tt.kind, tt.query, got, tt.want)
				}
			}
			for _, query := range []string{`"unclosed`, "price_cents:>", "+"} {
				if _, err := index.Search(t.Context(), Products, query, 10); !errors.Is(err, ErrBadQuery) {
					t.Errorf("%q: %v, want a bad query", query, err)
				}
			}
			if found, err := index.Search(t.Context(), Products, "", 1); err != nil || found.Total != 3 || len(found.Hits) != 1 {
				t.Errorf("limit 1: %d of %d, %v", len(found.Hits), found.Total, err)
			}
			if found, err := index.Search(t.Context(), Products, "kettle", 0); err != nil || found.Total != 2 || len(found.Hits) != 0 {
				t.Errorf("limit 0: %d of %d, %v", len(found.Hits), found.Total, err)
			}
			found, err := index.Search(t.Context(), Orders, "o-1", 1)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"order_id": "o-1", "status": "pending", "skus": []any{"SKU-1", "SKU-2"}, "quantity": 7.0, "placed_at": "2026-03-01T12:00:00.123456789Z"}
			if diff := cmp.Diff(want, found.Hits[0].Fields); diff != "" || found.Hits[0].Version != "1.0" {
				t.Errorf("version %s, fields (-want +got):\n%s", found.Hits[0].Version, diff)
			}
			// What cannot be a document says so, and is nobody else's trouble.
			var refused *DocumentError
			bad := Document{Kind: Products, ID: "bad", Version: Version{1, 1}, Fields: map[string]any{"price": math.NaN()}}
			if err := index.Apply(t.Context(), []Document{bad}); !errors.As(err, &refused) || refused.ID != "bad" {
				t.Errorf("a document that cannot be encoded: %v", err)
			}
		})
	}
}

// TestConcurrentApply: several writers tell the same documents all their states
// in different orders; the newest is what is found.
func TestConcurrentApply(t *testing.T) {
	const versions = 12
	strides := []int{1, 5, 7, 11} // each visits all versions
	for name, open := range indexes(t) {
		t.Run(name, func(t *testing.T) {
			index := open(t)
			var wg sync.WaitGroup
			for w, stride := range strides {
				wg.Go(func() {
					for i := range versions {
						v := uint64((i*stride+w)%versions) + 1
						docs := []Document{
							product("A", fmt.Sprintf("state %d", v), v, 0),
							{Kind: Products, ID: "B", Version: Version{v, 0}, Deleted: v == versions, Fields: map[string]any{"name": "x"}},
							{Kind: Logs, ID: fmt.Sprint(v), Fields: map[string]any{"message": "line"}},
						}
						var busy *UnavailableError
						for {
							err := index.Apply(t.Context(), docs)
							if err == nil {
								break
							}
							if !errors.As(err, &busy) || !busy.Busy {
								t.Error(err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			got, err := index.Get(t.Context(), Products, "A")
			if err != nil || got.Version != (Version{versions, 0}) || got.Fields["name"] != fmt.Sprintf("state %d", versions) {
				t.Errorf("A is %+v, %v", got, err)
			}
			if _, err := index.Get(t.Context(), Products, "B"); !errors.Is(err, ErrNotFound) {
				t.Errorf("B was deleted: %v", err)
			}
			if found, err := index.Search(t.Context(), Logs, "line", 0); err != nil || found.Total != versions {
				t.Errorf("%d lines, %v, want %d", found.Total, err, versions)
			}
		})
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
