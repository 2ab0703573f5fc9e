package order

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/quokka-stream/quokka/outbox"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/postgres"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Name is the service's name: in telemetry, as event source, as consumer group.
const Name = "order"

// Config is the service's configuration.
type Config struct {
	service.Config
	Addr     string       `env:"QUOKKA_ORDER_ADDR" envDefault:"127.0.0.1:8101" help:"where the order service listens"`
	Database string       `env:"QUOKKA_ORDER_DATABASE" envDefault:"quokka_order" help:"database and role of the order service"`
	Listener net.Listener `env:"-"` // used instead of Addr
}

// Service takes orders by HTTP and learns from inventory what becomes of them.
type Service struct {
	store    *store
	log      *slog.Logger
	http     *service.HTTP
	consumer *consume.Consumer
	relay    *outbox.Relay
	metrics  *metrics
	closers  []func()
	parts    []service.Part
}

//go:embed migrations/*.sql
var migrations embed.FS

// New connects, brings the database up to date, checks that the registry has the
// service's schemas, and listens. It serves nothing before Run.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{log: tel.Logger}
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("order service: %w", err)
		}
	}()

	codec, err := serde.New(cfg.RegistryURL)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, codec.Close)
	if err := cfg.CheckSchemas(ctx, codec, schemas.Orders); err != nil {
		return nil, err
	}
	pool, err := cfg.OpenDatabase(ctx, cfg.Database, tel)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, pool.Close)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, pool, Name, files); err != nil {
		return nil, err
	}
	if err := outbox.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	s.store = &store{pool: pool, events: event.NewWriter(Name, codec)}
	if s.metrics, err = newMetrics(tel.Metrics); err != nil {
		return nil, err
	}
	if s.relay, err = cfg.Relay(cfg.Database, tel); err != nil {
		return nil, err
	}

	consumer, err := cfg.Consumer(Name, tel)
	if err != nil {
		return nil, err
	}
	consumer.Pool, consumer.Decode, consumer.Committed = pool, event.Decode(codec), s.relay.Hint
	if s.consumer, err = consume.New(consumer); err != nil {
		return nil, err
	}
	s.handle(s.consumer)

	s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_ORDER_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.http.Close() })
	s.http.Ready("postgres", pool.Ping)
	s.http.Ready("consumer", s.consumer.Ready)
	s.routes(s.http)

	// The order is that of the shutdown: no new orders, no new events from
	// inventory, then the outbox, then the last log lines.
	s.parts = []service.Part{
		{Name: "http", Run: s.http.Run},
		{Name: "consumer", Run: s.consumer.Run},
		service.Every("housekeeping", time.Hour, s.log, s.tidy),
		{Name: "outbox relay", Run: s.relay.Run},
	}
	if cfg.ShipLogs {
		shipper, err := tel.NewShipper(cfg.KafkaBrokers, codec)
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
		return fmt.Errorf("order service: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

// How long what only guards against repetition is kept.
const (
	inboxKept = 7 * 24 * time.Hour
	keysKept  = 30 * 24 * time.Hour
)

func (s *Service) tidy(ctx context.Context) error {
	_, err := postgres.PruneInbox(ctx, s.store.pool, time.Now().Add(-inboxKept))
	return errors.Join(err, s.store.forgetKeys(ctx, time.Now().Add(-keysKept)))
}
