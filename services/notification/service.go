package notification

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Name is the service's name in telemetry; its consumer group has it too.
const Name = schemas.GroupNotification

// Config is the service's configuration.
type Config struct {
	service.Config
	Addr     string       `env:"QUOKKA_NOTIFICATION_ADDR" envDefault:"127.0.0.1:8103" help:"where the notification service listens"`
	Database string       `env:"QUOKKA_NOTIFICATION_DATABASE" envDefault:"quokka_notification" help:"database and role of the notification service"`
	SMTPAddr string       `env:"QUOKKA_SMTP_ADDR" envDefault:"127.0.0.1:1025" help:"mail server of the notification service, host:port"`
	Listener net.Listener `env:"-"` // used instead of Addr
}

// Service mails customers about their orders.
type Service struct {
	pool     *pgxpool.Pool
	serde    *serde.Serde
	sender   Sender
	tracer   trace.Tracer
	http     *service.HTTP
	consumer *consume.Consumer
	closers  []func()
	parts    []service.Part
}

//go:embed migrations/*.sql
var migrations embed.FS

// New connects, brings the database up to date, and listens. It serves nothing
// before Run.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{tracer: tel.Tracer.Tracer("github.com/quokka-stream/quokka/services/notification")}
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("notification service: %w", err)
		}
	}()
	if s.sender, err = NewSMTPSender(cfg.SMTPAddr); err != nil {
		return nil, err
	}
	if s.serde, err = serde.New(cfg.RegistryURL); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.serde.Close)
	if s.pool, err = cfg.OpenDatabase(ctx, cfg.Database, tel); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.pool.Close)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, s.pool, Name, files); err != nil {
		return nil, err
	}

	consumer, err := cfg.Consumer(schemas.GroupNotification, tel)
	if err != nil {
		return nil, err
	}
	consumer.Pool, consumer.Decode, consumer.Unavailable = s.pool, event.Decode(s.serde), waitFor
	if s.consumer, err = consume.New(consumer); err != nil {
		return nil, err
	}
	s.handle(s.consumer)

	s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_NOTIFICATION_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.http.Close() })
	s.http.Ready("postgres", s.pool.Ping)
	s.http.Ready("consumer", s.consumer.Ready)
	s.routes()

	s.parts = []service.Part{
		{Name: "http", Run: s.http.Run},
		{Name: "consumer", Run: s.consumer.Run},
		service.Every("housekeeping", time.Hour, tel.Logger, s.tidy),
	}
	if cfg.ShipLogs {
		shipper, err := tel.NewShipper(cfg.KafkaBrokers, s.serde)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, service.Part{Name: "log shipper", Run: shipper.Run})
	}
	return s, nil
}

// Addr is the address of the API.
func (s *Service) Addr() string { return s.http.Addr() }

// Run serves until ctx ends, then finishes what is under way.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	if err := service.Run(ctx, s.parts...); err != nil {
		return fmt.Errorf("notification service: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// inboxKept is how long the inbox remembers; later repetitions meet the unique
// key of the notifications.
const inboxKept = 7 * 24 * time.Hour

func (s *Service) tidy(ctx context.Context) error {
	_, err := postgres.PruneInbox(ctx, s.pool, time.Now().Add(-inboxKept))
	return err
}
