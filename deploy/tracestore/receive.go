package tracestore

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxReceived bounds an export request, unpacked.
const maxReceived = 16 << 20

// receive takes spans by OTLP/HTTP in protobuf, for services that run in processes
// of their own: the store's address is their OTEL_EXPORTER_OTLP_ENDPOINT.
func (s *Store) receive(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		fail(w, http.StatusUnsupportedMediaType, "Content-Type is %q, want application/x-protobuf", kind)
		return
	}
	spans, err := readExport(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, "no OTLP trace export: %v", err)
		return
	}
	_ = s.ExportSpans(r.Context(), spans.Snapshots()) // never fails
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func readExport(w http.ResponseWriter, r *http.Request) (tracetest.SpanStubs, error) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxReceived)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = http.MaxBytesReader(w, unpacked, maxReceived)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &export); err != nil {
		return nil, err
	}
	var out tracetest.SpanStubs
	for _, r := range export.GetResourceSpans() {
		res := resource.NewSchemaless(keyValues(r.GetResource().GetAttributes())...)
		for _, scope := range r.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				stub, err := received(span)
				if err != nil {
					return nil, err
				}
				stub.Resource, stub.InstrumentationScope = res, instrumentation.Scope{Name: scope.GetScope().GetName()}
				out = append(out, stub)
			}
		}
	}
	return out, nil
}

// received is a span as the SDK has it.
func received(s *otlp.Span) (tracetest.SpanStub, error) {
	if len(s.GetTraceId()) != 16 || len(s.GetSpanId()) != 8 {
		return tracetest.SpanStub{}, fmt.Errorf("span %q has ids of %d and %d bytes, want 16 and 8", s.GetName(), len(s.GetTraceId()), len(s.GetSpanId()))
	}
	stub := tracetest.SpanStub{
		Name: s.GetName(), SpanKind: trace.SpanKind(s.GetKind()), //nolint:gosec // a small enumeration, numbered alike
		SpanContext: spanContext(s.GetTraceId(), s.GetSpanId()),
		StartTime:   unixNano(s.GetStartTimeUnixNano()), EndTime: unixNano(s.GetEndTimeUnixNano()),
		Attributes: keyValues(s.GetAttributes()),
	}
	if len(s.GetParentSpanId()) == 8 {
		stub.Parent = spanContext(s.GetTraceId(), s.GetParentSpanId())
	}
	switch s.GetStatus().GetCode() {
	case otlp.Status_STATUS_CODE_OK:
		stub.Status.Code = codes.Ok
	case otlp.Status_STATUS_CODE_ERROR:
		stub.Status = sdktrace.Status{Code: codes.Error, Description: s.GetStatus().GetMessage()}
	}
	for _, e := range s.GetEvents() {
		stub.Events = append(stub.Events, sdktrace.Event{Name: e.GetName(), Time: unixNano(e.GetTimeUnixNano()), Attributes: keyValues(e.GetAttributes())})
	}
	for _, l := range s.GetLinks() {
		stub.Links = append(stub.Links, sdktrace.Link{SpanContext: spanContext(l.GetTraceId(), l.GetSpanId()), Attributes: keyValues(l.GetAttributes())})
	}
	return stub, nil
}

func spanContext(traceID, spanID []byte) trace.SpanContext {
	cfg := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	copy(cfg.TraceID[:], traceID)
	copy(cfg.SpanID[:], spanID)
	return trace.NewSpanContext(cfg)
}

func unixNano(n uint64) time.Time { return time.Unix(0, int64(n)) } //nolint:gosec // until 2262

func keyValues(from []*common.KeyValue) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(from))
	for _, kv := range from {
		key := attribute.Key(kv.GetKey())
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_BoolValue:
			out = append(out, key.Bool(v.BoolValue))
		case *common.AnyValue_IntValue:
			out = append(out, key.Int64(v.IntValue))
		case *common.AnyValue_DoubleValue:
			out = append(out, key.Float64(v.DoubleValue))
		case *common.AnyValue_StringValue:
			out = append(out, key.String(v.StringValue))
		default: // lists and the like are shown, not searched
			out = append(out, key.String(kv.GetValue().String()))
		}
	}
	return out
}
