package platform

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/sync/errgroup"

	"github.com/quokka-stream/quokka/cdc"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// startServices starts the services at the same time, as none needs another to
// start, and then cdc: what it captures is declared by the services' migrations.
func (p *Platform) startServices(whole context.Context) error {
	g, ctx := errgroup.WithContext(whole)
	for _, s := range roster.Services() {
		g.Go(func() error { return p.startService(ctx, s) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return p.startCDC(whole)
}

// startService starts one service as its own program would, from the environment,
// but with the platform's addresses and on the platform's listener.
func (p *Platform) startService(ctx context.Context, s roster.Service) error {
	listener := p.takeListener(Part(s.Name))
	running, err := s.Start(ctx, p.environ(), listener, func(service.Config) (*telemetry.Telemetry, error) {
		return p.telemetry(ctx, s.Name)
	})
	if err != nil {
		listener.Close()
		if !strings.HasPrefix(err.Error(), s.Name) {
			err = fmt.Errorf("%s: %w", s.Name, err)
		}
		return err
	}
	p.parts.runContext(services, s.Name, running.Run)
	p.set(func(at *Running) { at.serves(s.Name, "http://"+running.Addr()) })
	return nil
}

// Captured are the databases whose tables leave them by change data capture.
func Captured() []cdc.Source {
	return []cdc.Source{{Name: "order", Database: "quokka_order"}, {Name: "inventory", Database: "quokka_inventory"}}
}

func (p *Platform) startCDC(ctx context.Context) error {
	tel, err := p.telemetry(ctx, "cdc")
	if err != nil {
		return err
	}
	relay, err := cdc.New(cdc.Config{
		PostgresURL: p.at.PostgresURL, Brokers: p.at.Kafka, RegistryURL: p.at.RegistryURL,
		Sources: Captured(),
		Tracer:  tel.Tracer, Metrics: tel.Metrics, Logger: tel.Logger,
	})
	if err != nil {
		return fmt.Errorf("cdc: %w", err)
	}
	p.parts.runContext(services, "cdc", relay.Run)
	p.ready = append(p.ready, check{"cdc", func(context.Context) error { return relay.Ready() }})
	return nil
}

// takeListener hands over the listener of a service; several start at once.
func (p *Platform) takeListener(part Part) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listeners.take(part)
}

// environ is the environment of the platform's services: what the user set, and
// over it the addresses of what the platform runs or was told to use.
func (p *Platform) environ() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	env := map[string]string{}
	maps.Copy(env, p.cfg.Environ)
	maps.Copy(env, map[string]string{
		"QUOKKA_KAFKA_BROKERS":        strings.Join(p.at.Kafka, ","),
		"QUOKKA_REGISTRY_URL":         p.at.RegistryURL,
		"QUOKKA_POSTGRES_URL":         p.at.PostgresURL,
		"QUOKKA_SMTP_ADDR":            p.at.SMTP,
		"QUOKKA_SEARCH_URL":           p.cfg.SearchURL,
		"QUOKKA_INDEX_DIR":            filepath.Join(p.cfg.DataDir, indexDir),
		"OTEL_EXPORTER_OTLP_ENDPOINT": p.cfg.OTLP,
	})
	return env
}

// telemetry makes a part's own telemetry: parts that share the process appear
// under their own names.
func (p *Platform) telemetry(ctx context.Context, name string) (*telemetry.Telemetry, error) {
	base, err := service.Load[service.Config](p.environ())
	if err != nil {
		return nil, err
	}
	var exporter sdktrace.SpanExporter
	if p.traces != nil {
		exporter = p.traces
	}
	tel, err := telemetry.New(ctx, telemetry.Config{
		Service: name, OTLPEndpoint: p.cfg.OTLP, Exporter: exporter, SampleRatio: base.SampleRatio(), Output: p.output, Level: base.LogLevel,
	})
	if err != nil {
		return nil, err
	}
	p.parts.closer(sinks, "telemetry of "+name, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return tel.Shutdown(ctx)
	})
	return tel, nil
}
