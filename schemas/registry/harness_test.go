package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memTopic is a topic in memory, shared by the logs of several instances.
type memTopic struct {
	mu      sync.Mutex
	records []logRecord
	next    int64
	grown   chan struct{}
}

func newMemTopic(records ...logRecord) *memTopic {
	t := &memTopic{grown: make(chan struct{})}
	t.add(records...)
	return t
}

// add appends records and returns the offset after the last.
func (t *memTopic) add(records ...logRecord) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		r.offset = t.next
		r.timestamp = 1_700_000_000_000 + t.next
		t.next++
		t.records = append(t.records, r)
	}
	close(t.grown)
	t.grown = make(chan struct{})
	return t.next
}

// compact keeps the latest record of each key, and drops tombstones.
func (t *memTopic) compact() {
	t.mu.Lock()
	defer t.mu.Unlock()
	latest := map[string]int64{}
	for _, r := range t.records {
		latest[string(r.key)] = r.offset
	}
	t.records = slices.DeleteFunc(t.records, func(r logRecord) bool {
		return latest[string(r.key)] != r.offset || r.value == nil
	})
}

func (t *memTopic) copy() []logRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.records)
}

// memLog is one instance's access to a memTopic.
type memLog struct {
	topic *memTopic
	at    int64
	// before is called before each append of this instance.
	before func([]logRecord) error
	closed bool
}

func (l *memLog) read(ctx context.Context) ([]logRecord, error) {
	for {
		l.topic.mu.Lock()
		var out []logRecord
		for _, r := range l.topic.records {
			if r.offset >= l.at {
				out = append(out, r)
			}
		}
		grown := l.topic.grown
		l.topic.mu.Unlock()
		if len(out) > 0 {
			l.at = out[len(out)-1].offset + 1
			return out, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *memLog) append(_ context.Context, records []logRecord) (int64, error) {
	if l.before != nil {
		if err := l.before(records); err != nil {
			return 0, err
		}
	}
	return l.topic.add(records...), nil
}

func (l *memLog) end(context.Context) (int64, error) {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	return l.topic.next, nil
}

func (l *memLog) ping(ctx context.Context) (int64, error) {
	if l.closed {
		return 0, errors.New("closed")
	}
	return l.end(ctx)
}

func (l *memLog) close() { l.closed = true }

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openMem opens a registry on a topic in memory.
func openMem(t testing.TB, topic *memTopic, configure ...func(*Config)) *api {
	t.Helper()
	return openLog(t, &memLog{topic: topic}, configure...)
}

func openLog(t testing.TB, log topicLog, configure ...func(*Config)) *api {
	t.Helper()
	cfg := Config{Brokers: []string{"memory"}, Addr: "127.0.0.1:0", Logger: quietLogger(), quiet: 20 * time.Millisecond}
	for _, f := range configure {
		f(&cfg)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := openOn(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &api{t: t, Server: s, handler: s.Handler()}
}

// api calls a registry's handler.
type api struct {
	*Server
	t       testing.TB
	handler http.Handler
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header holds names and values in turn.
func (a *api) do(method, path, body string, header ...string) answer {
	a.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, in)
	if body != "" {
		r.Header.Set("Content-Type", contentTypes[0])
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

// want checks an answer given as "status body": the body is compared as JSON in
// which the members listed in it must be equal and others may exist.
func (a *api) want(got answer, want string) answer {
	a.t.Helper()
	status, body, _ := strings.Cut(want, " ")
	if fmt.Sprint(got.status) != status {
		a.t.Fatalf("got %d %s\nwant %s", got.status, got.body, want)
	}
	if body == "" {
		return got
	}
	var g, w any
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		a.t.Fatalf("bad expectation %s: %v", body, err)
	}
	if err := json.Unmarshal([]byte(got.body), &g); err != nil {
		a.t.Fatalf("not JSON: %s", got.body)
	}
	if !contains(g, w) {
		a.t.Fatalf("got  %d %s\nwant %s", got.status, got.body, want)
	}
	return got
}

func contains(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if v == nil {
				if _, has := g[k]; has {
					return false
				}
				continue
			}
			if !contains(g[k], v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !contains(g[i], w[i]) {
				return false
			}
		}
		return true
	default:
		return got == want
	}
}

// schemaBody is the body that registers a schema; more adds members.
func schemaBody(schema string, more ...string) string {
	b := `{"schema":` + string(marshal(schema))
	for _, m := range more {
		b += "," + m
	}
	return b + "}"
}

// add registers a schema and returns its id and version.
func (a *api) add(subject, schema string, more ...string) (id, version int) {
	a.t.Helper()
	got := a.want(a.do("POST", "/subjects/"+subject+"/versions", schemaBody(schema, more...)), "200")
	var v struct{ ID, Version int }
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		a.t.Fatal(err)
	}
	return v.ID, v.Version
}

// rec is a record schema R with these fields.
func rec(fields ...string) string {
	return `{"type":"record","name":"R","namespace":"n","fields":[` + strings.Join(fields, ",") + `]}`
}

func optional(name string) string { return `{"name":"` + name + `","type":"int","default":0}` }

// dump is the state as text, for comparing two.
func dump(st *state) string {
	var b bytes.Buffer
	for _, e := range st.list(anyPrefix, filter{deleted: true}) {
		fmt.Fprintf(&b, "%s %d id=%d deleted=%t refs=%v %s\n", e.subject, e.version, e.id, e.deleted, e.references, e.schema)
	}
	lines := []string{}
	for k, v := range st.settings {
		lines = append(lines, fmt.Sprintf("config %q %s", k, marshal(v)))
	}
	for k, v := range st.modes {
		lines = append(lines, fmt.Sprintf("mode %q %s", k, v))
	}
	for k := range st.named {
		lines = append(lines, "context "+k)
	}
	for k, s := range st.contexts {
		for id, h := range s.byID {
			lines = append(lines, fmt.Sprintf("id %s %d %v", k, id, h.subjects))
		}
	}
	for to, from := range st.referrers {
		lines = append(lines, fmt.Sprintf("referred %v %v", to, from))
	}
	slices.Sort(lines)
	return b.String() + strings.Join(lines, "\n")
}
