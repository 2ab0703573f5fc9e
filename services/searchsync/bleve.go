package searchsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/search/query"
	bleveindex "github.com/blevesearch/bleve_index_api"
)

// Fields of a stored document beside those that are searched. A deleted
// document keeps only its version, under a kind that no search asks for.
const (
	fieldKind    = "_kind"
	fieldVersion = "_version"
	fieldPartial = "_partial"
	fieldSource  = "_source"

	deletedKind = "deleted"
)

// exactFields are matched as a whole; all other text is split into words.
var exactFields = []string{
	fieldKind, "sku", "skus", "order_id", "customer_id", "status", "reason", "currency",
	"service", "level", "trace_id", "span_id",
}

// bleveIndex is the embedded Index. Batches are durable when Batch returns:
// scorch, bleve's store, persists before it answers unless told otherwise.
type bleveIndex struct {
	index bleve.Index
	// batcher makes reading the stored versions and writing the batch one step.
	batcher *batcher
}

// writeEvery is the least time between two writes: each is a segment of its own
// and several synced files, about 2 ms of CPU however small.
const writeEvery = 20 * time.Millisecond

// scorchConfig has segments of like size merged. Batches are small, often a few
// log lines, and each is a segment. bleve's own settings take every segment
// below 2,000 documents for equally large, and so write thousands of documents
// again after each batch.
var scorchConfig = map[string]any{
	"scorchMergePlanOptions": map[string]any{"FloorSegmentSize": 16, "MaxSegmentsPerTier": 10, "SegmentsPerMergeTask": 10},
}

// OpenBleve opens the index in folder dir, or makes it. An empty dir keeps the
// index in memory.
func OpenBleve(dir string) (Index, error) {
	var (
		index bleve.Index
		err   error
	)
	if dir == "" {
		index, err = bleve.NewMemOnly(indexMapping())
	} else if index, err = bleve.OpenUsing(dir, scorchConfig); errors.Is(err, bleve.ErrorIndexPathDoesNotExist) {
		index, err = bleve.NewUsing(dir, indexMapping(), scorch.Name, bleve.Config.DefaultKVStore, scorchConfig)
	}
	if err != nil {
		return nil, fmt.Errorf("open search index %q: %w (it is rebuilt from the topics when the folder is removed and the group search-sync is reset)", dir, err)
	}
	b := &bleveIndex{index: index}
	b.batcher = &batcher{write: b.write, every: writeEvery}
	return b, nil
}

func indexMapping() mapping.IndexMapping {
	m := bleve.NewIndexMapping()
	for _, name := range exactFields {
		field := bleve.NewTextFieldMapping()
		field.Analyzer = keyword.Name
		field.Store = false
		m.DefaultMapping.AddFieldMappingsAt(name, field)
	}
	for _, name := range []string{fieldVersion, fieldPartial, fieldSource} {
		field := bleve.NewTextFieldMapping()
		field.Index, field.Store, field.IncludeInAll, field.IncludeTermVectors, field.DocValues = false, true, false, false, false
		m.DefaultMapping.AddFieldMappingsAt(name, field)
	}
	m.StoreDynamic = false
	m.DocValuesDynamic = false
	return m
}

func docID(kind Kind, id string) string { return string(kind) + "/" + id }

// Apply implements Index.
func (b *bleveIndex) Apply(ctx context.Context, docs []Document) error {
	return b.batcher.apply(ctx, docs)
}

func (b *bleveIndex) write(docs []Document) error {
	states := make(map[string]*Document, len(docs))
	batch := b.index.NewBatch()
	for _, next := range docs {
		id := docID(next.Kind, next.ID)
		old, seen := states[id]
		if !seen && next.Version != (Version{}) {
			var err error
			if old, err = b.load(next.Kind, next.ID); err != nil {
				return err
			}
		}
		state, changed := supersede(old, next)
		states[id] = &state
		if !changed {
			continue
		}
		if err := put(batch, id, state); err != nil {
			return err
		}
	}
	if batch.Size() == 0 {
		return nil
	}
	if err := b.index.Batch(batch); err != nil {
		return fmt.Errorf("write %d documents to the search index: %w", batch.Size(), err)
	}
	return nil
}

// put adds a document's state to the batch.
func put(batch *bleve.Batch, id string, doc Document) error {
	data := map[string]any{fieldKind: string(doc.Kind), fieldVersion: doc.Version.String()}
	if doc.Partial {
		data[fieldPartial] = "yes"
	}
	if doc.Deleted {
		data[fieldKind] = deletedKind
	} else {
		source, err := json.Marshal(doc.Fields)
		if err != nil {
			return &DocumentError{Kind: doc.Kind, ID: doc.ID, Reason: err.Error()}
		}
		data[fieldSource] = string(source)
		for name, value := range doc.Fields {
			data[name] = value
		}
	}
	if err := batch.Index(id, data); err != nil {
		return fmt.Errorf("index document %s: %w", id, err)
	}
	return nil
}

// load returns the stored state of a document, or nil.
func (b *bleveIndex) load(kind Kind, id string) (*Document, error) {
	stored, err := b.index.Document(docID(kind, id))
	if err != nil {
		return nil, fmt.Errorf("read document %s/%s: %w", kind, id, err)
	}
	if stored == nil {
		return nil, nil
	}
	doc := &Document{Kind: kind, ID: id, Deleted: true}
	var failed error
	stored.VisitFields(func(f bleveindex.Field) {
		switch f.Name() {
		case fieldVersion:
			doc.Version, failed = parseVersion(string(f.Value()))
		case fieldPartial:
			doc.Partial = true
		case fieldSource:
			doc.Deleted = false
			failed = json.Unmarshal(f.Value(), &doc.Fields)
		}
	})
	if failed != nil {
		return nil, fmt.Errorf("read document %s/%s: %w", kind, id, failed)
	}
	return doc, nil
}

// Search implements Index.
func (b *bleveIndex) Search(ctx context.Context, kind Kind, text string, limit int) (Result, error) {
	ofKind := bleve.NewTermQuery(string(kind))
	ofKind.SetField(fieldKind)
	var wanted query.Query = ofKind
	if text = strings.TrimSpace(text); text != "" {
		parsed := bleve.NewQueryStringQuery(text)
		if err := parsed.Validate(); err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrBadQuery, err)
		}
		// The parser splits ids and SKUs into words; as a whole they are terms.
		whole := bleve.NewTermQuery(text)
		wanted = bleve.NewConjunctionQuery(ofKind, bleve.NewDisjunctionQuery(parsed, whole))
	}
	request := bleve.NewSearchRequestOptions(wanted, limit, 0, false)
	request.Fields = []string{fieldVersion, fieldSource}
	found, err := b.index.SearchInContext(ctx, request)
	if err != nil {
		return Result{}, fmt.Errorf("search %s: %w", kind, err)
	}
	result := Result{Total: found.Total, Hits: make([]Hit, 0, len(found.Hits))}
	for _, match := range found.Hits {
		hit := Hit{ID: strings.TrimPrefix(match.ID, string(kind)+"/"), Score: match.Score}
		hit.Version, _ = match.Fields[fieldVersion].(string)
		source, _ := match.Fields[fieldSource].(string)
		if err := json.Unmarshal([]byte(source), &hit.Fields); err != nil {
			return Result{}, fmt.Errorf("read document %s: %w", match.ID, err)
		}
		result.Hits = append(result.Hits, hit)
	}
	return result, nil
}

// Get implements Index.
func (b *bleveIndex) Get(_ context.Context, kind Kind, id string) (Document, error) {
	doc, err := b.load(kind, id)
	if err != nil {
		return Document{}, err
	}
	if doc == nil || doc.Deleted {
		return Document{}, fmt.Errorf("%w: %s %s", ErrNotFound, kind, id)
	}
	return *doc, nil
}

// Ready implements Index.
func (b *bleveIndex) Ready(context.Context) error { return nil }

// Close implements Index.
func (b *bleveIndex) Close() error {
	b.batcher.wait()
	return b.index.Close()
}
