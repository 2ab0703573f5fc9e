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
	"github.com/quokka-stream/quokka/services/inventory"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
	"github.com/quokka-stream/quokka/services/notification"
	"github.com/quokka-stream/quokka/services/order"
	"github.com/quokka-stream/quokka/services/searchsync"
)

// startServices starts the four services at the same time, as none needs another
// to start, and then cdc: what it captures is declared by the services'
// migrations.
func (p *Platform) startServices(whole context.Context) error {
	g, ctx := errgroup.WithContext(whole)
	g.Go(func() error {
		return start(ctx, p, Order, order.New, func(c *order.Config, l net.Listener) { c.Listener = l },
			func(at *Running, url string) { at.OrderURL = url })
	})
	g.Go(func() error {
		return start(ctx, p, Inventory, inventory.New, func(c *inventory.Config, l net.Listener) { c.Listener = l },
			func(at *Running, url string) { at.InventoryURL = url })
	})
	g.Go(func() error {
		return start(ctx, p, Notification, notification.New, func(c *notification.Config, l net.Listener) { c.Listener = l },
			func(at *Running, url string) { at.NotificationURL = url })
	})
	g.Go(func() error {
		return start(ctx, p, SearchSync, searchsync.New, func(c *searchsync.Config, l net.Listener) { c.Listener = l },
			func(at *Running, url string) { at.SearchSyncURL = url })
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return p.startCDC(whole)
}

// start starts one service as its own program would, from the environment, but
// with the platform's addresses and on the platform's listener.
func start[C service.Configured, S service.Service](
	ctx context.Context, p *Platform, part Part,
	create func(context.Context, C, *telemetry.Telemetry) (S, error),
	listen func(*C, net.Listener), address func(*Running, string),
) error {
	cfg, err := service.Load[C](p.environ())
	if err != nil {
		return err
	}
	listener := p.takeListener(part)
	listen(&cfg, listener)
	name := string(part)
	tel, err := p.telemetry(ctx, name)
	if err != nil {
		return err
	}
	s, err := create(ctx, cfg, tel)
	if err != nil {
		listener.Close()
		if !strings.HasPrefix(err.Error(), name) {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	}
	p.parts.runContext(services, name, s.Run)
	p.set(func(at *Running) { address(at, "http://"+s.Addr()) })
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
		Service: name, OTLPEndpoint: p.cfg.OTLP, Exporter: exporter, SampleRatio: base.TraceRatio, Output: p.output, Level: base.LogLevel,
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
