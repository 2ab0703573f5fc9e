package searchsync

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
)

const (
	// IndexPrefix begins the names of the indexes in OpenSearch, one for each kind.
	IndexPrefix = "quokka-"
	// openSearchTimeout bounds one request.
	openSearchTimeout = 20 * time.Second
)

// openSearch is the Index on an OpenSearch server.
//
// OpenSearch orders writes by one number (version_type=external), which cannot
// hold a commit's LSN and an ordinal, and forgets the numbers of deleted
// documents. So Apply reads the stored versions, decides as the embedded index
// does, and writes on condition that nobody wrote in between (if_seq_no,
// if_primary_term, create). A write that was overtaken, also one that a killed
// process left on its way, is refused by the server and decided again.
type openSearch struct {
	client *opensearchapi.Client
	prefix string

	// mu makes preparing one step; prepared says that the indexes are there.
	mu       sync.Mutex
	prepared bool

	// refreshing makes a refresh one step, so that nobody searches before one
	// that is under way has ended.
	refreshing sync.Mutex
	// written counts our bulk requests, and seen how many of them a search finds.
	written atomic.Int64
	seen    int64
}

// OpenOpenSearch prepares an Index on the server at address, an http or https URL
// that may carry user and password, in indexes whose names begin with prefix;
// empty: IndexPrefix. It does not connect: the server may come later.
func OpenOpenSearch(address, prefix string) (Index, error) {
	o, err := openOpenSearch(address, cmp.Or(prefix, IndexPrefix))
	if err != nil {
		return nil, err
	}
	return o, nil
}

func openOpenSearch(address, prefix string) (*openSearch, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// Not the text itself: it may hold a password.
		return nil, errors.New("QUOKKA_SEARCH_URL is no address: want one such as http://127.0.0.1:9200 or https://user:password@search.example:9200")
	}
	client, err := opensearchapi.NewClient(opensearchapi.Config{Client: opensearch.Config{
		Addresses: []string{u.String()},
		// The consumer waits and tries again, with its backoff and without limit.
		DisableRetry: true, RequestTimeout: openSearchTimeout,
		// One address: nothing to choose from, so nothing to probe.
		HealthCheckMaxRetries: -1, MaxRetryClusterHealth: -1, DiscoverNodesOnStart: new(bool),
	}})
	if err != nil {
		return nil, fmt.Errorf("client of the search engine: %w", err)
	}
	return &openSearch{client: client, prefix: prefix, seen: -1 /* an earlier process may have written */}, nil
}

func (o *openSearch) index(kind Kind) string { return o.prefix + string(kind) }

// Ready implements Index.
func (o *openSearch) Ready(ctx context.Context) error {
	if err := o.prepare(ctx); err != nil {
		return err
	}
	if resp, err := o.client.Ping(ctx, nil); err != nil {
		return unavailable(resp, err)
	} else if resp.IsError() {
		return unavailable(resp, errors.New(resp.Status()))
	}
	return nil
}

// prepare makes the indexes that are not there. The templates make one right
// that is deleted while we write.
func (o *openSearch) prepare(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.prepared {
		return nil
	}
	whole := openSearchIndex()
	for _, kind := range Kinds {
		name := o.index(kind)
		template := map[string]any{"index_patterns": []string{name}, "priority": 100, "template": whole}
		stencil, err := o.client.IndexTemplate.Create(ctx, opensearchapi.IndexTemplateCreateReq{IndexTemplate: name, Body: body(template)})
		if err != nil {
			return prepareError(name, stencil.Inspect().Response, err)
		}
		made, err := o.client.Indices.Create(ctx, opensearchapi.IndicesCreateReq{Index: name, Body: body(whole)})
		if err == nil {
			continue
		}
		if typeOf(err) != "resource_already_exists_exception" {
			return prepareError(name, made.Inspect().Response, err)
		}
		// It gets what an older Quokka did not map.
		mapped, err := o.client.Indices.Mapping.Put(ctx, opensearchapi.MappingPutReq{Indices: []string{name}, Body: body(whole["mappings"])})
		if err != nil {
			return prepareError(name, mapped.Inspect().Response, err)
		}
	}
	o.prepared = true
	return nil
}

func prepareError(index string, resp *opensearch.Response, err error) error {
	if statusOf(resp) == http.StatusBadRequest {
		return &MappingError{Index: index, Err: err}
	}
	return unavailable(resp, err)
}

// body encodes what only holds maps, lists and texts.
func body(v any) *bytes.Reader {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return bytes.NewReader(data)
}

// Search implements Index. What was written is in a file before it is in what
// searches see; the first search after a write has it brought there.
func (o *openSearch) Search(ctx context.Context, kind Kind, text string, limit int) (Result, error) {
	wanted, err := translate(strings.TrimSpace(text))
	if err != nil {
		return Result{}, err
	}
	if err := o.prepare(ctx); err != nil {
		return Result{}, err
	}
	if err := o.refresh(ctx); err != nil {
		return Result{}, err
	}
	found, err := o.client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{o.index(kind)}, Body: body(map[string]any{
		"size": limit, "track_total_hits": true,
		"query": clause{"bool": clause{
			"must":     wanted,
			"must_not": clause{"term": clause{metaDeleted: true}},
		}},
	})})
	switch {
	case err != nil && statusOf(found.Inspect().Response) == http.StatusBadRequest:
		return Result{}, fmt.Errorf("%w: %s", ErrBadQuery, reasonOf(err))
	case err != nil:
		return Result{}, o.searchError(found.Inspect().Response, err)
	case found.Shards.Failed > 0 || found.Timeout:
		return Result{}, unavailable(nil, fmt.Errorf("%d of %d shards did not answer", found.Shards.Failed, found.Shards.Total))
	}
	result := Result{Total: uint64(max(found.Hits.Total.Value, 0)), Hits: make([]Hit, 0, len(found.Hits.Hits))}
	for _, hit := range found.Hits.Hits {
		doc, err := readSource(kind, hit.ID, hit.Source)
		if err != nil {
			return Result{}, err
		}
		result.Hits = append(result.Hits, Hit{ID: doc.ID, Score: float64(hit.Score), Version: doc.Version.String(), Fields: doc.Fields})
	}
	return result, nil
}

func (o *openSearch) searchError(resp *opensearch.Response, err error) error {
	if statusOf(resp) == http.StatusNotFound {
		o.forget()
	}
	return unavailable(resp, err)
}

// refresh makes visible what Apply has acknowledged. What other processes write
// becomes so by itself, within a second.
func (o *openSearch) refresh(ctx context.Context) error {
	o.refreshing.Lock()
	defer o.refreshing.Unlock()
	written := o.written.Load()
	if o.seen == written {
		return nil
	}
	var names []string
	for _, kind := range Kinds {
		names = append(names, o.index(kind))
	}
	done, err := o.client.Indices.Refresh(ctx, &opensearchapi.IndicesRefreshReq{Index: names})
	if err != nil {
		return o.searchError(done.Inspect().Response, err)
	}
	o.seen = written
	return nil
}

// Get implements Index.
func (o *openSearch) Get(ctx context.Context, kind Kind, id string) (Document, error) {
	if err := o.prepare(ctx); err != nil {
		return Document{}, err
	}
	asked := &told{kind: kind, id: id, states: []Document{{Kind: kind, ID: id, Version: Version{Major: 1}}}}
	var refused *DocumentError
	if err := o.load(ctx, []*told{asked}); err != nil && !errors.As(err, &refused) {
		return Document{}, err
	}
	if doc := asked.was.doc; doc != nil && !doc.Deleted {
		return *doc, nil
	}
	return Document{}, fmt.Errorf("%w: %s %s", ErrNotFound, kind, id)
}

// Close implements Index.
func (o *openSearch) Close() error { return o.client.Client.Close() }
