package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// raw is a response body that is not JSON-encoded: a schema alone.
type raw string

// handler answers one request with a value to encode, or an *Error.
type handler func(r *request) (any, error)

// Handler returns the registry's HTTP API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, route.pattern, route.handle) })
		mux.Handle(route.pattern, endpoint)
		if !strings.HasSuffix(route.pattern, "/{$}") {
			mux.Handle(route.pattern+"/{$}", endpoint)
		}
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		r, problem := enterContext(r)
		if problem != nil {
			s.reply(w, r, "", nil, problem)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			s.unknown(w, r, mux)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ready answers 200 while the state is being kept up to date.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := s.store.health()
	if err == nil {
		_, err = s.store.log.ping(ctx)
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

type contextKeyType struct{}

// enterContext takes the prefix /contexts/{context} from a path: what follows
// is then about that context.
func enterContext(r *http.Request) (*http.Request, *Error) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/contexts/")
	if !ok {
		return r, nil
	}
	name, path, _ := strings.Cut(rest, "/")
	if path == "" || name == "" {
		return r, nil
	}
	context, err := url.PathUnescape(name)
	if err != nil {
		return r, errorf(400, 400, "Malformed context %q", name)
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return r, errorf(400, 400, "Malformed path %q", path)
	}
	r = r.WithContext(contextWith(r.Context(), contextName(context)))
	u := *r.URL
	u.Path, u.RawPath = "/"+decoded, "/"+path
	r.URL = &u
	return r, nil
}

func contextWith(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, contextKeyType{}, name)
}

// contextName reads a context as paths spell it: ".team", ":.team:", or "." for
// the default one.
func contextName(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, ":"), ":")
	if !strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return s
}

// serve runs a handler and answers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, endpoint string, handle handler) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	req := &request{Request: r.WithContext(ctx), s: s, context: defaultContext}
	if name, ok := ctx.Value(contextKeyType{}).(string); ok {
		req.context = name
	}
	value, err := any(nil), req.acceptable()
	if err == nil {
		value, err = s.safely(handle, req)
	}
	status := s.reply(w, r, endpoint, value, err)
	s.metrics.request(endpoint, status, time.Since(start))
}

// safely turns a panic into an answer: one schema must not take the registry
// away from all others.
func (s *Server) safely(handle handler, r *request) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("panic", "request", r.Method+" "+r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			err = errorf(500, 500, "Internal error")
		}
	}()
	return handle(r)
}

// reply writes a value or an error and returns the status.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, endpoint string, value any, err error) int {
	status := http.StatusOK
	if err != nil {
		problem := s.problem(err)
		if problem.Status >= 500 {
			s.logger.Error("request failed", "method", r.Method, "endpoint", endpoint, "error", err)
		}
		status, value = problem.Status, problem
	}
	if value == nil {
		w.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	w.Header().Set("Content-Type", negotiate(r.Header.Values("Accept")))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if text, ok := value.(raw); ok {
		_, _ = io.WriteString(w, string(text))
	} else {
		_, _ = w.Write(marshal(value))
	}
	return status
}

// problem makes an answer of any error.
func (s *Server) problem(err error) *Error {
	var known *Error
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLong):
		return errorf(413, 413, "The request body is larger than %d bytes", tooLong.Limit)
	case errors.Is(err, errTooLarge):
		return errorf(422, codeSchemaTooLarge, "Operation failed because schema is too large: %v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errorf(500, codeTimeout, "The operation timed out: %v", err)
	default:
		return errorf(500, codeStore, "Error in the backend data store: %v", err)
	}
}

// unknown answers for what the mux has no route for.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	quiet := &statusRecorder{header: http.Header{}}
	mux.ServeHTTP(quiet, r)
	switch {
	case quiet.status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", quiet.header.Get("Allow"))
		s.reply(w, r, "", nil, errorf(405, 405, "HTTP 405 Method Not Allowed: %s %s", r.Method, r.URL.Path))
	case quiet.status >= 300 && quiet.status < 400:
		http.Redirect(w, r, quiet.header.Get("Location"), quiet.status)
	default:
		s.reply(w, r, "", nil, errorf(404, 404, "HTTP 404 Not Found: %s", r.URL.Path))
	}
	s.metrics.request("none", quiet.status, 0)
}

// statusRecorder keeps what the mux would have answered.
type statusRecorder struct {
	header http.Header
	status int
}

func (w *statusRecorder) Header() http.Header         { return w.header }
func (w *statusRecorder) Write(b []byte) (int, error) { return len(b), nil }
func (w *statusRecorder) WriteHeader(status int)      { w.status = status }
