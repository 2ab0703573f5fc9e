// Package brokertrace shows the broker's part in its clients' traces: how long a
// produced record took to be in its file and on the disk.
//
// Each record that carries a sampled trace context gets a span `produce <topic>`,
// a child of the span that sent it, and in it `append <topic>` and `fsync <topic>`.
// Records of one batch share their times. A record without a sampled context gets
// nothing, so untraced topics stay untraced; a batch whose records cannot be read
// gets one span, a trace of its own.
package brokertrace

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/broker"
)

// Service is the broker's name in traces.
const Service = "broker"

const scope = "github.com/quokka-stream/quokka/deploy/brokertrace"

// Hook returns what broker.Config.Trace takes.
func Hook(provider trace.TracerProvider) func(broker.ProduceTrace) {
	tracer := provider.Tracer(scope)
	return func(p broker.ProduceTrace) {
		if p.TraceParents == nil {
			spans(context.Background(), tracer, &p, p.BaseOffset)
			return
		}
		seen := map[string]bool{} // several records may come from one span
		for i, parent := range p.TraceParents {
			if parent == "" || seen[parent] {
				continue
			}
			seen[parent] = true
			ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
			if !trace.SpanContextFromContext(ctx).IsSampled() {
				continue
			}
			offset := p.BaseOffset
			if offset >= 0 {
				offset += int64(i)
			}
			spans(ctx, tracer, &p, offset)
		}
	}
}

// spans makes the spans of one record, whose context is ctx.
func spans(ctx context.Context, tracer trace.Tracer, p *broker.ProduceTrace, offset int64) {
	attrs := []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.destination.name", p.Topic),
		attribute.String("messaging.destination.partition.id", strconv.Itoa(int(p.Partition))),
		attribute.String("messaging.client.id", p.ClientID),
		attribute.Int("messaging.batch.message_count", p.Records),
		attribute.Int("quokka.batch.bytes", p.Bytes),
		attribute.Int("quokka.acks", int(p.Acks)),
	}
	if offset >= 0 {
		attrs = append(attrs, attribute.Int64("messaging.kafka.offset", offset))
	}
	if p.Duplicate {
		attrs = append(attrs, attribute.Bool("quokka.redelivered", true))
	}
	ctx, whole := tracer.Start(ctx, "produce "+p.Topic, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(p.Received), trace.WithAttributes(attrs...))
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		whole.SetStatus(codes.Error, err.Error())
		if known := kerr.TypedErrorForCode(p.ErrorCode); known != nil {
			whole.SetAttributes(attribute.String("error.type", known.Message))
		}
	}
	inner(ctx, tracer, "append "+p.Topic, p.Received, p.Written)
	inner(ctx, tracer, "fsync "+p.Topic, p.Written, p.Durable)
	whole.End(trace.WithTimestamp(p.Answered))
}

// inner makes a span from one time to another, if both came.
func inner(ctx context.Context, tracer trace.Tracer, name string, from, to time.Time) {
	if from.IsZero() || to.IsZero() {
		return
	}
	_, span := tracer.Start(ctx, name, trace.WithTimestamp(from))
	span.End(trace.WithTimestamp(to))
}
