package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// contentTypes are what responses can be, by preference.
var contentTypes = []string{"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}

// raw is a response body that is not JSON-encoded: a schema alone.
type raw string

// handler answers one request with a value to encode, or an *Error.
type handler func(r *request) (any, error)

// request is an HTTP request and the context its path named.
type request struct {
	*http.Request
	s       *Server
	context string
}

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

// negotiate picks the content type by the Accept headers, "" for none.
func negotiate(accept []string) string {
	best, weight := "", 0.0
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			typ, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
				q = v
			}
			for i, offered := range contentTypes {
				if !mediaMatches(typ, offered) {
					continue
				}
				if w := q * (1 - 0.25*float64(i)); w > weight {
					best, weight = offered, w
				}
			}
		}
	}
	if best == "" {
		return contentTypes[0]
	}
	return best
}

func mediaMatches(pattern, typ string) bool {
	return pattern == "*/*" || pattern == "application/*" || pattern == typ
}

// acceptable refuses a request whose Accept header asks for something else.
func (r *request) acceptable() error {
	accept := r.Header.Values("Accept")
	if strings.TrimSpace(strings.Join(accept, "")) == "" {
		return nil
	}
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			typ, params, err := mime.ParseMediaType(part)
			if err == nil && params["q"] != "0" && slices.ContainsFunc(contentTypes, func(t string) bool { return mediaMatches(typ, t) }) {
				return nil
			}
		}
	}
	return errorf(406, 406, "HTTP 406 Not Acceptable: responses are %s", strings.Join(contentTypes, ", "))
}

// decode reads a JSON body that may have these fields, null where they are
// unset. Clients that know more fields than this registry say so in a header.
func (r *request) decode(into any, fields []string) error {
	if typ := r.Header.Get("Content-Type"); typ != "" {
		name, _, err := mime.ParseMediaType(typ)
		if err != nil || name != "application/octet-stream" && !slices.Contains(contentTypes, name) {
			return errorf(415, 415, "HTTP 415 Unsupported Media Type: send %s", contentTypes[0])
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return err
		}
		return errorf(400, 400, "The request body could not be read: %v", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		if len(strings.TrimSpace(string(body))) == 0 {
			return errorf(422, 422, "The request body is empty")
		}
		return errorf(400, 400, "The request body is not a JSON object: %v", err)
	}
	if members == nil {
		return errorf(422, 422, "The request body is null")
	}
	if !strings.EqualFold(r.Header.Get("Confluent-Accept-Unknown-Properties"), "true") {
		for name := range members {
			if !slices.Contains(fields, name) {
				return errorf(422, 422, "Unrecognized field: %s", name)
			}
		}
	}
	if update, ok := into.(*settingsUpdate); ok {
		update.fields = map[string]json.RawMessage{}
		for _, name := range fields {
			if v, ok := members[name]; ok {
				update.fields[name] = v
			}
		}
		return nil
	}
	// encoding/json matches names in any case; JSON for registries does not.
	exact := make(map[string]json.RawMessage, len(fields))
	for _, name := range fields {
		if v, ok := members[name]; ok {
			exact[name] = v
		}
	}
	if err := json.Unmarshal(marshal(exact), into); err != nil {
		return errorf(400, 400, "The request body does not fit: %v", err)
	}
	return nil
}

// subject reads a subject from the path: in the context of the path, and what
// an alias stands for.
func (r *request) subject() string {
	var name string
	r.s.store.view(func(st *state) { name = r.subjectIn(st) })
	return name
}

func (r *request) subjectIn(st *state) string {
	name := r.scope()
	if target := st.settings[name].Alias; target != "" {
		return relativeTo(name, target)
	}
	return name
}

// scope reads what settings are about from the path: a subject or a context.
func (r *request) scope() string { return r.qualify(r.PathValue("subject")) }

// qualify puts a subject without a context into the context of the path.
func (r *request) qualify(subject string) string {
	q := parseSubject(subject)
	if q.context == defaultContext {
		q.context = r.context
	}
	return q.String()
}

// version reads a version from the path: a number, or "latest".
func (r *request) version() (int, error) {
	text := strings.TrimSpace(r.PathValue("version"))
	if strings.EqualFold(text, "latest") {
		return latestVersion, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 && n != latestVersion {
		return 0, errInvalidVersion(r.PathValue("version"))
	}
	return int(n), nil
}

// id reads a schema id from the path.
func (r *request) id() (int, error) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, errorf(404, 404, "HTTP 404 Not Found: %q is not a schema id", r.PathValue("id"))
	}
	return int(n), nil
}

// flag reads a boolean parameter of the query.
func (r *request) flag(name string) bool { return strings.EqualFold(r.URL.Query().Get(name), "true") }

// page cuts a list by the parameters offset and limit; most is the default and
// largest limit, 0 for none.
func page[T any](r *request, list []T, most int) ([]T, error) {
	offset, err := r.number("offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", -1)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || most > 0 && limit > most {
		limit = most
	}
	if offset < 0 {
		offset = 0
	}
	list = list[min(offset, len(list)):]
	if limit > 0 {
		list = list[:min(limit, len(list))]
	}
	if list == nil {
		list = []T{}
	}
	return list, nil
}

func (r *request) number(name string, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, errorf(404, 404, "HTTP 404 Not Found: parameter %s=%q is not a number", name, text)
	}
	return int(n), nil
}
