package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds an answer; a registry that sends more is not one.
const maxBody = 16 << 20

type statusKey struct{}

// transport repeats requests. It reads each answer whole, so that a broken
// body is a failed attempt like any other.
type transport struct {
	next     http.RoundTripper
	urls     []*url.URL
	prefer   atomic.Uint32 // index of the address that answered last
	timeout  time.Duration
	attempts int
	backoff  time.Duration
}

func newTransport(cfg Config) (*transport, error) {
	t := &transport{next: cfg.Transport, timeout: cfg.AttemptTimeout, attempts: cfg.Attempts, backoff: cfg.Backoff}
	for s := range strings.SplitSeq(cfg.URLs, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		u, err := url.Parse(strings.TrimSuffix(s, "/"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("registry address %q: want http://host:port", redact(s))
		}
		t.urls = append(t.urls, u)
	}
	if len(t.urls) == 0 {
		return nil, errors.New("no registry address given: want http://host:port")
	}
	if t.next == nil {
		t.next = http.DefaultTransport.(*http.Transport).Clone()
	}
	if t.timeout == 0 {
		t.timeout = 5 * time.Second
	}
	if t.attempts == 0 {
		t.attempts = 4
	}
	if t.backoff == 0 {
		t.backoff = 100 * time.Millisecond
	}
	return t, nil
}

func redact(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func (t *transport) address() string {
	out := make([]string, len(t.urls))
	for i, u := range t.urls {
		out[i] = u.Redacted()
	}
	return strings.Join(out, ",")
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip tries until there is an answer worth giving, at most t.attempts
// times, at each failure with the next address.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	status, _ := req.Context().Value(statusKey{}).(*int)
	if status == nil {
		status = new(int)
	}
	if req.Body != nil {
		// Each attempt takes a copy by GetBody.
		defer func() { _ = req.Body.Close() }()
	}
	first := t.prefer.Load()
	for n := 1; ; n++ {
		i := (first + uint32(n-1)) % uint32(len(t.urls))
		resp, err := t.attempt(req, t.urls[i])
		*status = 0
		if resp != nil {
			*status = resp.StatusCode
		}
		if err == nil && !retryable(resp.StatusCode) {
			t.prefer.Store(i)
			return resp, nil
		}
		if n == t.attempts {
			return resp, err
		}
		if err := t.pause(req.Context(), n); err != nil {
			return nil, err
		}
	}
}

func retryable(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500
}

// pause waits a random part of a span that doubles with each failure, so that
// many clients do not come back at once.
func (t *transport) pause(ctx context.Context, failures int) error {
	span := t.backoff << min(failures-1, 10)
	timer := time.NewTimer(span/4 + rand.N(span*3/4+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt sends req to one address and reads the whole answer.
func (t *transport) attempt(req *http.Request, base *url.URL) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.timeout, fmt.Errorf("no answer within %v", t.timeout))
	defer cancel()
	out := req.Clone(ctx)
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	target, err := url.Parse(strings.TrimSuffix(base.String(), "/") + strings.TrimPrefix(req.URL.EscapedPath(), t.urls[0].EscapedPath()))
	if err != nil {
		return nil, err
	}
	target.RawQuery = req.URL.RawQuery
	out.URL, out.Host = target, ""
	if user := base.User; user != nil {
		password, _ := user.Password()
		out.SetBasicAuth(user.Username(), password)
	}
	out.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	resp, err := t.next.RoundTrip(out)
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, cause(ctx, err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxBody)
	}
	// srclient dereferences what it decodes, which null makes a nil pointer.
	if trimmed := bytes.TrimSpace(body); resp.StatusCode < 300 && (len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[') {
		return nil, errors.New("the answer is not that of a schema registry: is the address right?")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// cause prefers the reason for which ctx ended to the bare fact.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
