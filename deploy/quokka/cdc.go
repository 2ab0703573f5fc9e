package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quokka-stream/quokka/cdc"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/services/kit/service"
)

type cdcCmd struct {
	Metrics string `env:"QUOKKA_CDC_METRICS" placeholder:"ADDR" help:"Address for /metrics and /healthz (default: none)."`
}

// Run captures the tables of the platform's databases.
func (c cdcCmd) Run(ctx context.Context) error {
	base, err := service.Load[service.Config](environ())
	if err != nil {
		return err
	}
	tel, err := newTelemetry(ctx, "cdc", base)
	if err != nil {
		return err
	}
	defer flush(ctx, tel)
	relay, err := cdc.New(cdc.Config{
		PostgresURL: base.PostgresURL, Brokers: base.KafkaBrokers, RegistryURL: base.RegistryURL, Sources: platform.Captured(),
		Tracer: tel.Tracer, Metrics: tel.Metrics, Logger: tel.Logger,
	})
	if err != nil {
		return err
	}
	metrics, err := serveMetrics(ctx, c.Metrics, promhttp.HandlerFor(tel.Metrics, promhttp.HandlerOpts{}))
	if err != nil {
		return err
	}
	defer metrics()
	return relay.Run(ctx)
}

// Help lists the environment variables.
func (cdcCmd) Help() string { return variables(service.Config{}) }
