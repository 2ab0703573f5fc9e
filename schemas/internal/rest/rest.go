// Package rest talks to a schema registry. The protocol is srclient's; this
// package adds what srclient lacks: a context for every call, a time limit for
// every attempt, bounded retries over several addresses, and errors with a
// type. srclient's caches are off: one never expires what can change, and none
// keeps two callers from asking the same at once. Package serde caches what is
// immutable.
package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/riferrei/srclient"
)

// Config says how to reach a registry.
type Config struct {
	// URLs are its addresses, separated by commas; all of them lead to the
	// same registry, and a failed attempt goes on to the next. User and
	// password in the URL are sent as basic authentication.
	URLs string
	// Transport sends the requests. Default: a transport of its own.
	Transport http.RoundTripper
	// AttemptTimeout limits one attempt, body included. Default 5 s.
	AttemptTimeout time.Duration
	// Attempts is how often a request is tried before it fails; every request
	// made here may be repeated safely. Default 4.
	Attempts int
	// Backoff is the longest pause after the first failure; it doubles with
	// each further one, and a random part of it is waited. Default 100 ms.
	Backoff time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	tr   *transport
}

// New returns a client; it sends nothing yet.
func New(cfg Config) (*Client, error) {
	tr, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{
		base: strings.TrimSuffix(tr.urls[0].String(), "/"),
		http: &http.Client{Transport: tr},
		tr:   tr,
	}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address returns the registry's addresses without passwords.
func (c *Client) Address() string { return c.tr.address() }

// Schema is a schema as the registry holds it.
type Schema struct {
	// ID is the schema's id.
	ID int
	// Version is its version under the subject asked about, 0 when asked by id.
	Version int
	// Type is AVRO, PROTOBUF or JSON.
	Type string
	// Text is the schema.
	Text string
	// References are the subjects whose types it uses.
	References []srclient.Reference
}

// SubjectVersion is where a schema is registered.
type SubjectVersion struct {
	Subject string
	Version int
}

// ByID returns the schema with this id.
func (c *Client) ByID(ctx context.Context, id int) (Schema, error) {
	return call(ctx, c, fmt.Sprintf("read schema %d", id), func(s *srclient.SchemaRegistryClient) (Schema, error) {
		return schema(s.GetSchema(id))
	})
}

// Where returns the subjects and versions under which a schema is registered.
func (c *Client) Where(ctx context.Context, id int) ([]SubjectVersion, error) {
	return call(ctx, c, fmt.Sprintf("find schema %d", id), func(s *srclient.SchemaRegistryClient) ([]SubjectVersion, error) {
		list, err := s.GetSubjectVersionsById(id)
		out := make([]SubjectVersion, 0, len(list))
		for _, p := range list {
			out = append(out, SubjectVersion{p.Subject, p.Version})
		}
		return out, err
	})
}

// Version returns a version of a subject, 0 meaning the latest.
func (c *Client) Version(ctx context.Context, subject string, version int) (Schema, error) {
	return call(ctx, c, "read subject "+subject, func(s *srclient.SchemaRegistryClient) (Schema, error) {
		if version == 0 {
			return schema(s.GetLatestSchema(subject))
		}
		return schema(s.GetSchemaByVersion(subject, version))
	})
}

// Lookup finds a schema under a subject.
func (c *Client) Lookup(ctx context.Context, subject, text string) (Schema, error) {
	return call(ctx, c, "look up under subject "+subject, func(s *srclient.SchemaRegistryClient) (Schema, error) {
		return schema(s.LookupSchema(subject, text, srclient.Avro))
	})
}

// Register adds a schema under a subject, or finds it there.
func (c *Client) Register(ctx context.Context, subject, text string) (Schema, error) {
	return call(ctx, c, "register under subject "+subject, func(s *srclient.SchemaRegistryClient) (Schema, error) {
		return schema(s.CreateSchema(subject, text, srclient.Avro))
	})
}

// Compatibility returns the level set for a subject itself; IsNotFound(err)
// where none is.
func (c *Client) Compatibility(ctx context.Context, subject string) (string, error) {
	return call(ctx, c, "read compatibility of subject "+subject, func(s *srclient.SchemaRegistryClient) (string, error) {
		level, err := s.GetCompatibilityLevel(subject, false)
		if err != nil {
			return "", err
		}
		return level.String(), nil
	})
}

// SetCompatibility sets the level of a subject.
func (c *Client) SetCompatibility(ctx context.Context, subject, level string) error {
	_, err := call(ctx, c, "set compatibility of subject "+subject, func(s *srclient.SchemaRegistryClient) (any, error) {
		_, err := s.ChangeSubjectCompatibilityLevel(subject, srclient.CompatibilityLevel(level))
		return nil, err
	})
	return err
}

func schema(s *srclient.Schema, err error) (Schema, error) {
	if err != nil {
		return Schema{}, err
	}
	out := Schema{ID: s.ID(), Version: s.Version(), Type: "AVRO", Text: s.Schema(), References: s.References()}
	if t := s.SchemaType(); t != nil && *t != "" {
		out.Type = string(*t)
	}
	return out, nil
}

// call runs one exchange. srclient takes no context, so each call gets a
// client of its own whose requests carry it; that costs a few allocations.
func call[T any](ctx context.Context, c *Client, op string, do func(*srclient.SchemaRegistryClient) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, fmt.Errorf("registry: %s: %w", op, err)
	}
	status := new(int)
	ctx = context.WithValue(ctx, statusKey{}, status)
	sr := srclient.NewSchemaRegistryClient(c.base,
		srclient.WithClient(c.http),
		srclient.WithPreReqFn(func(r *http.Request) error {
			*r = *r.WithContext(ctx)
			return nil
		}))
	sr.CachingEnabled(false)
	v, err := do(sr)
	if err != nil {
		return zero, c.classify(ctx, op, *status, err)
	}
	return v, nil
}

// classify gives an error its type. Whether the registry answered, and with
// which status, is known from the transport: srclient forgets it when the body
// is not the expected JSON.
func (c *Client) classify(ctx context.Context, op string, status int, err error) error {
	var se srclient.Error
	answered := errors.As(err, &se)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("registry: %s: %w", op, context.Cause(ctx))
	case answered && !retryable(status):
		return &Error{Op: op, Status: status, Code: se.Code, Message: se.Message}
	case status >= 400 && !retryable(status):
		return &Error{Op: op, Status: status, Message: http.StatusText(status)}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if answered {
		err = errors.New(se.Message)
	}
	return &UnavailableError{Address: c.Address(), Op: op, Status: status, Err: err}
}

// Error is the registry's refusal.
type Error struct {
	// Op is what was asked.
	Op string
	// Status is the HTTP status, Code the registry's own error code, such as
	// 40401 for an unknown subject; 0 where the answer had none.
	Status, Code int
	// Message is the registry's text.
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("registry: %s: %s (code %d, status %d)", e.Op, e.Message, e.Code, e.Status)
}

// UnavailableError says that no address of the registry gave an answer, or
// only that it cannot answer now. The same call may succeed later.
type UnavailableError struct {
	// Address is where the registry was sought.
	Address string
	// Op is what was asked.
	Op string
	// Status is the HTTP status of the last attempt, 0 without an answer.
	Status int
	// Err is what the last attempt ended with.
	Err error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("registry: %s: no answer from %s: %v", e.Op, e.Address, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// IsNotFound reports whether the registry does not have what was asked for.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// IsConflict reports whether the registry refused a schema as incompatible.
// The error code differs between versions of Confluent's registry, the status
// does not.
func IsConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusConflict
}
