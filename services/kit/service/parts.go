package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quokka-stream/quokka/outbox"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// What a shutdown may take at most, part after part: under 10 s together. All of
// it is for the unlucky moment; an idle service ends at once.
const (
	httpShutdown  = 3 * time.Second
	consumerDrain = 3 * time.Second // and an eighth for handlers that were cancelled
	relayShutdown = 2 * time.Second
	// telemetry.Shipper takes 1 s.
)

// OpenDatabase opens a service's database as configured.
func (c Config) OpenDatabase(ctx context.Context, name string, tel *telemetry.Telemetry) (*pgxpool.Pool, error) {
	return postgres.Open(ctx, c.PostgresURL, name, postgres.Options{
		MaxConns: c.PostgresConns, Tracer: tel.Tracer, ApplicationName: "quokka-" + tel.Service,
	})
}

// CheckSchemas makes sure that the registry has the schemas of what the service
// writes: the topics given, and its log lines if those are shipped.
func (c Config) CheckSchemas(ctx context.Context, codec *serde.Serde, topics ...schemas.Topic) error {
	if c.ShipLogs {
		topics = append(topics, schemas.Logs)
	}
	var errs []error
	for _, t := range topics {
		errs = append(errs, codec.Check(ctx, t))
	}
	return errors.Join(errs...)
}

// Consumer is the configuration of a consumer that reports through tel. Pool,
// Decode and whatever else the service needs are for it to fill in.
func (c Config) Consumer(group string, tel *telemetry.Telemetry) (consume.Config, error) {
	opts, err := tel.KafkaOpts()
	return consume.Config{
		Group: group, Brokers: c.KafkaBrokers, ClientOpts: opts,
		// Two connections are left to the API.
		Concurrency:  max(2, int(c.PostgresConns)-2),
		DrainTimeout: consumerDrain, SessionTimeout: c.ConsumerSession,
		Logger: tel.Logger, Tracer: tel.Tracer, Metrics: tel.Metrics,
		Parentage: c.TraceProcess,
		Untraced:  []string{schemas.TopicLogs},
	}, err
}

// Relay publishes the outbox of a service's database. It needs a connection of its
// own.
func (c Config) Relay(database string, tel *telemetry.Telemetry) (*outbox.Relay, error) {
	settings, err := postgres.Settings(c.PostgresURL, database, postgres.Options{ApplicationName: "quokka-" + tel.Service + "-outbox"})
	if err != nil {
		return nil, err
	}
	return outbox.NewRelay(outbox.Config{
		Postgres: settings.ConnConfig, Brokers: c.KafkaBrokers,
		Tracer: tel.Tracer, Metrics: tel.Metrics, Logger: tel.Logger,
		ShutdownTimeout: relayShutdown,
	})
}

// Every is a part that does something now and then. Its failures are logged: the
// next time may succeed.
func Every(name string, interval time.Duration, logger *slog.Logger, do func(ctx context.Context) error) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, name+" failed, trying again later", "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return nil
			}
		}
	}}
}
