package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/events"
)

// Encoder turns an event into a record value; *serde.Serde is one.
type Encoder interface {
	Encode(ctx context.Context, topic string, e events.Event) ([]byte, error)
}

// Shipper sends a service's log lines to logs.v1.
//
// It never blocks the code that logs: a line that finds the queue full is dropped
// and counted. It never logs through itself: its own trouble goes to
// Telemetry.Local, at most once a minute. Lines have no key, so they spread over
// the partitions and have no order beyond their time.
type Shipper struct {
	service string
	encoder Encoder
	client  *kgo.Client
	local   *slog.Logger
	queue   chan *events.LogLine
	shipped prometheus.Counter
	dropped *prometheus.CounterVec

	// grace is how long Run goes on after its context's end.
	grace time.Duration

	mu     sync.Mutex
	warned time.Time
}

// shipQueue is how many lines wait for the producer, at most.
const shipQueue = 4096

// Why a line is dropped, as the metric names it.
const (
	dropQueueFull = "queue full"
	dropEncode    = "encode"
	dropProduce   = "produce"
	dropShutdown  = "shutdown"
)

// NewShipper makes a shipper and adds its handler to t's logger. Lines below info
// are not shipped. Call Run, else the queue fills and lines are dropped.
func (t *Telemetry) NewShipper(brokers []string, encoder Encoder, opts ...kgo.Opt) (*Shipper, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("quokka-" + t.Service + "-logs"),
		kgo.DefaultProduceTopic(schemas.TopicLogs),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(16<<10, false, false, nil)),
		// A log line is worth a leader's acknowledgement and 30 s of trying.
		kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.DisableIdempotentWrite(),
		kgo.ProducerLinger(50 * time.Millisecond),
		kgo.MaxBufferedRecords(shipQueue),
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.WithLogger(kafkaLogger{t.Local}),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("log shipper: %w", err)
	}
	s := &Shipper{
		service: t.Service, encoder: encoder, client: client, local: t.Local,
		queue:   make(chan *events.LogLine, shipQueue),
		grace:   time.Second,
		shipped: prometheus.NewCounter(prometheus.CounterOpts{Name: "quokka_log_lines_shipped_total", Help: "Log lines that logs.v1 has."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quokka_log_lines_dropped_total", Help: "Log lines that logs.v1 will not get, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{dropQueueFull, dropEncode, dropProduce, dropShutdown} {
		s.dropped.WithLabelValues(reason) // rates need a first value
	}
	if err := errors.Join(t.Metrics.Register(s.shipped), t.Metrics.Register(s.dropped)); err != nil {
		client.Close()
		return nil, fmt.Errorf("log shipper: %w", err)
	}
	t.AddLogHandler(&shipHandler{to: s})
	return s, nil
}

// Run ships until ctx ends, then sends what is queued, for at most 1 s.
func (s *Shipper) Run(ctx context.Context) error {
	defer s.client.Close()
	work := context.WithoutCancel(ctx)
	for {
		select {
		case line := <-s.queue:
			s.ship(work, line)
			continue
		case <-ctx.Done():
		}
		break
	}
	work, cancel := context.WithTimeout(work, s.grace)
	defer cancel()
	for {
		select {
		case line := <-s.queue:
			s.ship(work, line)
			continue
		default:
		}
		break
	}
	if err := s.client.Flush(work); err != nil {
		s.drop(dropShutdown, err)
	}
	return nil
}

func (s *Shipper) ship(ctx context.Context, line *events.LogLine) {
	value, err := s.encoder.Encode(ctx, schemas.TopicLogs, line)
	if err != nil {
		s.drop(dropEncode, err)
		return
	}
	s.client.TryProduce(ctx, &kgo.Record{Value: value, Timestamp: line.Time}, func(_ *kgo.Record, err error) {
		if err != nil {
			s.drop(dropProduce, err)
			return
		}
		s.shipped.Inc()
	})
}

// drop counts a line that is lost, and says so once a minute.
func (s *Shipper) drop(reason string, err error) {
	s.dropped.WithLabelValues(reason).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.warned) >= time.Minute {
		s.warned = now
		s.local.Warn("log lines do not reach "+schemas.TopicLogs, "reason", reason, "error", err)
	}
}

// shipHandler turns slog records into log lines.
type shipHandler struct {
	to     *Shipper
	prefix string
	attrs  map[string]string
}

func (h *shipHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h *shipHandler) Handle(ctx context.Context, r slog.Record) error {
	line := &events.LogLine{
		Time: r.Time, Level: r.Level.String(), Service: h.to.service, Message: text(r.Message),
		Attributes: make(map[string]string, len(h.attrs)+r.NumAttrs()),
	}
	if line.Time.IsZero() {
		line.Time = time.Now()
	}
	for k, v := range h.attrs {
		line.Attributes[k] = v
	}
	r.Attrs(func(a slog.Attr) bool {
		flatten(line.Attributes, h.prefix, a)
		return true
	})
	delete(line.Attributes, "service") // it has a field of its own
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		line.TraceID, line.SpanID = sc.TraceID().String(), sc.SpanID().String()
	}
	select {
	case h.to.queue <- line:
	default:
		h.to.dropped.WithLabelValues(dropQueueFull).Inc()
	}
	return nil
}

func (h *shipHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &shipHandler{to: h.to, prefix: h.prefix, attrs: make(map[string]string, len(h.attrs)+len(attrs))}
	for k, v := range h.attrs {
		next.attrs[k] = v
	}
	for _, a := range attrs {
		flatten(next.attrs, h.prefix, a)
	}
	return next
}

func (h *shipHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &shipHandler{to: h.to, prefix: h.prefix + name + ".", attrs: h.attrs}
}

// flatten writes an attribute as text, groups as dotted names.
func flatten(into map[string]string, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	a.Key = text(a.Key)
	switch v.Kind() {
	case slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			flatten(into, prefix, inner)
		}
	case slog.KindTime:
		into[prefix+a.Key] = v.Time().UTC().Format(time.RFC3339Nano)
	case slog.KindFloat64:
		into[prefix+a.Key] = strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	default:
		if a.Key != "" {
			into[prefix+a.Key] = text(v.String())
		}
	}
}

// text makes what was logged fit for Avro.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
