package collect

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// enough disagreements say that the index is not there yet; the rest need not be
// asked for.
const enough = 50

// kinds of documents that mirror rows.
var kinds = []string{"customers", "orders", "products"}

// indexReader remembers which documents were found to say what their row says.
type indexReader struct {
	agreed map[string]map[string]string // kind/id → the row then
}

// readIndex fetches the document of each row whose document was not already
// seen to agree with it, and the totals.
func (c *Collector) readIndex(ctx context.Context, f *checker.Facts, rows tables) error {
	r := &c.index
	if r.agreed == nil {
		r.agreed = map[string]map[string]string{}
	}
	var (
		mu    sync.Mutex
		g, gc = errgroup.WithContext(ctx)
	)
	g.SetLimit(parallel)
	disagreed := 0
	for _, kind := range kinds {
		for id, want := range rows[kind] {
			mu.Lock()
			agreed, known := r.agreed[kind+"/"+id]
			stop := disagreed >= enough
			mu.Unlock()
			if stop {
				break
			}
			if known && maps.Equal(agreed, want) {
				continue
			}
			g.Go(func() error {
				got, err := c.document(gc, kind, id)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				f.Documents = append(f.Documents, checker.Document{Kind: kind, ID: id, Want: want, Got: got})
				if says(got, want) {
					r.agreed[kind+"/"+id] = want
				} else {
					disagreed++
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.indexed = map[string]int{}
	for _, kind := range append(slices.Clone(kinds), "logs") {
		var found struct {
			Total int `json:"total"`
		}
		if _, err := c.getJSON(ctx, base(c.src.SearchURL, "/search/"+kind+"?limit=1"), &found); err != nil {
			return err
		}
		c.indexed[kind] = found.Total
		if kind != "logs" {
			f.Indexed = append(f.Indexed, checker.IndexTotal{Kind: kind, Rows: len(rows[kind]), Documents: found.Total})
		}
	}
	return nil
}

// says reports whether a document says what its row says.
func says(document, row map[string]string) bool {
	for field, value := range row {
		if document[field] != value {
			return false
		}
	}
	return document != nil
}

// document returns the fields of a document as text, or nil.
func (c *Collector) document(ctx context.Context, kind, id string) (map[string]string, error) {
	var doc struct {
		Fields map[string]any `json:"fields"`
	}
	found, err := c.getJSON(ctx, base(c.src.SearchURL, "/documents/"+kind+"/"+url.PathEscape(id)), &doc)
	if err != nil || !found {
		return nil, err
	}
	fields := map[string]string{}
	for name, value := range doc.Fields {
		fields[name] = fmt.Sprint(value)
	}
	return fields, nil
}
