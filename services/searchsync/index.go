package searchsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Kind is a class of documents; each is searched apart from the others.
type Kind string

// The kinds search-sync maintains.
const (
	Products  Kind = "products"
	Customers Kind = "customers"
	Orders    Kind = "orders"
	Logs      Kind = "logs"
)

// Kinds lists every kind.
var Kinds = []Kind{Products, Customers, Orders, Logs}

// Version orders the states of one document. For rows it is (commit end LSN,
// ordinal in the transaction), for orders (order version, 0). The zero Version
// is that of documents that never change, such as log lines.
type Version struct {
	Major, Minor uint64
}

// Compare returns -1, 0 or 1 as v is older than, equal to or newer than o.
func (v Version) Compare(o Version) int {
	switch {
	case v == o:
		return 0
	case v.Major < o.Major, v.Major == o.Major && v.Minor < o.Minor:
		return -1
	default:
		return 1
	}
}

// String is the version as indexes store it.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// parseVersion reads what String wrote.
func parseVersion(s string) (v Version, err error) {
	_, err = fmt.Sscanf(s, "%d.%d", &v.Major, &v.Minor)
	return v, err
}

// Document is one searchable thing in one state.
type Document struct {
	Kind    Kind
	ID      string
	Version Version
	// Deleted marks the state after a delete: nothing to find, but the version
	// stays, so that an older change that arrives late cannot bring it back.
	Deleted bool
	// Partial says that Fields are what one event told, not the whole document.
	Partial bool
	Fields  map[string]any
}

// supersede returns the state after next was told about a document that is in
// state old, and whether that differs from old. It is a join: telling the same
// states in any order, any number of times, ends in the same document.
func supersede(old *Document, next Document) (Document, bool) {
	if old == nil {
		return next, true
	}
	newer := next.Version.Compare(old.Version)
	if newer == 0 {
		return *old, false
	}
	if !next.Partial || !old.Partial {
		if newer > 0 {
			return next, true
		}
		return *old, false
	}
	// Of two partial states the newer one's fields win, and the older one's
	// fill in what the newer did not tell.
	first, last := *old, next
	if newer < 0 {
		first, last = next, *old
	}
	merged := last
	merged.Fields = maps.Clone(first.Fields)
	maps.Copy(merged.Fields, last.Fields)
	return merged, newer > 0 || len(merged.Fields) > len(old.Fields)
}

// Hit is one document that a search found.
type Hit struct {
	ID      string         `json:"id"`
	Score   float64        `json:"score"`
	Version string         `json:"version,omitempty"`
	Fields  map[string]any `json:"fields"`
}

// Result is what a search found.
type Result struct {
	// Total counts all matches, of which Hits are the best.
	Total uint64 `json:"total"`
	Hits  []Hit  `json:"hits"`
}

// Errors that an Index returns.
var (
	// ErrNotFound says that there is no such document.
	ErrNotFound = errors.New("no such document")
	// ErrBadQuery says that the query's text cannot be parsed.
	ErrBadQuery = errors.New("the query cannot be parsed")
)

// Index is the port to a search engine.
type Index interface {
	// Apply tells the index new states of documents, in any order, and returns
	// once they would survive a crash and searches find them. Older states than
	// those it has change nothing. After an error some of them may be stored:
	// telling all of them again is right. A *DocumentError is about one of them
	// and stays; other errors may go away.
	Apply(ctx context.Context, docs []Document) error
	// Search returns the best limit documents of the kind. An empty query
	// matches all.
	Search(ctx context.Context, kind Kind, query string, limit int) (Result, error)
	// Get returns one document that is not deleted, or ErrNotFound.
	Get(ctx context.Context, kind Kind, id string) (Document, error)
	// Ready reports whether the index can take documents now.
	Ready(ctx context.Context) error
	// Close releases the index.
	Close() error
}
