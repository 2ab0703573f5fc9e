package consume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Config describes a consumer. Group and Brokers are required.
type Config struct {
	// Group is the consumer group, and the group of the inbox rows.
	Group string
	// Brokers are the bootstrap addresses.
	Brokers []string
	// ClientOpts are added to the Kafka client's options, after the consumer's
	// own: security and hooks belong here.
	ClientOpts []kgo.Opt
	// Pool is the database of transactional handlers and of the inbox. Required by
	// On and OnRecord.
	Pool *pgxpool.Pool
	// Decode turns a record into an event. An error that wraps ErrUnknownType
	// acknowledges the record, one made by Reject dead-letters it, any other is
	// tried again. Required by On and OnEventBatch.
	Decode func(ctx context.Context, r *kgo.Record) (events.Event, error)
	// Committed is called after each committed transaction of a handler. It must
	// not block. A service with an outbox wakes its relay here.
	Committed func()

	// Replay are topics whose dead letters are handled again when asked for (see
	// HeaderReplayOf), in addition to those of which package schemas declares the
	// group's dead-letter topic. The consumer reads <topic>.<group>.dlq for it.
	Replay []string

	// Concurrency is the number of records, or batches, handled at the same time.
	// Default: 16. Transactional handlers also need that many connections in the
	// pool to make use of it.
	Concurrency int
	// Limits bound what is held in memory.
	Limits Limits
	// Backoff says how failing records are tried again.
	Backoff Backoff
	// HandlerTimeout bounds one attempt. Default: 30 s.
	HandlerTimeout time.Duration
	// Unavailable reports errors that mean an absent dependency rather than a bad
	// record: those are retried without limit. Default: PostgreSQL or the schema
	// registry does not answer.
	Unavailable func(error) bool

	// CommitInterval is the pause between offset commits. What was handled since
	// the last one is delivered again after a crash, and found on the inbox.
	// Default: 500 ms.
	CommitInterval time.Duration
	// DrainTimeout bounds how long running handlers may go on when partitions are
	// taken away or the consumer is shut down; then their contexts end.
	// Default: 8 s. Keep it below half of the rebalance timeout.
	DrainTimeout time.Duration
	// SessionTimeout is how long the group waits for a member that died before it
	// hands its partitions to others. Default: 10 s; brokers refuse less than
	// their group.min.session.timeout.ms, 6 s on Apache Kafka.
	SessionTimeout time.Duration

	// Logger receives problems, never a line per record. Default: discarded.
	Logger *slog.Logger
	// Tracer makes the process spans. Default: none.
	Tracer trace.TracerProvider
	// Parentage says how the process spans belong to those that sent the records.
	// Default: telemetry.Parent.
	Parentage telemetry.Parentage
	// Untraced are topics without spans, such as the one of log lines.
	Untraced []string
	// Metrics takes the consumer's metrics. Default: none are registered.
	Metrics prometheus.Registerer

	// now replaces the clock in tests.
	now func() time.Time
}

// Limits bound what a consumer holds: records that were fetched and are not yet
// done, parked ones included.
type Limits struct {
	// Records and Bytes are totals over all partitions: while one is reached nothing
	// is fetched, so a fetch (8 MiB at most) may exceed them. A partition that holds
	// its share of them and does not get on is paused. Defaults: 10,000 and 32 MiB.
	Records int
	Bytes   int64
	// Window is how far a partition may run ahead of its watermark while a parked
	// record holds it: what lies in between is delivered again after a crash.
	// Default: 10,000 records.
	Window int
}

func (c Config) withDefaults() Config {
	positive(&c.Concurrency, 16)
	positive(&c.Limits.Records, 10_000)
	positive(&c.Limits.Bytes, 32<<20)
	positive(&c.Limits.Window, 10_000)
	positive(&c.HandlerTimeout, 30*time.Second)
	positive(&c.CommitInterval, 500*time.Millisecond)
	positive(&c.DrainTimeout, 8*time.Second)
	positive(&c.SessionTimeout, 10*time.Second)
	c.Backoff = c.Backoff.withDefaults()
	if c.Unavailable == nil {
		c.Unavailable = unavailable
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = tracenoop.NewTracerProvider()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Committed == nil {
		c.Committed = func() {}
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

func unavailable(err error) bool {
	var registry *serde.UnavailableError
	return postgres.Unavailable(err) || errors.As(err, &registry)
}

func positive[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (c Config) validate() error {
	var errs []error
	if c.Group == "" {
		errs = append(errs, errors.New("no group"))
	}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers: set QUOKKA_KAFKA_BROKERS"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("consumer of group %q: %w", c.Group, err)
	}
	return nil
}
