package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Process is what StartProcess says about the attempt it starts.
type Process struct {
	// Group is the consumer group.
	Group string
	// MessageID is the event's id.
	MessageID string
	// Attempt counts from 1.
	Attempt int
	// LastAttempt is the span of the attempt before, to which this one is linked.
	LastAttempt trace.SpanContext
	// Parentage says how the span belongs to the one that sent the record.
	Parentage Parentage
}

// Parentage says how a process span belongs to the span that sent its record. It is
// linked to it in any case.
type Parentage string

const (
	// Parent makes it a child, so that everything that follows from a request is one
	// trace. The default.
	Parent Parentage = "parent"
	// Link makes it a trace of its own, as the messaging conventions have it by
	// default: for consumers that take one event up long after another, or thousands
	// of one request.
	Link Parentage = "link"
)

// UnmarshalText reads a configured value.
func (p *Parentage) UnmarshalText(text []byte) error {
	switch v := Parentage(text); v {
	case Parent, Link:
		*p = v
		return nil
	}
	return fmt.Errorf("%q is neither parent nor link", text)
}

// StartProcess starts the span `process <topic>` of a record: a child of the
// context in its headers and linked to it, or only linked. A record without a
// sampled context belongs to no trace and gets no span.
func StartProcess(ctx context.Context, tracer trace.Tracer, r *kgo.Record, p Process) (context.Context, trace.Span) {
	sent := trace.SpanContextFromContext(Propagator.Extract(context.Background(), recordCarrier{r}))
	ctx = trace.ContextWithRemoteSpanContext(ctx, sent)
	if !sent.IsSampled() {
		return ctx, trace.SpanFromContext(ctx)
	}
	links := []trace.Link{{SpanContext: sent}}
	if p.LastAttempt.IsValid() {
		links = append(links, trace.Link{SpanContext: p.LastAttempt})
	}
	attrs := append(recordAttributes(r),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.consumer.group.name", p.Group),
		attribute.String("messaging.message.id", p.MessageID),
		attribute.Int("quokka.delivery.attempt", p.Attempt),
	)
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...), trace.WithAttributes(attrs...)}
	if p.Parentage == Link {
		opts = append(opts, trace.WithNewRoot())
	}
	return tracer.Start(ctx, "process "+r.Topic, opts...)
}

// StartBatch starts the span of records that are handled together, a new trace
// linked to the span of each. It makes none if none of them is sampled.
func StartBatch(ctx context.Context, tracer trace.Tracer, topic, group string, records []trace.Span) (context.Context, trace.Span) {
	var links []trace.Link
	for _, s := range records {
		if s.IsRecording() {
			links = append(links, trace.Link{SpanContext: s.SpanContext()})
		}
	}
	if len(links) == 0 {
		return ctx, trace.SpanFromContext(ctx)
	}
	return tracer.Start(ctx, "process "+topic,
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", topic),
			attribute.String("messaging.consumer.group.name", group),
			attribute.Int("messaging.batch.message_count", len(records)),
		))
}

// Outcome is the attribute that says how an attempt ended.
func Outcome(outcome string) attribute.KeyValue { return attribute.String("quokka.outcome", outcome) }

// Redelivered marks a span of a record that was delivered before.
func Redelivered() attribute.KeyValue { return attribute.Bool("quokka.redelivered", true) }

// ErrorType is the attribute error.type of a failure: the type of the innermost
// error.
func ErrorType(err error) attribute.KeyValue {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return attribute.String("error.type", fmt.Sprintf("%T", err))
		}
		err = inner
	}
}

// recordAttributes are the attributes that every span about a record has.
func recordAttributes(r *kgo.Record) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.destination.name", r.Topic),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(int(r.Partition))),
		attribute.Int64("messaging.kafka.offset", r.Offset),
		attribute.Int("messaging.message.body.size", len(r.Value)),
	}
	if len(r.Key) > 0 && utf8.Valid(r.Key) {
		attrs = append(attrs, attribute.String("messaging.kafka.message.key", string(r.Key)))
	}
	if subject := (recordCarrier{r}).Get("ce_subject"); subject != "" {
		attrs = append(attrs, attribute.String("messaging.message.conversation_id", subject))
	}
	return attrs
}

// recordCarrier reads and writes trace headers in a record.
type recordCarrier struct{ r *kgo.Record }

var _ propagation.TextMapCarrier = recordCarrier{}

func (c recordCarrier) Get(key string) string {
	for _, h := range c.r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func (c recordCarrier) Set(key, value string) {
	for i, h := range c.r.Headers {
		if h.Key == key {
			c.r.Headers[i].Value = []byte(value)
			return
		}
	}
	c.r.Headers = append(c.r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
}

func (c recordCarrier) Keys() []string {
	keys := make([]string, len(c.r.Headers))
	for i, h := range c.r.Headers {
		keys[i] = h.Key
	}
	return keys
}
