package templateplain

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/quokka-stream/quokka/schemas/serde"
	"github.com/quokka-stream/quokka/services/kit/consume"
	"github.com/quokka-stream/quokka/services/kit/event"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Name is the service's name: in telemetry, as event source, as consumer group.
const Name = "templateplain"

// Config is the service's configuration.
type Config struct {
	service.Config
	//template:part its configuration
	Addr string `env:"QUOKKA_TEMPLATEPLAIN_ADDR" envDefault:"127.0.0.1:8198" help:"where the templateplain service listens"`
	//template:end
	Listener net.Listener `env:"-"` // used instead of Addr
}

// Service watches events.
type Service struct {
	recent   Recent
	log      *slog.Logger
	http     *service.HTTP
	consumer *consume.Consumer
	closers  []func()
	parts    []service.Part
}

// New connects and listens. It serves nothing before Run.
func New(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (_ *Service, err error) {
	s := &Service{log: tel.Logger}
	//template:if lines
	s.log = tel.Local // a shipped line about a line would come back as one more
	//template:end
	//template:part errors name the service, and leave nothing open
	defer func() {
		if err != nil {
			s.close()
			err = fmt.Errorf("templateplain service: %w", err)
		}
	}()
	//template:end

	codec, err := serde.New(cfg.RegistryURL)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, codec.Close)

	consumer, err := cfg.Consumer(Name, tel)
	if err != nil {
		return nil, err
	}
	consumer.Decode = event.Decode(codec)
	//template:part the consumer
	if s.consumer, err = consume.New(consumer); err != nil {
		return nil, err
	}
	s.handle(s.consumer)
	//template:end

	//template:part the HTTP server
	s.http, err = service.NewHTTP(ctx, service.HTTPConfig{
		Addr: cfg.Addr, AddrVariable: "QUOKKA_TEMPLATEPLAIN_ADDR", Listener: cfg.Listener, Telemetry: tel, Rate: cfg.HTTPRate,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.http.Close() })
	//template:end
	//template:part readiness
	s.http.Ready("consumer", s.consumer.Ready)
	//template:end
	//template:if http
	s.routes(s.http)
	//template:end

	// The order is that of the shutdown: nothing new from outside, nothing new from
	// other services, then the last log lines.
	//template:part the server runs
	s.parts = []service.Part{
		{Name: "http", Run: s.http.Run},
		//template:end
		{Name: "consumer", Run: s.consumer.Run},
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
		return fmt.Errorf("templateplain service: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

//template:end
