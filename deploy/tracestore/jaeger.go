package tracestore

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The shapes of Jaeger's first query API.
type (
	jaegerTrace struct {
		TraceID   string                   `json:"traceID"`
		Spans     []jaegerSpan             `json:"spans"`
		Processes map[string]jaegerProcess `json:"processes"`
		Warnings  []string                 `json:"warnings"`
	}
	jaegerSpan struct {
		TraceID    string      `json:"traceID"`
		SpanID     string      `json:"spanID"`
		Name       string      `json:"operationName"`
		References []jaegerRef `json:"references"`
		StartTime  int64       `json:"startTime"` // microseconds
		Duration   int64       `json:"duration"`  // microseconds
		Tags       []jaegerTag `json:"tags"`
		Logs       []jaegerLog `json:"logs"`
		ProcessID  string      `json:"processID"`
		Warnings   []string    `json:"warnings"`
	}
	jaegerRef struct {
		RefType string `json:"refType"` // CHILD_OF for the parent, FOLLOWS_FROM for a link
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	}
	jaegerTag struct {
		Key   string `json:"key"`
		Type  string `json:"type"`
		Value any    `json:"value"`
	}
	jaegerLog struct {
		Timestamp int64       `json:"timestamp"`
		Fields    []jaegerTag `json:"fields"`
	}
	jaegerProcess struct {
		ServiceName string      `json:"serviceName"`
		Tags        []jaegerTag `json:"tags"`
	}
)

func toJaeger(t Trace) jaegerTrace {
	out := jaegerTrace{TraceID: t.ID.String(), Spans: []jaegerSpan{}, Processes: map[string]jaegerProcess{}}
	if t.Dropped > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d more spans were dropped: the trace is longer than the store keeps", t.Dropped))
	}
	processes := map[string]string{}
	for _, s := range t.Spans {
		process, known := processes[s.Service]
		if !known {
			process = fmt.Sprintf("p%d", len(processes)+1)
			processes[s.Service] = process
			out.Processes[process] = jaegerProcess{ServiceName: s.Service, Tags: jaegerTags(s.resource)}
		}
		out.Spans = append(out.Spans, toJaegerSpan(s, process))
	}
	return out
}

func toJaegerSpan(s Span, process string) jaegerSpan {
	out := jaegerSpan{
		TraceID: s.TraceID.String(), SpanID: s.ID.String(), Name: s.Name, ProcessID: process,
		StartTime: s.Start.UnixMicro(), Duration: s.Duration().Microseconds(),
		References: []jaegerRef{}, Tags: jaegerTags(s.Attributes), Logs: []jaegerLog{},
	}
	if s.Parent.IsValid() {
		out.References = append(out.References, jaegerRef{"CHILD_OF", out.TraceID, s.Parent.String()})
	}
	for _, link := range s.Links {
		sc := link.SpanContext
		out.References = append(out.References, jaegerRef{"FOLLOWS_FROM", sc.TraceID().String(), sc.SpanID().String()})
	}
	out.Tags = append(out.Tags, jaegerTag{"otel.scope.name", "string", s.Scope})
	if s.Kind != trace.SpanKindInternal {
		out.Tags = append(out.Tags, jaegerTag{"span.kind", "string", s.Kind.String()})
	}
	switch s.Status.Code {
	case codes.Error:
		out.Tags = append(out.Tags, jaegerTag{"error", "bool", true}, jaegerTag{"otel.status_code", "string", "ERROR"})
		if s.Status.Description != "" {
			out.Tags = append(out.Tags, jaegerTag{"otel.status_description", "string", s.Status.Description})
		}
	case codes.Ok:
		out.Tags = append(out.Tags, jaegerTag{"otel.status_code", "string", "OK"})
	}
	for _, e := range s.Events {
		fields := append([]jaegerTag{{"event", "string", e.Name}}, jaegerTags(e.Attributes)...)
		out.Logs = append(out.Logs, jaegerLog{e.Time.UnixMicro(), fields})
	}
	return out
}

func jaegerTags(attrs []attribute.KeyValue) []jaegerTag {
	out := make([]jaegerTag, 0, len(attrs)+4)
	for _, kv := range attrs {
		tag := jaegerTag{Key: string(kv.Key), Type: "string"}
		switch kv.Value.Type() {
		case attribute.BOOL:
			tag.Type, tag.Value = "bool", kv.Value.AsBool()
		case attribute.INT64:
			tag.Type, tag.Value = "int64", kv.Value.AsInt64()
		case attribute.FLOAT64:
			tag.Type, tag.Value = "float64", kv.Value.AsFloat64()
		default:
			tag.Value = kv.Value.String()
		}
		out = append(out, tag)
	}
	return out
}

// toOTLP returns the trace in the JSON form of the OpenTelemetry protocol, which
// Jaeger's third query API answers with: ids in hexadecimal, 64-bit numbers as
// strings, one resource per service.
func toOTLP(t Trace) map[string]any {
	type object = map[string]any
	spansOf, resourceOf := map[string][]object{}, map[string][]attribute.KeyValue{}
	services := map[string]bool{}
	for _, s := range t.Spans {
		span := object{
			"traceId": s.TraceID.String(), "spanId": s.ID.String(), "name": s.Name, "kind": int(s.Kind),
			"startTimeUnixNano": nanos(s.Start), "endTimeUnixNano": nanos(s.End),
			"attributes": otlpAttributes(s.Attributes),
		}
		if s.Parent.IsValid() {
			span["parentSpanId"] = s.Parent.String()
		}
		status := object{}
		switch s.Status.Code {
		case codes.Ok:
			status["code"] = 1
		case codes.Error:
			status["code"] = 2
			status["message"] = s.Status.Description
		}
		span["status"] = status
		var events, links []object
		for _, e := range s.Events {
			events = append(events, object{"name": e.Name, "timeUnixNano": nanos(e.Time), "attributes": otlpAttributes(e.Attributes)})
		}
		for _, l := range s.Links {
			links = append(links, object{"traceId": l.SpanContext.TraceID().String(), "spanId": l.SpanContext.SpanID().String(), "attributes": otlpAttributes(l.Attributes)})
		}
		if events != nil {
			span["events"] = events
		}
		if links != nil {
			span["links"] = links
		}
		services[s.Service], resourceOf[s.Service] = true, s.resource
		spansOf[s.Service] = append(spansOf[s.Service], object{"scope": object{"name": s.Scope}, "spans": []object{span}})
	}
	resources := []object{}
	for _, service := range sorted(services) {
		resources = append(resources, object{
			"resource":   object{"attributes": otlpAttributes(resourceOf[service])},
			"scopeSpans": spansOf[service],
		})
	}
	return object{"resourceSpans": resources}
}

func nanos(t time.Time) string { return fmt.Sprint(t.UnixNano()) }

func otlpAttributes(attrs []attribute.KeyValue) []map[string]any {
	out := make([]map[string]any, 0, len(attrs))
	for _, kv := range attrs {
		out = append(out, map[string]any{"key": string(kv.Key), "value": otlpValue(kv.Value)})
	}
	return out
}

func otlpValue(v attribute.Value) map[string]any {
	switch v.Type() {
	case attribute.BOOL:
		return map[string]any{"boolValue": v.AsBool()}
	case attribute.INT64:
		return map[string]any{"intValue": fmt.Sprint(v.AsInt64())}
	case attribute.FLOAT64:
		return map[string]any{"doubleValue": v.AsFloat64()}
	case attribute.STRINGSLICE:
		values := []map[string]any{}
		for _, text := range v.AsStringSlice() {
			values = append(values, map[string]any{"stringValue": text})
		}
		return map[string]any{"arrayValue": map[string]any{"values": values}}
	default:
		return map[string]any{"stringValue": v.String()}
	}
}
