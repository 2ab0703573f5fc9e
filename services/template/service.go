package template

import (
	"context"
	"embed"
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
const Name = "template"

//template:if produces

// produced are the topics that the service writes.
var produced = []schemas.Topic{
	//template:each produced
	schemas.Examples,
	//template:end
}

//template:end

// Config is the service's configuration.
type Config struct {
	service.Config
	//template:part its configuration
	Addr     string `env:"QUOKKA_TEMPLATE_ADDR" envDefault:"127.0.0.1:8199" help:"where the template service listens"`
	Database string `env:"QUOKKA_TEMPLATE_DATABASE" envDefault:"quokka_template" help:"database and role of the template service"`
	//template:end
	Listener net.Listener `env:"-"` // used instead of Addr
}

// Service records events.
type Service struct {
	store    *store
	log      *slog.Logger
	http     *service.HTTP
	consumer *consume.Consumer
	//template:if produces
	relay *outbox.Relay
	//template:end
	closers []func()
	parts   []service.Part
}

//go:embed migrations/*.sql
var migrations embed.FS

// New connects, brings the database up to date, checks that the registry has the
// service's schemas, and listens. It serves nothing before Run.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{log: tel.Logger}
	//template:if lines
	s.log = tel.Local // a shipped line about a line would come back as one more
	//template:end
	//template:part errors name the service, and leave nothing open
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("template service: %w", err)
		}
	}()
	//template:end

	codec, err := serde.New(cfg.RegistryURL)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, codec.Close)
	//template:if produces
	if err := cfg.CheckSchemas(ctx, codec, produced...); err != nil {
		return nil, err
	}
	//template:end
	pool, err := cfg.OpenDatabase(ctx, cfg.Database, tel)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, pool.Close)
	//template:part migrations
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	//template:end
	if err := postgres.Migrate(ctx, pool, Name, files); err != nil {
		return nil, err
	}
	//template:if produces
	//template:part the outbox's tables
	if err := outbox.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	//template:end
	//template:end
	s.store = &store{pool: pool}
	//template:if produces
	s.store.events = event.NewWriter(Name, codec)
	//template:part the outbox's relay
	if s.relay, err = cfg.Relay(cfg.Database, tel); err != nil {
		return nil, err
	}
	//template:end
	//template:end

	consumer, err := cfg.Consumer(Name, tel)
	if err != nil {
		return nil, err
	}
	consumer.Pool, consumer.Decode = pool, event.Decode(codec)
	//template:if produces
	consumer.Committed = s.relay.Hint
	//template:end
	//template:part the consumer
	if s.consumer, err = consume.New(consumer); err != nil {
		return nil, err
	}
	s.handle(s.consumer)
	//template:end

	//template:part the HTTP server
	s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_TEMPLATE_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.http.Close() })
	//template:end
	s.http.Ready("postgres", pool.Ping)
	//template:part readiness
	s.http.Ready("consumer", s.consumer.Ready)
	//template:end
	//template:if http
	s.routes(s.http)
	//template:end

	// The order is that of the shutdown: nothing new from outside, nothing new from
	// other services, then what is to be told to others, then the last log lines.
	//template:part the server runs
	s.parts = []service.Part{
		{Name: "http", Run: s.http.Run},
		//template:end
		{Name: "consumer", Run: s.consumer.Run},
		service.Every("housekeeping", time.Hour, tel.Logger, s.tidy),
		//template:if produces
		//template:part the relay runs
		{Name: "outbox relay", Run: s.relay.Run},
		//template:end
		//template:end
	}
	if cfg.ShipLogs {
		shipper, err := tel.NewShipper(cfg.KafkaBrokers, codec)
		if err != nil {
			return nil, err
		}
		//template:part shipped log lines
		s.parts = append(s.parts, service.Part{Name: "log shipper", Run: shipper.Run})
		//template:end
	}
	return s, nil
}

//template:part methods

// Addr is the address of the API.
func (s *Service) Addr() string { return s.http.Addr() }

// Run serves until ctx ends, then finishes what is under way.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	if err := service.Run(ctx, s.parts...); err != nil {
		return fmt.Errorf("template service: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

//template:end

// inboxKept is how long handled events are remembered; what comes later meets the
// primary key of the entries.
const inboxKept = 7 * 24 * time.Hour

func (s *Service) tidy(ctx context.Context) error {
	_, err := postgres.PruneInbox(ctx, s.store.pool, time.Now().Add(-inboxKept))
	return err
}
