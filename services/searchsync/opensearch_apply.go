package searchsync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
)

const (
	// bulkBytes is the size above which a bulk request is sent.
	bulkBytes = 4 << 20
	// applyRounds bounds how often Apply reads again what another writer changed
	// between its reading and its writing.
	applyRounds = 5
)

// stored is a document's state in the index and the write that made it.
type stored struct {
	doc         *Document // nil: there is none
	seqNo, term int
}

// told is what Apply is told about one document, in the order it was told.
type told struct {
	kind   Kind
	id     string
	states []Document
	was    stored
}

// Apply implements Index.
func (o *openSearch) Apply(ctx context.Context, docs []Document) error {
	if len(docs) == 0 {
		return nil
	}
	if err := o.prepare(ctx); err != nil {
		return err
	}
	left := byDocument(docs)
	for range applyRounds {
		if err := o.load(ctx, left); err != nil {
			return err
		}
		var err error
		if left, err = o.write(ctx, left); err != nil || len(left) == 0 {
			return err
		}
	}
	return &UnavailableError{Status: http.StatusConflict, Busy: true, Err: fmt.Errorf("%d documents are being written by others", len(left))}
}

// byDocument gathers the states of each document.
func byDocument(docs []Document) []*told {
	var out []*told
	at := make(map[string]*told, len(docs))
	for _, doc := range docs {
		key := docID(doc.Kind, doc.ID)
		t := at[key]
		if t == nil {
			t = &told{kind: doc.Kind, id: doc.ID}
			at[key], out = t, append(out, t)
		}
		t.states = append(t.states, doc)
	}
	return out
}

// load reads the stored states of the documents that have versions.
func (o *openSearch) load(ctx context.Context, docs []*told) error {
	type name struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	}
	var names []name
	var asked []*told
	for _, t := range docs {
		if t.states[0].Version == (Version{}) {
			continue
		}
		names, asked = append(names, name{o.index(t.kind), t.id}), append(asked, t)
	}
	if len(names) == 0 {
		return nil
	}
	found, err := o.client.MGet(ctx, opensearchapi.MGetReq{Body: body(map[string]any{"docs": names})})
	if err != nil {
		return unavailable(found.Inspect().Response, err)
	}
	if len(found.Docs) != len(asked) {
		return unavailable(nil, fmt.Errorf("asked for %d documents, got %d", len(asked), len(found.Docs)))
	}
	for i, answer := range found.Docs {
		t := asked[i]
		switch {
		case answer.Error != nil:
			return o.readError(t, answer.Error)
		case !answer.Found:
			t.was = stored{}
		default:
			doc, err := readSource(t.kind, t.id, answer.Source)
			if err != nil {
				return err
			}
			t.was = stored{doc: doc, seqNo: answer.SeqNo, term: answer.PrimaryTerm}
		}
	}
	return nil
}

func (o *openSearch) readError(t *told, e *opensearchapi.DocumentError) error {
	switch e.Type {
	case "index_not_found_exception":
		o.forget()
	case "illegal_argument_exception": // such as an id of more than 512 bytes
		return &DocumentError{Kind: t.kind, ID: t.id, Reason: e.Reason}
	}
	return &UnavailableError{Err: fmt.Errorf("read document %s/%s: %s: %s", t.kind, t.id, e.Type, e.Reason)}
}

// forget has the indexes made again: somebody deleted one.
func (o *openSearch) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prepared = false
}

// write stores the documents whose state changes, and returns those that
// somebody else wrote meanwhile.
func (o *openSearch) write(ctx context.Context, docs []*told) (overtaken []*told, err error) {
	var bulk bytes.Buffer
	var sent []*told
	flush := func() error {
		if len(sent) == 0 {
			return nil
		}
		again, err := o.send(ctx, bytes.NewReader(bulk.Bytes()), sent)
		overtaken = append(overtaken, again...)
		bulk.Reset()
		sent = nil
		return err
	}
	for _, t := range docs {
		changed, err := t.encode(o.index(t.kind), &bulk)
		if err != nil {
			return nil, err
		}
		if !changed {
			continue
		}
		sent = append(sent, t)
		if bulk.Len() >= bulkBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return overtaken, flush()
}

// encode appends the write that the document needs, if any.
func (t *told) encode(index string, bulk *bytes.Buffer) (changed bool, err error) {
	state := t.was.doc
	for _, next := range t.states {
		after, differs := supersede(state, next)
		state, changed = &after, changed || differs
	}
	if !changed {
		return false, nil
	}
	source, err := encodeSource(*state)
	if err != nil {
		return false, &DocumentError{Kind: t.kind, ID: t.id, Reason: err.Error()}
	}
	action := map[string]any{"create": map[string]any{"_index": index, "_id": t.id}}
	if t.was.doc != nil {
		action = map[string]any{"index": map[string]any{"_index": index, "_id": t.id, "if_seq_no": t.was.seqNo, "if_primary_term": t.was.term}}
	}
	head, err := json.Marshal(action)
	if err != nil {
		return false, err
	}
	for _, line := range [][]byte{head, source} {
		bulk.Write(line)
		bulk.WriteByte('\n')
	}
	return true, nil
}

// send sends one bulk request and looks at each of its answers.
func (o *openSearch) send(ctx context.Context, bulk *bytes.Reader, sent []*told) (overtaken []*told, err error) {
	answer, err := o.client.Bulk(ctx, opensearchapi.BulkReq{Body: bulk})
	o.written.Add(1) // also without an answer: it may have been done
	if err != nil {
		return nil, unavailable(answer.Inspect().Response, err)
	}
	if len(answer.Items) != len(sent) {
		return nil, unavailable(nil, fmt.Errorf("wrote %d documents, got answers for %d", len(sent), len(answer.Items)))
	}
	for i, actions := range answer.Items {
		t := sent[i]
		for _, item := range actions { // of one action
			switch {
			case item.Status < http.StatusMultipleChoices:
			case item.Status == http.StatusConflict:
				// What never changes is there already.
				if t.states[0].Version != (Version{}) {
					overtaken = append(overtaken, t)
				}
			default:
				err = errors.Join(err, o.itemError(t, item))
			}
		}
	}
	return overtaken, err
}

func (o *openSearch) itemError(t *told, item opensearchapi.BulkRespItem) error {
	what := "no reason given"
	if item.Error != nil {
		what = item.Error.Type + ": " + item.Error.Reason
		if item.Error.Cause.Reason != "" {
			what += ": " + item.Error.Cause.Reason
		}
	}
	switch item.Status {
	case http.StatusBadRequest:
		return &DocumentError{Kind: t.kind, ID: t.id, Reason: what}
	case http.StatusNotFound:
		o.forget()
	}
	return &UnavailableError{
		Status: item.Status, Busy: item.Status == http.StatusTooManyRequests,
		Err: fmt.Errorf("write document %s/%s: %s", t.kind, t.id, what),
	}
}

// encodeSource is a document as it is stored.
func encodeSource(doc Document) ([]byte, error) {
	meta := openSearchMeta{Version: doc.Version.String(), Deleted: doc.Deleted, Partial: doc.Partial}
	data := make(map[string]any, len(doc.Fields)+1)
	if !doc.Deleted {
		for name, value := range doc.Fields {
			data[name] = value
		}
		meta.Words, meta.Pairs = nestedValues(doc.Fields)
	}
	data[metaField] = meta
	return json.Marshal(data)
}

// readSource reads what encodeSource wrote.
func readSource(kind Kind, id string, source []byte) (*Document, error) {
	var meta struct {
		Quokka openSearchMeta `json:"quokka"`
	}
	doc := &Document{Kind: kind, ID: id}
	err := json.Unmarshal(source, &meta)
	if err == nil {
		err = json.Unmarshal(source, &doc.Fields)
	}
	if err == nil {
		doc.Version, err = parseVersion(meta.Quokka.Version)
	}
	if err != nil {
		return nil, &UnavailableError{Err: fmt.Errorf("document %s/%s is not as we write them: %w", kind, id, err)}
	}
	doc.Deleted, doc.Partial = meta.Quokka.Deleted, meta.Quokka.Partial
	delete(doc.Fields, metaField)
	if doc.Deleted {
		doc.Fields = nil
	}
	return doc, nil
}
