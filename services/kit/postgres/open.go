package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// Options are what Open may be told. The zero value is good.
type Options struct {
	// MaxConns bounds the pool. Default: 8.
	MaxConns int32
	// Tracer makes a span per statement inside a sampled trace. Default: none.
	Tracer trace.TracerProvider
	// ApplicationName is shown in pg_stat_activity. Default: the database's name.
	ApplicationName string
}

// connectTimeout is how long a connection may take to be made, where neither the
// server's URL nor PGCONNECT_TIMEOUT says. 0, without end for libpq, says nothing here.
const connectTimeout = 5 * time.Second

// Settings returns the pool configuration of Open: for what needs a connection of
// its own, such as the outbox relay.
func Settings(serverURL, name string, o Options) (*pgxpool.Config, error) {
	if serverURL == "" {
		return nil, errors.New("no PostgreSQL server: set QUOKKA_POSTGRES_URL, as in postgres://user:password@127.0.0.1:5432/postgres")
	}
	cfg, err := pgxpool.ParseConfig(serverURL)
	if err != nil {
		return nil, fmt.Errorf("QUOKKA_POSTGRES_URL: %w", err)
	}
	cfg.ConnConfig.Database = name
	if o.ApplicationName == "" {
		o.ApplicationName = name
	}
	p := cfg.ConnConfig.RuntimeParams
	p["role"] = name
	p["application_name"] = o.ApplicationName
	// A statement or an abandoned transaction must not hold its locks for ever: they
	// are the locks that order events.
	p["statement_timeout"] = "30s"
	p["idle_in_transaction_session_timeout"] = "60s"
	p["timezone"] = "UTC"
	cfg.MaxConns = 8
	if o.MaxConns > 0 {
		cfg.MaxConns = o.MaxConns
	}
	cfg.MaxConnLifetime = 30 * time.Minute
	cfg.MaxConnLifetimeJitter = 5 * time.Minute
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	if o.Tracer != nil {
		// Statements outside a recorded trace, such as a relay's polls, get no span.
		cfg.ConnConfig.Tracer = otelpgx.NewTracer(
			otelpgx.WithTracerProvider(o.Tracer),
			otelpgx.WithMeterProvider(metricnoop.NewMeterProvider()),
			otelpgx.WithDisableConnectionDetailsInAttributes(),
			otelpgx.WithDisableAcquireTracer(),
		)
	}
	return cfg, nil
}

// Open connects to the database name on the server, as the role of the same name.
// It returns once a connection works.
func Open(ctx context.Context, serverURL, name string, o Options) (*pgxpool.Pool, error) {
	cfg, err := Settings(serverURL, name, o)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", name, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s: %w", name, explain(err))
	}
	return pool, nil
}
