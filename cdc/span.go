package cdc

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const scopeName = "github.com/quokka-stream/quokka/cdc"

// Attribute names of the OpenTelemetry messaging conventions, version 1.44.
const (
	attrSystem        = attribute.Key("messaging.system")
	attrOperation     = attribute.Key("messaging.operation.name")
	attrOperationType = attribute.Key("messaging.operation.type")
	attrDestination   = attribute.Key("messaging.destination.name")
	attrCount         = attribute.Key("messaging.batch.message_count")
	attrPosition      = attribute.Key("quokka.cdc.commit_lsn")
)

// spans are those of one transaction: for each topic one send span, a trace of
// its own, linked to the writer's. The records carry the writer's context as it
// is, not the span's: consumers of a row continue the writer's trace.
type spans struct {
	tracer trace.Tracer
	link   trace.Link
	traced bool
	open   map[string]*sendSpan
}

type sendSpan struct {
	span    trace.Span
	records int
}

// follow takes the context of the records that come next.
func (s *spans) follow(t traceContext) {
	carrier := propagation.MapCarrier{HeaderTraceparent: string(t.parent), HeaderTracestate: string(t.state)}
	writer := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	s.link, s.traced = trace.Link{SpanContext: writer}, writer.IsSampled()
}

// sent counts a record of a topic.
func (s *spans) sent(topic, position string) {
	open := s.open[topic]
	if open == nil {
		_, span := s.tracer.Start(context.Background(), "send "+topic, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(s.link), //nolint:spancheck // ended by end
			trace.WithAttributes(attrSystem.String("kafka"), attrOperation.String("send"), attrOperationType.String("send"),
				attrDestination.String(topic), attrPosition.String(position)))
		if s.open == nil {
			s.open = map[string]*sendSpan{}
		}
		open = &sendSpan{span: span}
		s.open[topic] = open
	}
	open.records++
} //nolint:spancheck // ended by end

// end returns what ends the spans when the broker has the transaction, nil if
// there are none, and makes ready for the next transaction.
func (s *spans) end() func() {
	open := s.open
	s.open, s.traced = nil, false
	if len(open) == 0 {
		return nil
	}
	return func() {
		for _, o := range open {
			o.span.SetAttributes(attrCount.Int(o.records))
			o.span.End()
		}
	}
}
