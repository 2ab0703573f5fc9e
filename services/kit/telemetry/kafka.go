package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// KafkaOpts are the options that make a franz-go client report through t: its
// identity, its warnings, metrics of its requests and records, and a span
// `send <topic>` for each record it produces inside a sampled trace.
//
// Consumed records get no span here: one that opened on fetch would measure the
// wait in a buffer. The consumer runtime opens `process <topic>` when it begins.
func (t *Telemetry) KafkaOpts() ([]kgo.Opt, error) {
	hooks, err := newKafkaHooks(t)
	if err != nil {
		return nil, err
	}
	return []kgo.Opt{
		kgo.ClientID("quokka-" + t.Service),
		kgo.WithLogger(kafkaLogger{t.Logger}),
		kgo.WithHooks(hooks),
	}, nil
}

// kafkaHooks implement the kgo hooks asserted below.
type kafkaHooks struct {
	tracer   trace.Tracer
	requests *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	consumed *prometheus.CounterVec
}

var (
	_ kgo.HookBrokerE2E               = (*kafkaHooks)(nil)
	_ kgo.HookProduceRecordBuffered   = (*kafkaHooks)(nil)
	_ kgo.HookProduceRecordUnbuffered = (*kafkaHooks)(nil)
	_ kgo.HookFetchRecordUnbuffered   = (*kafkaHooks)(nil)
)

func newKafkaHooks(t *Telemetry) (*kafkaHooks, error) {
	h := &kafkaHooks{
		tracer: t.Tracer.Tracer(scope),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "messaging_client_operation_duration_seconds",
			Help:    "Duration of requests to Kafka brokers. Fetches include their wait for records.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5},
		}, []string{"messaging_operation_name", "error_type"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "messaging_client_sent_messages_total", Help: "Records produced, by how it ended.",
		}, []string{"messaging_destination_name", "error_type"}),
		consumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "messaging_client_consumed_messages_total", Help: "Records delivered to the service.",
		}, []string{"messaging_destination_name"}),
	}
	// A service has several clients; they share the metrics.
	var errs []error
	h.requests = register(t.Metrics, h.requests, &errs)
	h.sent = register(t.Metrics, h.sent, &errs)
	h.consumed = register(t.Metrics, h.consumed, &errs)
	return h, errors.Join(errs...)
}

// register registers a collector, or returns the equal one registered before.
func register[C prometheus.Collector](reg prometheus.Registerer, c C, errs *[]error) C {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	*errs = append(*errs, err)
	return c
}

func (h *kafkaHooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	h.requests.WithLabelValues(kmsg.NameForKey(key), errorType(e2e.Err())).Observe(e2e.DurationE2E().Seconds())
}

// errorType is the label for an error, "" for none.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	return ErrorType(err).Value.AsString()
}

// sendSpan is the context key of the span that OnProduceRecordBuffered started.
type sendSpan struct{}

func (h *kafkaHooks) OnProduceRecordBuffered(r *kgo.Record) {
	if r.Context == nil || !trace.SpanContextFromContext(r.Context).IsSampled() {
		return
	}
	ctx, span := h.tracer.Start(r.Context, "send "+r.Topic,
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.name", "send"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.destination.name", r.Topic),
			attribute.Int("messaging.message.body.size", len(r.Value)),
		))
	// A record that already carries a context keeps it: a dead letter tells where
	// the event came from.
	if (recordCarrier{r}).Get("traceparent") == "" {
		Propagator.Inject(ctx, recordCarrier{r})
	}
	r.Context = context.WithValue(ctx, sendSpan{}, span)
}

func (h *kafkaHooks) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	h.sent.WithLabelValues(r.Topic, errorType(err)).Inc()
	if r.Context == nil {
		return
	}
	span, ok := r.Context.Value(sendSpan{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(ErrorType(err))
	} else {
		span.SetAttributes(
			attribute.String("messaging.destination.partition.id", strconv.Itoa(int(r.Partition))),
			attribute.Int64("messaging.kafka.offset", r.Offset))
	}
	span.End()
}

func (h *kafkaHooks) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if polled {
		h.consumed.WithLabelValues(r.Topic).Inc()
	}
}

// kafkaLogger passes the client's warnings and errors on.
type kafkaLogger struct{ to *slog.Logger }

func (kafkaLogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l kafkaLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelWarn
	if level == kgo.LogLevelError {
		at = slog.LevelError
	}
	l.to.Log(context.Background(), at, "kafka client: "+msg, keyvals...)
}

// scope names the instrumentation in spans.
const scope = "github.com/quokka-stream/quokka/services/kit/telemetry"
