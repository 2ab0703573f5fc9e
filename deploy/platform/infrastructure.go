package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/deploy/brokertrace"
	"github.com/quokka-stream/quokka/deploy/mailsink"
	"github.com/quokka-stream/quokka/deploy/tracestore"
	"github.com/quokka-stream/quokka/internal/pgserver"
	"github.com/quokka-stream/quokka/schemas/registry"
)

func (p *Platform) startPostgres(ctx context.Context) error {
	if p.cfg.PostgresURL != "" {
		p.set(func(at *Running) { at.PostgresURL = p.cfg.PostgresURL })
		return nil
	}
	server, err := pgserver.Start(ctx, pgserver.Config{
		DataDir: filepath.Join(p.cfg.DataDir, postgresDir), Port: p.listeners.postgres, Temporary: p.cfg.Temporary, Logger: p.cfg.Notice,
	})
	var taken *pgserver.PortError
	if errors.As(err, &taken) {
		return &AddressError{Postgres, p.cfg.address(Postgres), taken.Err}
	}
	if err != nil {
		return err
	}
	stopping := make(chan struct{})
	p.parts.run(database, "PostgreSQL",
		func() error {
			select {
			case <-server.Done():
				return fmt.Errorf("ended by itself, see its log in %s", server.Files())
			case <-stopping:
				return nil
			}
		},
		func() error { close(stopping); return server.Stop() })
	p.set(func(at *Running) { at.PostgresURL = server.URL() })
	return nil
}

// startKafka opens the embedded broker, or asks the given one who it is.
func (p *Platform) startKafka(ctx context.Context) error {
	if len(p.cfg.Kafka) > 0 {
		p.set(func(at *Running) { at.Kafka = p.cfg.Kafka })
		return p.askCluster(ctx)
	}
	var hook func(broker.ProduceTrace)
	if p.cfg.BrokerTrace {
		tel, err := p.telemetry(ctx, brokertrace.Service)
		if err != nil {
			return err
		}
		hook = brokertrace.Hook(tel.Tracer)
	}
	b, err := broker.Open(broker.Config{
		DataDir: filepath.Join(p.cfg.DataDir, brokerDir), Listener: p.listeners.take(Broker), Flush: broker.FlushPolicy(p.cfg.Flush),
		// The members of our groups are here when the platform is ready; waiting
		// for more would only delay the first order.
		GroupInitialRebalanceDelay: -1,
		Trace:                      hook,
		Logger:                     p.log.With("service", "broker"),
	})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	p.parts.run(kafka, "broker", b.Serve, b.Close)
	p.cluster = b.ClusterID()
	p.set(func(at *Running) { at.Kafka = []string{b.Addr()} })
	return p.evictPredecessors(ctx)
}

func (p *Platform) askCluster(ctx context.Context) error {
	admin, err := p.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	about, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("no answer from Kafka at %s: %w (--kafka or QUOKKA_KAFKA_BROKERS names it; leave it out to use the embedded broker)", p.at.KafkaText(), err)
	}
	p.cluster = about.Cluster
	return nil
}

func (p *Platform) admin() (*kadm.Client, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.at.Kafka...), kgo.ClientID("quokka"))
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func (p *Platform) startRegistry(ctx context.Context) error {
	if p.cfg.RegistryURL != "" {
		p.set(func(at *Running) { at.RegistryURL = p.cfg.RegistryURL })
		return nil
	}
	r, err := registry.Open(ctx, registry.Config{
		Brokers: p.at.Kafka, Listener: p.listeners.take(Registry), Logger: p.log.With("service", "registry"),
	})
	if err != nil {
		return err
	}
	p.parts.run(registries, "registry", r.Serve, r.Close)
	p.set(func(at *Running) { at.RegistryURL = "http://" + r.Addr() })
	return nil
}

func (p *Platform) startMailSink() error {
	sink, err := mailsink.Open(mailsink.Config{
		Dir: filepath.Join(p.cfg.DataDir, mailDir), SMTP: p.listeners.take(SMTP), HTTP: p.listeners.take(Mail),
		Logger: p.log.With("service", "mail"),
	})
	if err != nil {
		return err
	}
	p.parts.run(sinks, "mail sink", sink.Serve, sink.Close)
	p.set(func(at *Running) { at.SMTP, at.MailURL = sink.SMTPAddr(), sink.URL() })
	return nil
}

// startTraces keeps traces in memory where they are not sent elsewhere.
func (p *Platform) startTraces() {
	if p.cfg.OTLP != "" {
		p.at.TracesURL, p.at.OTLP = p.cfg.TracesURL, p.cfg.OTLP
		return
	}
	p.traces = tracestore.New(tracestore.Config{})
	listener := p.listeners.take(Traces)
	server := &http.Server{Handler: p.traces.Handler(), ReadHeaderTimeout: 10 * time.Second}
	p.parts.run(sinks, "trace store", func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, server.Close)
	p.at.TracesURL = "http://" + listener.Addr().String()
	p.at.OTLP = p.at.TracesURL // it takes what a collector takes
}

// set changes the addresses known so far.
func (p *Platform) set(change func(*Running)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.at)
}
