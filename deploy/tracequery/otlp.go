package tracequery

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// answer is the part of an answer that is read: OTLP in JSON.
type answer struct {
	Result struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []keyValue }
			ScopeSpans []struct{ Spans []otlpSpan }
		}
	}
}

type otlpSpan struct {
	SpanID, ParentSpanID               string
	Name                               string
	Kind                               int
	StartTimeUnixNano, EndTimeUnixNano nanos
	Attributes                         []keyValue
	Links                              []struct{ SpanID string }
	Status                             struct {
		Code    int
		Message string
	}
}

type keyValue struct {
	Key   string
	Value map[string]any // by type: one entry
}

func (kv keyValue) String() string {
	for _, v := range kv.Value {
		return fmt.Sprint(v)
	}
	return ""
}

// nanos is a number that JSON has as a string, as is the rule for 64 bits, or not.
type nanos int64

func (n *nanos) UnmarshalJSON(b []byte) error {
	return json.Unmarshal([]byte(strings.Trim(string(b), `"`)), (*int64)(n))
}

// kinds are the span kinds by their number in OTLP.
var kinds = []string{"internal", "internal", "server", "client", "producer", "consumer"}

const statusError = 2

func (a answer) spans() []Span {
	var out []Span
	for _, r := range a.Result.ResourceSpans {
		service := ""
		for _, kv := range r.Resource.Attributes {
			if kv.Key == "service.name" {
				service = kv.String()
			}
		}
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				out = append(out, s.span(service))
			}
		}
	}
	return out
}

func (s otlpSpan) span(service string) Span {
	out := Span{
		ID: s.SpanID, Parent: s.ParentSpanID, Service: service, Name: s.Name, Kind: "internal", Tags: map[string]string{},
		Start: time.Unix(0, int64(s.StartTimeUnixNano)), Duration: time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano),
	}
	if s.Kind >= 0 && s.Kind < len(kinds) {
		out.Kind = kinds[s.Kind]
	}
	for _, link := range s.Links {
		out.Links = append(out.Links, link.SpanID)
	}
	for _, kv := range s.Attributes {
		out.Tags[kv.Key] = kv.String()
	}
	if s.Status.Code == statusError {
		out.Error = cmp.Or(s.Status.Message, "error")
	}
	return out
}
