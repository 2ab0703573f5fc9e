package tracestore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Handler serves Jaeger's query API and the pages, and takes spans by OTLP/HTTP.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/services", s.getServices)
	mux.HandleFunc("GET /api/operations", s.getOperations)
	mux.HandleFunc("GET /api/services/{service}/operations", s.getOperations)
	mux.HandleFunc("GET /api/traces", s.getTraces)
	mux.HandleFunc("GET /api/traces/{id}", s.getTrace)
	mux.HandleFunc("GET /api/v3/traces/{id}", s.getTraceV3)
	mux.HandleFunc("GET /api/v3/services", s.getServicesV3)
	mux.HandleFunc("POST /v1/traces", s.receive)
	mux.HandleFunc("GET /trace/{id}", s.getPage)
	mux.HandleFunc("GET /{$}", s.getIndex)
	mux.HandleFunc("GET /search", s.getIndex)
	return mux
}

// envelope is the frame of every answer of Jaeger's first query API.
type envelope struct {
	Data   any        `json:"data"`
	Total  int        `json:"total"`
	Limit  int        `json:"limit"`
	Offset int        `json:"offset"`
	Errors []apiError `json:"errors"`
}

type apiError struct {
	Code int    `json:"code"`
	Msg  string `json:"msg"`
}

func fail(w http.ResponseWriter, code int, format string, args ...any) {
	writeJSON(w, code, envelope{Errors: []apiError{{code, fmt.Sprintf(format, args...)}}})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"errors":[{"code":500,"msg":"the answer has no JSON form"}]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // a reader that has gone is no failure here
}

// sorted returns the names in a set.
func sorted(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (s *Store) getServices(w http.ResponseWriter, _ *http.Request) {
	names := s.services()
	writeJSON(w, http.StatusOK, envelope{Data: names, Total: len(names)})
}

func (s *Store) getServicesV3(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"services": s.services()})
}

// getOperations lists the span names of a service: plain names in the path's
// form, with their kind in the query's.
func (s *Store) getOperations(w http.ResponseWriter, r *http.Request) {
	service, plain := r.PathValue("service"), true
	if service == "" {
		service, plain = r.URL.Query().Get("service"), false
	}
	seen := map[string]bool{}
	s.newest(func(t Trace) bool {
		for _, span := range t.Spans {
			if span.Service == service {
				seen[span.Name+"\x00"+span.Kind.String()] = true
			}
		}
		return true
	})
	data := []any{}
	for _, key := range sorted(seen) {
		name, kind, _ := strings.Cut(key, "\x00")
		switch {
		case !plain:
			data = append(data, map[string]string{"name": name, "spanKind": kind})
		case !slices.Contains(data, any(name)):
			data = append(data, name)
		}
	}
	writeJSON(w, http.StatusOK, envelope{Data: data, Total: len(data)})
}

func (s *Store) getTraces(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	data := []jaegerTrace{}
	for _, t := range s.find(q) {
		data = append(data, toJaeger(t))
	}
	writeJSON(w, http.StatusOK, envelope{Data: data, Total: len(data), Limit: q.limit})
}

func (s *Store) getTrace(w http.ResponseWriter, r *http.Request) {
	if t, ok := s.lookup(w, r); ok {
		writeJSON(w, http.StatusOK, envelope{Data: []jaegerTrace{toJaeger(t)}, Total: 1})
	}
}

func (s *Store) getTraceV3(w http.ResponseWriter, r *http.Request) {
	if t, ok := s.lookup(w, r); ok {
		writeJSON(w, http.StatusOK, map[string]any{"result": toOTLP(t)})
	}
}

// lookup returns the trace that the path names, or answers what is wrong.
func (s *Store) lookup(w http.ResponseWriter, r *http.Request) (Trace, bool) {
	text := r.PathValue("id")
	// Jaeger leaves out leading zeros, and takes ids without them.
	id, err := trace.TraceIDFromHex(strings.Repeat("0", max(0, 32-len(text))) + strings.ToLower(text))
	if err != nil {
		fail(w, http.StatusBadRequest, "%q is no trace id: 32 hexadecimal digits", text)
		return Trace{}, false
	}
	t, ok := s.Trace(id)
	if !ok {
		fail(w, http.StatusNotFound, "trace not found")
	}
	return t, ok
}

// query is what GET /api/traces can ask for.
type query struct {
	service, operation string
	tags               map[string]string
	start, end         time.Time
	shortest, longest  time.Duration
	limit              int
}

// parseQuery reads Jaeger's query parameters.
func parseQuery(v url.Values) (query, error) {
	q := query{service: v.Get("service"), operation: v.Get("operation"), limit: 20}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, fmt.Errorf("limit %q is not a number above zero", text)
		}
		q.limit = n
	}
	for name, at := range map[string]*time.Time{"start": &q.start, "end": &q.end} {
		if text := v.Get(name); text != "" {
			micros, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return q, fmt.Errorf("%s %q is not a time in microseconds", name, text)
			}
			*at = time.UnixMicro(micros)
		}
	}
	for name, d := range map[string]*time.Duration{"minDuration": &q.shortest, "maxDuration": &q.longest} {
		if text := v.Get(name); text != "" {
			var err error
			if *d, err = time.ParseDuration(text); err != nil {
				return q, fmt.Errorf("%s %q is not a duration like 1.2ms", name, text)
			}
		}
	}
	if text := v.Get("tags"); text != "" {
		if err := json.Unmarshal([]byte(text), &q.tags); err != nil {
			return q, fmt.Errorf(`tags %q is not a JSON object of strings, like {"error":"true"}`, text)
		}
	}
	return q, nil
}

// find returns the newest traces that match, spans by start time.
func (s *Store) find(q query) []Trace {
	var out []Trace
	s.newest(func(t Trace) bool {
		if q.matches(t) {
			out = append(out, t)
		}
		return len(out) < q.limit
	})
	return out
}

// matches: one span of the trace answers to service, operation and tags.
func (q query) matches(t Trace) bool {
	start, end := t.bounds()
	switch took := end.Sub(start); {
	case !q.start.IsZero() && start.Before(q.start), !q.end.IsZero() && start.After(q.end),
		took < q.shortest, q.longest > 0 && took > q.longest:
		return false
	}
	return slices.ContainsFunc(t.Spans, func(s Span) bool {
		if q.service != "" && s.Service != q.service || q.operation != "" && s.Name != q.operation {
			return false
		}
		for key, value := range q.tags {
			if key == "error" && value == "true" && s.Failed() {
				continue
			}
			if !slices.ContainsFunc(s.Attributes, func(kv attribute.KeyValue) bool {
				return string(kv.Key) == key && kv.Value.String() == value
			}) {
				return false
			}
		}
		return true
	})
}
