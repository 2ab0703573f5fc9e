package notification

import (
	"context"
	"embed"
	"io/fs"
	"net"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Database is the name of the service's database and of the role that owns it.
const Database = "quokka_notification"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Config is the service's configuration.
type Config struct {
	service.Config
	Addr     string       `env:"QUOKKA_NOTIFICATION_ADDR" envDefault:"127.0.0.1:8103" help:"HTTP address of the notification service"`
	SMTPAddr string       `env:"QUOKKA_SMTP_ADDR" envDefault:"127.0.0.1:1025" help:"mail server, host:port"`
	Listener net.Listener `env:"-"`
}

// Service is the notification service.
type Service struct {
	pool     *pgxpool.Pool
	serde    *serde.Serde
	sender   Sender
	http     *service.HTTP
	consumer *consume.Consumer
}

// New connects, migrates the database and listens. Call Run to serve.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_NOTIFICATION_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	}); err != nil {
		return nil, err
	}
	if s.sender, err = NewSMTPSender(cfg.SMTPAddr); err != nil {
		return nil, err
	}
	if s.serde, err = serde.New(cfg.RegistryURL); err != nil {
		return nil, err
	}
	if s.pool, err = postgres.Open(ctx, cfg.PostgresURL, Database, postgres.Options{MaxConns: cfg.PostgresConns, Tracer: tel.Tracer}); err != nil {
		return nil, err
	}
	migrations, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	if err = postgres.Migrate(ctx, s.pool, "notification", migrations); err != nil {
		return nil, err
	}
	if s.consumer, err = consume.New(consume.Config{
		Group: schemas.GroupNotification, Brokers: cfg.KafkaBrokers, Pool: s.pool,
		Decode: event.Decode(s.serde), Unavailable: waitFor, Concurrency: int(cfg.PostgresConns),
		Logger: tel.Logger, Tracer: tel.Tracer, Metrics: tel.Metrics,
	}); err != nil {
		return nil, err
	}
	s.subscribe(s.consumer)
	s.routes()
	s.http.Ready("postgres", s.pool.Ping)
	s.http.Ready("kafka", s.consumer.Ready)
	return s, nil
}

// Addr is the address of the HTTP API.
func (s *Service) Addr() string { return s.http.Addr() }

// Run serves until ctx ends, then finishes what is in flight.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	return service.Run(ctx,
		service.Part{Name: "http", Run: s.http.Run},
		service.Part{Name: "consumer", Run: s.consumer.Run},
	)
}

// close releases what New acquired.
func (s *Service) close() {
	if s.http != nil {
		s.http.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.serde != nil {
		s.serde.Close()
	}
}
