// Package fakeregistry is a schema registry for tests of its clients: enough
// of the REST API to register and find schemas, with counters, and faults on
// demand. It checks no compatibility by itself.
package fakeregistry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server is the fake; change its fields before it is used, or under Lock.
type Server struct {
	*httptest.Server
	sync.Mutex
	// Fault, where set, may answer a request in the registry's place; it
	// returns true if it did.
	Fault func(w http.ResponseWriter, r *http.Request) bool
	// Refuse, where set, is asked before a schema is registered; a text is the
	// reason to refuse it.
	Refuse func(subject, schema string) string
	// Requests counts requests by "METHOD path".
	Requests map[string]int
	// Levels are the compatibility levels set by subject.
	Levels map[string]string

	ids      map[string]int
	schemas  map[int]body
	subjects map[string][]int
}

type body struct {
	Schema     string            `json:"schema"`
	SchemaType string            `json:"schemaType,omitempty"`
	References []json.RawMessage `json:"references,omitempty"`
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		Requests: map[string]int{}, Levels: map[string]string{},
		ids: map[string]int{}, schemas: map[int]body{}, subjects: map[string][]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /schemas/ids/{id}", s.byID)
	mux.HandleFunc("GET /schemas/ids/{id}/versions", s.where)
	mux.HandleFunc("POST /subjects/{subject}/versions", s.register)
	mux.HandleFunc("POST /subjects/{subject}", s.lookup)
	mux.HandleFunc("GET /subjects/{subject}/versions/{version}", s.version)
	mux.HandleFunc("GET /config/{subject}", s.config)
	mux.HandleFunc("PUT /config/{subject}", s.config)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		s.Requests[r.Method+" "+r.URL.Path]++
		fault := s.Fault
		s.Unlock()
		if fault != nil && fault(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Add registers a schema of a type as if it had come from elsewhere.
func (s *Server) Add(subject, schemaType, schema string, refs ...string) int {
	s.Lock()
	defer s.Unlock()
	b := body{Schema: schema, SchemaType: schemaType}
	for _, r := range refs {
		b.References = append(b.References, json.RawMessage(r))
	}
	return s.add(subject, b)
}

// Total returns how many requests there were.
func (s *Server) Total() int {
	s.Lock()
	defer s.Unlock()
	n := 0
	for _, c := range s.Requests {
		n += c
	}
	return n
}

// Reset forgets the counters.
func (s *Server) Reset() {
	s.Lock()
	defer s.Unlock()
	s.Requests = map[string]int{}
}

// SetFault changes Fault.
func (s *Server) SetFault(f func(http.ResponseWriter, *http.Request) bool) {
	s.Lock()
	defer s.Unlock()
	s.Fault = f
}

// Error answers as a registry refuses.
func Error(w http.ResponseWriter, status, code int, message string) {
	answer(w, status, map[string]any{"error_code": code, "message": message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) add(subject string, b body) int {
	id, known := s.ids[b.Schema]
	if !known {
		id = len(s.ids) + 1
		s.ids[b.Schema], s.schemas[id] = id, b
	}
	for _, have := range s.subjects[subject] {
		if have == id {
			return id
		}
	}
	s.subjects[subject] = append(s.subjects[subject], id)
	return id
}

func (s *Server) byID(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	id, _ := strconv.Atoi(r.PathValue("id"))
	b, ok := s.schemas[id]
	if !ok {
		Error(w, 404, 40403, fmt.Sprintf("Schema %d not found", id))
		return
	}
	answer(w, 200, b)
}

func (s *Server) where(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	id, _ := strconv.Atoi(r.PathValue("id"))
	out := []map[string]any{}
	for subject, ids := range s.subjects {
		for i, have := range ids {
			if have == id {
				out = append(out, map[string]any{"subject": subject, "version": i + 1})
			}
		}
	}
	answer(w, 200, out)
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	var b body
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		Error(w, 422, 42201, err.Error())
		return
	}
	subject := r.PathValue("subject")
	if s.Refuse != nil {
		if reason := s.Refuse(subject, b.Schema); reason != "" {
			Error(w, 409, 409, reason)
			return
		}
	}
	answer(w, 200, map[string]any{"id": s.add(subject, b)})
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	var b body
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		Error(w, 422, 42201, err.Error())
		return
	}
	ids, ok := s.subjects[r.PathValue("subject")]
	if !ok {
		Error(w, 404, 40401, "Subject not found")
		return
	}
	for i, id := range ids {
		if s.schemas[id].Schema == b.Schema {
			answer(w, 200, map[string]any{"id": id, "version": i + 1, "schema": b.Schema})
			return
		}
	}
	Error(w, 404, 40403, "Schema not found")
}

func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	ids := s.subjects[r.PathValue("subject")]
	n, err := strconv.Atoi(r.PathValue("version"))
	if err != nil {
		n = len(ids)
	}
	if n < 1 || n > len(ids) {
		Error(w, 404, 40402, "Version not found")
		return
	}
	b := s.schemas[ids[n-1]]
	answer(w, 200, map[string]any{"id": ids[n-1], "version": n, "schema": b.Schema, "schemaType": b.SchemaType, "references": b.References})
}

func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	subject := r.PathValue("subject")
	if r.Method == http.MethodPut {
		var in struct{ Compatibility string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			Error(w, 422, 42203, err.Error())
			return
		}
		s.Levels[subject] = strings.ToUpper(in.Compatibility)
		answer(w, 200, map[string]any{"compatibility": in.Compatibility})
		return
	}
	level, ok := s.Levels[subject]
	if !ok {
		Error(w, 404, 40408, "Subject does not have subject-level compatibility configured")
		return
	}
	answer(w, 200, map[string]any{"compatibilityLevel": level})
}
