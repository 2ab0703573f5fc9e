package searchsync

import (
	"context"
	"errors"
	"net"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Config is the service's configuration.
type Config struct {
	service.Config
	Addr     string       `env:"QUOKKA_SEARCH_SYNC_ADDR" envDefault:"127.0.0.1:8104" help:"HTTP address of the search-sync service"`
	IndexDir string       `env:"QUOKKA_INDEX_DIR" envDefault:".quokka/index" help:"folder of the embedded search index"`
	Listener net.Listener `env:"-"`
}

// Service is the search-sync service.
type Service struct {
	index    Index
	serde    *serde.Serde
	http     *service.HTTP
	consumer *consume.Consumer
}

// New opens the index and listens. Call Run to serve.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_SEARCH_SYNC_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	}); err != nil {
		return nil, err
	}
	if s.index, err = OpenBleve(cfg.IndexDir); err != nil {
		return nil, err
	}
	if s.serde, err = serde.New(cfg.RegistryURL); err != nil {
		return nil, err
	}
	if s.consumer, err = consume.New(consume.Config{
		Group: schemas.GroupSearchSync, Brokers: cfg.KafkaBrokers,
		Decode: event.Decode(s.serde), Unavailable: waitFor,
		// The index takes one batch at a time.
		Concurrency: 2,
		Logger:      tel.Local, Tracer: tel.Tracer, Metrics: tel.Metrics,
		Untraced: []string{schemas.TopicLogs},
	}); err != nil {
		return nil, err
	}
	s.subscribe(s.consumer)
	s.routes()
	s.http.Ready("kafka", s.consumer.Ready)
	return s, nil
}

// waitFor reports errors that end by waiting, and not by giving a record up.
func waitFor(err error) bool {
	var registry *serde.UnavailableError
	return errors.Is(err, errIndex) || errors.As(err, &registry)
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
	if s.index != nil {
		s.index.Close()
	}
	if s.serde != nil {
		s.serde.Close()
	}
}
