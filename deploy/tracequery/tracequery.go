// Package tracequery reads traces from Jaeger's query API (version 3, which tells
// a span's parent apart from its links), be it Jaeger or the
// embedded store, and says whether a trace tells the whole story of an order and
// nothing else (Trace.Check).
package tracequery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrNotFound says that the backend does not have the trace, perhaps not yet.
var ErrNotFound = errors.New("the tracing backend does not have the trace")

// Span is one span of a trace.
type Span struct {
	ID, Parent    string // Parent is empty for a root
	Service, Name string
	Kind          string // internal, server, client, producer or consumer
	Start         time.Time
	Duration      time.Duration
	Links         []string // span ids
	Tags          map[string]string
	Error         string
}

// Trace is a trace by start time.
type Trace struct {
	ID    string
	Spans []Span
}

// Client asks one backend.
type Client struct {
	// URL is the backend's base address.
	URL string
	// HTTP sends the requests; nil means http.DefaultClient.
	HTTP *http.Client
}

// Link is where a person sees the trace.
func (c Client) Link(id string) string { return strings.TrimSuffix(c.URL, "/") + "/trace/" + id }

// Get returns a trace, or ErrNotFound.
func (c Client) Get(ctx context.Context, id string) (Trace, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.URL, "/")+"/api/v3/traces/"+id, nil)
	if err != nil {
		return Trace{}, err
	}
	resp, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return Trace{}, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return Trace{}, ErrNotFound
	default:
		return Trace{}, fmt.Errorf("GET %s: %s", req.URL, resp.Status)
	}
	t := Trace{ID: id}
	decoder := json.NewDecoder(resp.Body)
	decoder.UseNumber()
	for {
		var part answer // a long trace may come in several
		err := decoder.Decode(&part)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Trace{}, fmt.Errorf("GET %s: %w", req.URL, err)
		}
		t.Spans = append(t.Spans, part.spans()...)
	}
	if len(t.Spans) == 0 {
		return Trace{}, ErrNotFound
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return t, nil
}

// Await asks for a trace again and again until done says that it is all there,
// and returns it then; or as it is once it has not grown for as long as patience.
// Spans arrive some time after they ended. Where one look took long, the machine may
// have stood still, and who sends spans with it: it counts for no more than a second.
func (c Client) Await(ctx context.Context, id string, patience time.Duration, done func(Trace) bool) (Trace, error) {
	seen, still := -1, time.Duration(0)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		begin := time.Now()
		t, err := c.Get(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return t, err
		}
		if err == nil && done(t) {
			return t, nil
		}
		if len(t.Spans) != seen {
			seen, still = len(t.Spans), 0
		}
		if still >= patience {
			return t, err
		}
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-time.After(pause):
		}
		still += min(time.Since(begin), time.Second)
	}
}
