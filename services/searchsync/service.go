package searchsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Name is the service's name in telemetry; its consumer group has it too.
const Name = schemas.GroupSearchSync

// Config is the service's configuration.
type Config struct {
	service.Config
	Addr     string `env:"QUOKKA_SEARCH_SYNC_ADDR" envDefault:"127.0.0.1:8104" help:"where the search-sync service listens"`
	IndexDir string `env:"QUOKKA_INDEX_DIR" envDefault:".quokka/index" help:"folder of the embedded search index"`
	// SearchURL is used instead of the embedded index.
	SearchURL     string `env:"QUOKKA_SEARCH_URL" help:"OpenSearch 2 to use instead of the embedded search index, such as http://127.0.0.1:9200 or https://user:password@search.example:9200"`
	SearchURLFile string `env:"QUOKKA_SEARCH_URL_FILE" help:"file with that URL, where it should not be in the environment"`
	// IndexPrefix begins the names of the indexes at SearchURL; default "quokka-".
	IndexPrefix string       `env:"-"`
	Listener    net.Listener `env:"-"` // used instead of Addr
}

// Service keeps the index in step with the topics and answers searches.
type Service struct {
	index    Index
	serde    *serde.Serde
	tracer   trace.Tracer
	logger   *slog.Logger
	http     *service.HTTP
	consumer *consume.Consumer
	closers  []func()
	parts    []service.Part
}

// New opens the index and listens. It serves nothing before Run.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{tracer: tel.Tracer.Tracer("github.com/quokka-stream/quokka/services/searchsync"), logger: tel.Logger}
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("search-sync service: %w", err)
		}
	}()
	if s.serde, err = serde.New(cfg.RegistryURL); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.serde.Close)
	if s.index, err = openIndex(cfg); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.index.Close() })

	consumer, err := cfg.Consumer(schemas.GroupSearchSync, tel)
	if err != nil {
		return nil, err
	}
	consumer.Decode, consumer.Unavailable = event.Decode(s.serde), waitFor
	if s.consumer, err = consume.New(consumer); err != nil {
		return nil, err
	}
	s.handle(s.consumer)

	s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_SEARCH_SYNC_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.http.Close() })
	s.http.Ready("index", s.index.Ready)
	s.http.Ready("consumer", s.consumer.Ready)
	s.routes()

	s.parts = []service.Part{
		{Name: "http", Run: s.http.Run},
		{Name: "consumer", Run: s.follow},
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

// openIndex opens the index that the configuration names.
func openIndex(cfg Config) (Index, error) {
	if cfg.SearchURL == "" && cfg.SearchURLFile != "" {
		address, err := os.ReadFile(cfg.SearchURLFile)
		if err != nil {
			return nil, fmt.Errorf("QUOKKA_SEARCH_URL_FILE: %w", err)
		}
		cfg.SearchURL = strings.TrimSpace(string(address))
	}
	if cfg.SearchURL != "" {
		return OpenOpenSearch(cfg.SearchURL, cfg.IndexPrefix)
	}
	return OpenBleve(cfg.IndexDir)
}

// indexPause is the time between two looks at an index that is not there.
const indexPause = 500 * time.Millisecond

// follow consumes the topics, from when the index is there: it may start later
// than we do, and records that nobody can store would only wait in memory.
func (s *Service) follow(ctx context.Context) error {
	for waited := false; ; waited = true {
		err := s.index.Ready(ctx)
		if err == nil {
			if waited {
				s.logger.Info("the search index is there")
			}
			return s.consumer.Run(ctx)
		}
		if !waited {
			s.logger.Warn("waiting for the search index", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(indexPause):
		}
	}
}

// waitFor reports errors that end by waiting, and not by giving a record up.
func waitFor(err error) bool {
	var registry *serde.UnavailableError
	return errors.Is(err, errIndex) || errors.As(err, &registry)
}

// Addr is the address of the API.
func (s *Service) Addr() string { return s.http.Addr() }

// Run serves until ctx ends, then finishes what is under way.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	if err := service.Run(ctx, s.parts...); err != nil {
		return fmt.Errorf("search-sync service: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}
