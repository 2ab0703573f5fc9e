package searchsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// engine is a server that answers as OpenSearch does, but where a test says
// otherwise.
type engine struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string // method and path of each request
	bodies []string
	// answers overrides paths; it is called with the number of earlier requests
	// for that path.
	answers map[string]func(n int, body string) (int, string)
}

func newEngine(t *testing.T, answers map[string]func(n int, body string) (int, string)) (*engine, Index) {
	t.Helper()
	e := &engine{answers: answers}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e, e.open(t, e.URL)
}

func (e *engine) open(t *testing.T, address string) Index {
	t.Helper()
	index, err := OpenOpenSearch(address, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { index.Close() })
	return index
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	body := string(data)
	name := r.Method + " " + r.URL.Path
	e.mu.Lock()
	n := e.count(name)
	e.asked, e.bodies = append(e.asked, name), append(e.bodies, body)
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	for path, answer := range e.answers {
		if name == path || path == "all" {
			status, text := answer(n, body)
			w.WriteHeader(status)
			io.WriteString(w, text)
			return
		}
	}
	switch r.URL.Path {
	case "/_mget":
		io.WriteString(w, noneFound(body))
	case "/_bulk":
		io.WriteString(w, bulkAnswer(body, func(int) (int, string) { return http.StatusCreated, "" }))
	default:
		io.WriteString(w, `{"acknowledged":true}`)
	}
}

func (e *engine) count(name string) (n int) {
	for _, a := range e.asked {
		if a == name {
			n++
		}
	}
	return n
}

// requests counts the requests of one kind so far.
func (e *engine) requests(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count(name)
}

func noneFound(body string) string {
	var in struct{ Docs []map[string]string }
	_ = json.Unmarshal([]byte(body), &in)
	docs := make([]string, len(in.Docs))
	for i, d := range in.Docs {
		docs[i] = fmt.Sprintf(`{"_index":%q,"_id":%q,"found":false}`, d["_index"], d["_id"])
	}
	return `{"docs":[` + strings.Join(docs, ",") + `]}`
}

// bulkAnswer answers each document of a bulk request.
func bulkAnswer(body string, item func(i int) (status int, exception string)) string {
	var items []string
	for i := range strings.Count(body, "\n") / 2 {
		status, exception := item(i)
		text := fmt.Sprintf(`{"create":{"_id":"x","status":%d`, status)
		if exception != "" {
			text += fmt.Sprintf(`,"error":{"type":%q,"reason":"because"}`, exception)
		}
		items = append(items, text+"}}")
	}
	return `{"took":1,"errors":true,"items":[` + strings.Join(items, ",") + `]}`
}

func exception(status int, kind string) string {
	return fmt.Sprintf(`{"error":{"root_cause":[{"type":%q,"reason":"because"}],"type":%q,"reason":"because"},"status":%d}`, kind, kind, status)
}

// TestOpenSearchErrors: what each answer means to the consumer.
func TestOpenSearchErrors(t *testing.T) {
	answers := func(path string, status int, body string) map[string]func(int, string) (int, string) {
		return map[string]func(int, string) (int, string){path: func(int, string) (int, string) { return status, body }}
	}
	items := func(status int, exception string) map[string]func(int, string) (int, string) {
		return map[string]func(int, string) (int, string){"POST /_bulk": func(_ int, body string) (int, string) {
			return http.StatusOK, bulkAnswer(body, func(i int) (int, string) {
				if i == 1 {
					return status, exception
				}
				return http.StatusCreated, ""
			})
		}}
	}
	tests := []struct {
		name     string
		answers  map[string]func(int, string) (int, string)
		want     any // a pointer to the error's type
		status   int
		rejected bool // the record goes to the dead-letter topic; else it waits
		says     string
	}{
		{"too many requests", answers("POST /_bulk", 429, exception(429, "rejected_execution_exception")), new(*UnavailableError), 429, false, "busy"},
		{"too many for one document", items(429, "rejected_execution_exception"), new(*UnavailableError), 429, false, "busy"},
		{"a shard is away", items(503, "unavailable_shards_exception"), new(*UnavailableError), 503, false, "products/1"},
		{"the server is ill", answers("POST /_mget", 500, exception(500, "boom")), new(*UnavailableError), 500, false, "not well"},
		{"a proxy's page", answers("POST /_bulk", 502, "<html>Bad Gateway"), new(*UnavailableError), 502, false, "not well"},
		{"half an answer", answers("POST /_bulk", 200, `{"items":[`), new(*UnavailableError), 0, false, ""},
		{"answers for fewer documents", answers("POST /_bulk", 200, `{"items":[]}`), new(*UnavailableError), 0, false, "answers for 0"},
		{"fewer documents than asked for", answers("POST /_mget", 200, `{"docs":[]}`), new(*UnavailableError), 0, false, "got 0"},
		{"a document of somebody else's", answers("POST /_mget", 200, `{"docs":[{"found":true,"_source":{}},{"found":true,"_source":{}}]}`), new(*UnavailableError), 0, false, "not as we write them"},
		{"no access", answers("all", 401, `Unauthorized`), new(*UnavailableError), 401, false, "QUOKKA_SEARCH_URL"},
		{"a full disk", items(403, "cluster_block_exception"), new(*UnavailableError), 403, false, "disk"},
		{"a document that it cannot take", items(400, "mapper_parsing_exception"), new(*DocumentError), 0, true, "products/1 is refused: mapper_parsing_exception: because"},
		{"an id too long", answers("POST /_mget", 200, `{"docs":[{"found":false},{"error":{"type":"illegal_argument_exception","reason":"id is too long"}}]}`), new(*DocumentError), 0, true, "too long"},
		{"another mapping", map[string]func(int, string) (int, string){
			"PUT /quokka-orders":          func(int, string) (int, string) { return 400, exception(400, "resource_already_exists_exception") },
			"PUT /quokka-orders/_mapping": func(int, string) (int, string) { return 400, exception(400, "illegal_argument_exception") },
		}, new(*MappingError), 0, false, "index quokka-orders was made with another mapping"},
		{"another writer for ever", map[string]func(int, string) (int, string){"POST /_bulk": func(_ int, body string) (int, string) {
			return 200, bulkAnswer(body, func(int) (int, string) { return 409, "version_conflict_engine_exception" })
		}}, new(*UnavailableError), 409, false, "written by others"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, index := newEngine(t, tt.answers)
			err := index.Apply(t.Context(), []Document{product("0", "a", 1, 1), product("1", "b", 1, 1)})
			if !errors.As(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %T %v, want %T that says %q", err, err, tt.want, tt.says)
			}
			if unavailable, ok := errors.AsType[*UnavailableError](err); ok && (unavailable.Status != tt.status || unavailable.Busy != (tt.status == 429 || tt.status == 409)) {
				t.Errorf("status %d, busy %v: want %d", unavailable.Status, unavailable.Busy, tt.status)
			}
			s := &Service{index: index}
			err = s.apply(t.Context(), nil, []Document{product("0", "a", 1, 1), product("1", "b", 1, 1)})
			if consume.Rejected(err) != tt.rejected || waitFor(err) == tt.rejected {
				t.Errorf("rejected %v, waits %v: %v", consume.Rejected(err), waitFor(err), err)
			}
		})
	}
}

// TestOpenSearchConflicts: a line that is there already is no error, and a
// document that somebody else wrote meanwhile is read and decided again.
func TestOpenSearchConflicts(t *testing.T) {
	e, index := newEngine(t, map[string]func(int, string) (int, string){
		"POST /_mget": func(n int, body string) (int, string) {
			if n == 0 {
				return 200, noneFound(body)
			}
			return 200, `{"docs":[{"found":true,"_seq_no":5,"_primary_term":2,"_source":{"name":"theirs","quokka":{"version":"7.0"}}}]}`
		},
		"POST /_bulk": func(n int, body string) (int, string) {
			return 200, bulkAnswer(body, func(int) (int, string) {
				if n == 0 {
					return 409, "version_conflict_engine_exception"
				}
				return 200, ""
			})
		},
	})
	err := index.Apply(t.Context(), []Document{
		{Kind: Logs, ID: "0-1", Fields: map[string]any{"message": "x"}},
		product("A", "ours", 8, 0),
		product("A", "older", 6, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	var bulks []string
	for i, name := range e.asked {
		if name == "POST /_bulk" {
			bulks = append(bulks, e.bodies[i])
		}
	}
	if len(bulks) != 2 || strings.Count(bulks[0], "\n") != 4 || strings.Count(bulks[1], "\n") != 2 {
		t.Fatalf("bulk requests %q: want two documents, then the one that was overtaken", bulks)
	}
	for _, want := range []string{`"if_seq_no":5`, `"if_primary_term":2`, `"name":"ours"`, `"version":"8.0"`} {
		if !strings.Contains(bulks[1], want) {
			t.Errorf("the second write lacks %s: %s", want, bulks[1])
		}
	}
	// Told again, the newer one there stays.
	if err := index.Apply(t.Context(), []Document{product("A", "ours", 7, 0)}); err != nil || e.requests("POST /_bulk") != 2 {
		t.Errorf("the same version again: %v after %d writes", err, e.requests("POST /_bulk"))
	}
}

// TestOpenSearchComesLater: a server that is not there is no error of opening,
// and needs no second start of ours when it comes; an index that somebody
// deleted is made again.
func TestOpenSearchComesLater(t *testing.T) {
	address := kittest.Unused(t)
	gone := false
	e := &engine{answers: map[string]func(int, string) (int, string){"POST /_bulk": func(_ int, body string) (int, string) {
		return 200, bulkAnswer(body, func(int) (int, string) {
			if gone {
				return 404, "index_not_found_exception"
			}
			return 201, ""
		})
	}}}
	index := e.open(t, "http://"+address)
	docs := []Document{{Kind: Logs, ID: "0-1", Fields: map[string]any{"message": "x"}}}
	for range 3 {
		for _, err := range []error{index.Ready(t.Context()), index.Apply(t.Context(), docs)} {
			if unavailable, ok := errors.AsType[*UnavailableError](err); !ok || unavailable.Status != 0 || !strings.Contains(err.Error(), "no proper answer") {
				t.Fatalf("without a server: %v", err)
			}
		}
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	e.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: e}} //nolint:gosec // a test's
	e.Start()
	defer e.Close()
	if err := errors.Join(index.Ready(t.Context()), index.Apply(t.Context(), docs)); err != nil {
		t.Fatal(err)
	}
	if n := e.requests("PUT /quokka-logs"); n != 1 {
		t.Errorf("the index was made %d times", n)
	}
	gone = true
	if err := index.Apply(t.Context(), docs); !waitFor(fmt.Errorf("%w: %w", errIndex, err)) {
		t.Errorf("the index is gone: %v", err)
	}
	gone = false
	if err := index.Apply(t.Context(), docs); err != nil || e.requests("PUT /quokka-logs") != 2 {
		t.Errorf("%v; the index was made %d times", err, e.requests("PUT /quokka-logs"))
	}
}

// TestOpenSearchBulkSize: large documents go in several requests.
func TestOpenSearchBulkSize(t *testing.T) {
	e, index := newEngine(t, nil)
	docs := make([]Document, 7)
	for i := range docs {
		docs[i] = Document{Kind: Logs, ID: fmt.Sprint(i), Fields: map[string]any{"message": strings.Repeat("x", 1<<20)}}
	}
	if err := index.Apply(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	if n := e.requests("POST /_bulk"); n != 2 {
		t.Errorf("7 MiB went in %d requests, want 2 of about 4 MiB", n)
	}
}

// TestOpenSearchAddress: user and password of the URL are used and not shown.
func TestOpenSearchAddress(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:9200", "postgres://user:sesame@h", "http://user:sesame@%zz"} {
		if _, err := OpenOpenSearch(bad, ""); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	e := &engine{}
	index := e.open(t, strings.Replace(server.URL, "http://", "http://quokka:sesame@", 1))
	err := index.Ready(t.Context())
	if user != "quokka" || password != "sesame" {
		t.Errorf("logged in as %q with %q", user, password)
	}
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("refused: %v", err)
	}
	server.Close()
	if err := index.Ready(t.Context()); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("gone: %v", err)
	}
}
