package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/services/kit/postgres"
)

// Problem is an error as HTTP clients see it (RFC 9457). Code is stable: programs
// may depend on it; the texts are for people.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	// Errors names the fields that are wrong.
	Errors []FieldError `json:"errors,omitempty"`
	// TraceID finds the request in the traces.
	TraceID string `json:"trace_id,omitempty"`

	header http.Header
	cause  error
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// NewProblem returns a problem with a status, a stable code and a detail.
func NewProblem(status int, code, format string, args ...any) *Problem {
	return &Problem{
		Type:   "urn:quokka:problem:" + code,
		Title:  http.StatusText(status),
		Status: status,
		Code:   code,
		Detail: fmt.Sprintf(format, args...),
	}
}

// Invalid is the problem of a well-formed request with values that are not
// allowed: 422.
func Invalid(code string, fields ...FieldError) *Problem {
	detail := "the request has invalid fields"
	if len(fields) == 1 {
		detail = fields[0].Field + " " + fields[0].Problem
	}
	p := NewProblem(http.StatusUnprocessableEntity, code, "%s", detail)
	p.Errors = fields
	return p
}

// InvalidQuery is the problem of query parameters that are not allowed: 400.
func InvalidQuery(fields ...FieldError) *Problem {
	p := Invalid("invalid_query", fields...)
	p.Status, p.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
	return p
}

// Unavailable is the problem of something behind the service that is away for
// now: 503.
func Unavailable(detail string) *Problem {
	return NewProblem(http.StatusServiceUnavailable, "unavailable", "%s", detail).WithHeader("Retry-After", "1")
}

// WithHeader adds a response header.
func (p *Problem) WithHeader(key, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(key, value)
	return p
}

// WithCause adds what caused the problem, for the log; clients do not see it.
func (p *Problem) WithCause(err error) *Problem {
	p.cause = err
	return p
}

// Error makes a problem an error that handlers return.
func (p *Problem) Error() string { return fmt.Sprintf("%s: %s", p.Code, p.Detail) }

// Unwrap returns what caused the problem.
func (p *Problem) Unwrap() error { return p.cause }

// problemOf turns a handler's error into a problem. Errors that are none are the
// service's fault: the client learns no more than that, and whether it is worth
// trying again soon.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if postgres.Unavailable(err) {
		return Unavailable("the service's database is away: try again").WithCause(err)
	}
	return NewProblem(http.StatusInternalServerError, "internal", "the service failed to answer; the trace id finds the reason in its log").WithCause(err)
}

func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	if sc := trace.SpanContextFromContext(r.Context()); sc.IsValid() {
		q := *p
		q.TraceID = sc.TraceID().String()
		p = &q
	}
	for k, v := range p.header {
		w.Header()[k] = v
	}
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}
