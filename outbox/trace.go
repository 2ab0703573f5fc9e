package outbox

import (
	"context"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const scopeName = "github.com/quokka-stream/quokka/outbox"

// subjectHeader is the CloudEvents header that names what an event is about.
const subjectHeader = "ce_subject"

// Attribute names of the OpenTelemetry messaging conventions, version 1.44.
const (
	attrSystem        = attribute.Key("messaging.system")
	attrOperation     = attribute.Key("messaging.operation.name")
	attrOperationType = attribute.Key("messaging.operation.type")
	attrDestination   = attribute.Key("messaging.destination.name")
	attrPartition     = attribute.Key("messaging.destination.partition.id")
	attrMessageID     = attribute.Key("messaging.message.id")
	attrBodySize      = attribute.Key("messaging.message.body.size")
	attrMessageKey    = attribute.Key("messaging.kafka.message.key")
	attrConversation  = attribute.Key("messaging.message.conversation_id")
	attrTombstone     = attribute.Key("messaging.kafka.message.tombstone")
	attrOffset        = attribute.Key("messaging.kafka.offset")
	// AttrRedelivered is set on the send span of an event that may have been sent
	// before: it was on its way when a relay ended, or when a publication failed.
	// The conventions have no name for that in Kafka.
	AttrRedelivered = attribute.Key("quokka.redelivered")
)

// send opens the span of an event's publication if its stored context is sampled,
// and returns the trace headers that travel: those of the span, else those that
// were stored.
func send(tracer trace.Tracer, e *stored, again bool) (headers []kgo.RecordHeader, end func(*kgo.Record, error)) {
	end = func(*kgo.Record, error) {}
	if e.traceparent == "" {
		return nil, end
	}
	carrier := propagation.MapCarrier{traceparentKey: e.traceparent}
	if e.tracestate != "" {
		carrier[tracestateKey] = e.tracestate
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	if tracer != nil && trace.SpanContextFromContext(ctx).IsSampled() {
		attrs := []attribute.KeyValue{
			attrSystem.String("kafka"), attrOperation.String("send"), attrOperationType.String("send"),
			attrDestination.String(e.Topic), attrMessageID.String(e.ID.String()), attrBodySize.Int(len(e.Value)),
		}
		if e.Key != nil && utf8.Valid(e.Key) {
			attrs = append(attrs, attrMessageKey.String(string(e.Key)))
		}
		for _, h := range e.Headers {
			if h.Key == subjectHeader {
				attrs = append(attrs, attrConversation.String(string(h.Value)))
			}
		}
		if e.Value == nil {
			attrs = append(attrs, attrTombstone.Bool(true))
		}
		if again {
			attrs = append(attrs, AttrRedelivered.Bool(true))
		}
		var span trace.Span
		ctx, span = tracer.Start(ctx, "send "+e.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attrs...)) //nolint:spancheck // ended by end
		end = func(r *kgo.Record, err error) { endSend(span, r, err) }
		carrier = propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
	}
	for _, k := range []string{traceparentKey, tracestateKey} {
		if v := carrier[k]; v != "" {
			headers = append(headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
	}
	return headers, end //nolint:spancheck // ended by end
}

func endSend(span trace.Span, r *kgo.Record, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	} else {
		span.SetAttributes(attrPartition.String(partitionID(r.Partition)), attrOffset.Int64(r.Offset))
	}
	span.End()
}
