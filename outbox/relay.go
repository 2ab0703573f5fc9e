package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
)

// Config configures a Relay. A database and brokers must be given; every other
// field's zero value is its default.
type Config struct {
	// DatabaseURL names the database with the outbox. The relay keeps one session
	// there, which must be its own: not through a pooler that lends sessions out
	// per transaction.
	DatabaseURL string
	// Postgres is given instead of DatabaseURL where a URL cannot say it all.
	Postgres *pgx.ConnConfig

	// Brokers are Kafka's bootstrap addresses.
	Brokers []string
	// ClientOpts are further options of the producer, such as TLS and SASL. Options
	// that would lose or reorder events are overruled or refused.
	ClientOpts []kgo.Opt

	// BatchRows is how many events are sent before their acknowledgements are
	// awaited. Default 5000. A fault repeats up to so many.
	BatchRows int
	// BatchBytes limits a batch as well. The relay keeps two batches in memory.
	// Default 4 MiB.
	BatchBytes int

	// PollMin and PollMax bound the pause between two looks at an empty outbox: it
	// grows from the first to the second while nothing comes. Defaults 2 ms and
	// 25 ms. Hint ends a pause early.
	PollMin, PollMax time.Duration
	// StandbyPoll is how often a relay without the lease asks for it. Default 500 ms.
	StandbyPoll time.Duration
	// ShutdownTimeout is how long a relay that is told to end waits for
	// acknowledgements under way. Default 5 s. What is not acknowledged by then is
	// sent again by the next relay.
	ShutdownTimeout time.Duration

	// RotateRows and RotateAfter say when the event tables change places, so that
	// the published one can be emptied: after so many events, or so long after the
	// first. Defaults 100,000 and 1 minute.
	RotateRows  int64
	RotateAfter time.Duration

	// Tracer gives sampled events a span "send <topic>". Nil: their context is
	// passed on as it is.
	Tracer trace.TracerProvider
	// Metrics gets the relay's metrics (outbox_...). Nil: none.
	Metrics prometheus.Registerer
	// Logger. Nil: silent.
	Logger *slog.Logger
	// Fault is called at each fault point passed, for tests.
	Fault func(point string)

	maxStored   int           // see leader.stored; tests make it small
	pingTimeout time.Duration // after which a session that does not answer is gone; tests make it long
}

func (c Config) withDefaults() (Config, error) {
	if c.Postgres == nil {
		if c.DatabaseURL == "" {
			return c, errors.New("outbox: Config needs DatabaseURL or Postgres")
		}
		var err error
		if c.Postgres, err = pgx.ParseConfig(c.DatabaseURL); err != nil {
			return c, fmt.Errorf("outbox: DatabaseURL: %w", err)
		}
	}
	if len(c.Brokers) == 0 {
		return c, errors.New("outbox: Config needs Brokers")
	}
	for _, f := range []struct {
		value *time.Duration
		def   time.Duration
	}{
		{&c.PollMin, 2 * time.Millisecond}, {&c.PollMax, 25 * time.Millisecond}, {&c.StandbyPoll, 500 * time.Millisecond},
		{&c.ShutdownTimeout, 5 * time.Second}, {&c.RotateAfter, time.Minute},
	} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < 0 {
			return c, errors.New("outbox: Config has a negative duration")
		}
	}
	c.PollMax = max(c.PollMin, c.PollMax)
	if c.BatchRows < 0 || c.BatchBytes < 0 || c.RotateRows < 0 {
		return c, errors.New("outbox: Config has a negative size")
	}
	if c.BatchRows == 0 {
		c.BatchRows = 5000
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 4 << 20
	}
	if c.RotateRows == 0 {
		c.RotateRows = 100_000
	}
	if c.maxStored == 0 {
		c.maxStored = 20_000
	}
	if c.pingTimeout == 0 {
		c.pingTimeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fault == nil {
		c.Fault = func(string) {}
	}
	return c, nil
}

// Relay publishes the outbox of one database. Any number may run; the one that
// holds the lease works, the others stand by.
type Relay struct {
	cfg     Config
	tracer  trace.Tracer
	metrics *metrics
	hint    chan struct{}
}

// NewRelay checks the configuration. It connects to nothing yet.
func NewRelay(cfg Config) (*Relay, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, hint: make(chan struct{}, 1)}
	if cfg.Tracer != nil {
		r.tracer = cfg.Tracer.Tracer(scopeName)
	}
	if r.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("outbox: metrics: %w", err)
	}
	p, err := r.publisher() // to learn now that the options are wrong
	if err != nil {
		return nil, err
	}
	p.close()
	return r, nil
}

func (r *Relay) publisher() (*publisher, error) {
	return newPublisher(r.cfg.Brokers, r.cfg.ClientOpts, r.tracer, r.cfg.Fault)
}

// Hint tells the relay that a transaction with events was committed in this
// process, so that it looks at once. It costs nothing and never blocks.
func (r *Relay) Hint() {
	select {
	case r.hint <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends, and then returns nil. It survives the loss of
// PostgreSQL and Kafka. What no retry can heal it returns: ErrNotMigrated,
// *ClusterChangedError, or a state of the tables in which going on could lose
// events.
func (r *Relay) Run(ctx context.Context) error {
	const shortest, longest = 100 * time.Millisecond, 10 * time.Second
	// Statements and acknowledgements under way when ctx ends are waited for.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.cfg.ShutdownTimeout, cancel) })()
	for pause := shortest; ; pause = min(2*pause, longest) {
		led, err := r.serve(ctx, work)
		var changed *ClusterChangedError
		switch {
		case ctx.Err() != nil:
			if err != nil && !errors.Is(err, ctx.Err()) {
				r.cfg.Logger.Warn("outbox relay: ended in the middle of its work; what was not noted as published is published again", "err", err)
			}
			return nil
		case errors.Is(err, errRefused), errors.Is(err, ErrNotMigrated), errors.As(err, &changed):
			return err
		}
		if led {
			pause = shortest
		}
		r.metrics.errors.Inc()
		r.cfg.Logger.Error("outbox relay: session ended, trying again", "err", err, "in", pause)
		if !r.sleep(ctx, pause, nil) {
			return nil
		}
	}
}

// serve connects, waits for the lease and works under it until something fails
// or ctx ends. led tells whether it got the lease.
func (r *Relay) serve(ctx, work context.Context) (led bool, err error) {
	s, err := connect(ctx, r.cfg.Postgres, r.cfg.Fault)
	if err != nil {
		return false, err
	}
	defer s.close()
	for {
		if led, err = s.tryLease(ctx); err != nil || led {
			break
		}
		if !r.sleep(ctx, r.cfg.StandbyPoll, nil) {
			return false, ctx.Err()
		}
	}
	if err != nil {
		return false, err
	}
	r.metrics.leader.Set(1)
	defer r.metrics.leader.Set(0)
	defer r.metrics.oldest.Store(0)
	l := leader{Relay: r, s: s}
	return true, l.lead(ctx, work)
}

// sleep waits for d, for a value on wake, or until ctx ends: false.
func (r *Relay) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}
