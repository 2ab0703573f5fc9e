// Package tracequery reads traces from Jaeger's query API, be it Jaeger or the
// embedded store, and says whether a trace is whole: one root, no span whose
// parent is missing, no error, and every hop that an order takes.
package tracequery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.URL, "/")+"/api/traces/"+id, nil)
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
	var answer answer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return Trace{}, fmt.Errorf("GET %s: %w", req.URL, err)
	}
	if len(answer.Data) == 0 {
		return Trace{}, ErrNotFound
	}
	return answer.Data[0].trace(), nil
}

// Settled returns a trace once it stopped growing for a while: spans of late
// hops arrive after the order is long settled.
func (c Client) Settled(ctx context.Context, id string, quiet time.Duration) (Trace, error) {
	var (
		last  Trace
		since = time.Now()
	)
	for {
		t, err := c.Get(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return t, err
		}
		if len(t.Spans) != len(last.Spans) {
			last, since = t, time.Now()
		}
		if time.Since(since) >= quiet {
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(quiet / 10):
		}
	}
}

// answer is the part of Jaeger's answer that is read.
type answer struct {
	Data []jaegerTrace `json:"data"`
}

type jaegerTrace struct {
	TraceID string `json:"traceID"`
	Spans   []struct {
		SpanID        string `json:"spanID"`
		OperationName string `json:"operationName"`
		References    []struct {
			RefType, TraceID, SpanID string
		} `json:"references"`
		StartTime int64 `json:"startTime"`
		Duration  int64 `json:"duration"`
		Tags      []struct {
			Key   string `json:"key"`
			Value any    `json:"value"`
		} `json:"tags"`
		ProcessID string `json:"processID"`
	} `json:"spans"`
	Processes map[string]struct {
		ServiceName string `json:"serviceName"`
	} `json:"processes"`
}

func (j jaegerTrace) trace() Trace {
	t := Trace{ID: j.TraceID}
	for _, s := range j.Spans {
		span := Span{
			ID: s.SpanID, Service: j.Processes[s.ProcessID].ServiceName, Name: s.OperationName, Kind: "internal",
			Start: time.UnixMicro(s.StartTime), Duration: time.Duration(s.Duration) * time.Microsecond, Tags: map[string]string{},
		}
		for _, ref := range s.References {
			switch {
			case ref.RefType == "CHILD_OF" && ref.TraceID == j.TraceID && span.Parent == "":
				span.Parent = ref.SpanID
			default:
				span.Links = append(span.Links, ref.SpanID)
			}
		}
		for _, tag := range s.Tags {
			span.Tags[tag.Key] = fmt.Sprint(tag.Value)
		}
		if kind := span.Tags["span.kind"]; kind != "" {
			span.Kind = kind
		}
		if span.Tags["error"] == "true" {
			span.Error = cmp.Or(span.Tags["otel.status_description"], "error")
		}
		t.Spans = append(t.Spans, span)
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	return t
}
