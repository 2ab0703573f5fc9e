package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokercmd"
	"github.com/quokka-stream/quokka/deploy/brokertrace"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/registry"
	"github.com/quokka-stream/quokka/services/kit/service"
	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// brokerCmd is broker/brokercmd, with the broker's work shown in traces.
type brokerCmd struct {
	Args []string `arg:"" optional:"" help:"Flags of the broker: quokka broker --help."`
}

// Run runs the broker until ctx ends.
func (c *brokerCmd) Run(ctx context.Context, out *output) error {
	return c.command(out.stdout).Run(ctx, c.Args)
}

// command is the broker's command, with traces.
func (c *brokerCmd) command(stdout io.Writer) brokercmd.Command {
	var trace bool
	var otlp string
	return brokercmd.Command{
		Name: "quokka broker", Environ: os.Environ(), Stdout: stdout, Log: os.Stderr, LogFormat: "json",
		Flags: func(flags *flag.FlagSet) {
			flags.BoolVar(&trace, "trace", slices.Contains([]string{"true", "1", "yes"}, strings.ToLower(os.Getenv("QUOKKA_BROKER_TRACE"))), "show appends and syncs in the clients' traces (QUOKKA_BROKER_TRACE); needs --otlp")
			flags.StringVar(&otlp, "otlp", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "OTLP/HTTP collector for --trace, a `URL` (OTEL_EXPORTER_OTLP_ENDPOINT)")
		},
		Prepare: func(ctx context.Context, cfg *broker.Config) (func(), error) {
			hook, end, err := tracing(ctx, trace, otlp)
			cfg.Trace = hook
			return end, err
		},
	}
}

// tracing is what the broker reports its work to, nil if it is not asked to.
func tracing(ctx context.Context, trace bool, otlp string) (hook func(broker.ProduceTrace), end func(), err error) {
	switch {
	case !trace:
		return nil, func() {}, nil
	case otlp == "":
		return nil, nil, errors.New("--trace (QUOKKA_BROKER_TRACE) needs a collector for the spans: name it with --otlp or OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	tel, err := telemetry.New(ctx, telemetry.Config{Service: brokertrace.Service, OTLPEndpoint: otlp})
	if err != nil {
		return nil, nil, err
	}
	return brokertrace.Hook(tel.Tracer), func() { flush(ctx, tel) }, nil
}

type registryCmd struct {
	Kafka  []string `default:"127.0.0.1:9092" env:"QUOKKA_KAFKA_BROKERS" placeholder:"ADDR" help:"Kafka that keeps the schemas (${default})."`
	Listen string   `default:"127.0.0.1:8081" env:"QUOKKA_REGISTRY_ADDR" placeholder:"ADDR" help:"Address to listen on (${default})."`
	Topic  string   `default:"_schemas" env:"QUOKKA_REGISTRY_TOPIC" help:"Topic that keeps the schemas."`
}

func (c *registryCmd) Run(ctx context.Context, out *output) error {
	r, err := registry.Open(ctx, registry.Config{Brokers: c.Kafka, Addr: c.Listen, Topic: c.Topic, Logger: logger("registry")})
	if err != nil {
		return err
	}
	out.out.Printf("schema registry on http://%s, schemas in topic %s of %s\n", r.Addr(), c.Topic, strings.Join(c.Kafka, ","))
	return untilDone(ctx, r.Serve, r.Close)
}

type schemasCmd struct {
	Apply applyCmd `cmd:"" help:"Create every declared topic and register every schema; applying again changes nothing."`
}

type applyCmd struct {
	Kafka    []string `default:"127.0.0.1:9092" env:"QUOKKA_KAFKA_BROKERS" placeholder:"ADDR" help:"Kafka (${default})."`
	Registry string   `default:"http://127.0.0.1:8081" env:"QUOKKA_REGISTRY_URL" placeholder:"URL" help:"Schema registry (${default})."`
}

func (c *applyCmd) Run(ctx context.Context) error {
	return apply.Apply(ctx, apply.Config{Brokers: c.Kafka, RegistryURL: c.Registry, Logger: logger("schemas")})
}

// serviceCmd runs one service as its own program does. It is configured by the
// environment alone; its help lists the variables.
type serviceCmd struct{ service roster.Service }

// Run runs the service until ctx ends.
func (c *serviceCmd) Run(ctx context.Context) (err error) {
	var tel *telemetry.Telemetry
	defer func() {
		if tel != nil {
			flush(ctx, tel)
		}
	}()
	s, err := c.service.Start(ctx, environ(), nil, func(base service.Config) (*telemetry.Telemetry, error) {
		tel, err = newTelemetry(ctx, c.service.Name, base)
		return tel, err
	})
	if err != nil {
		return err
	}
	tel.Logger.Info("started", "addr", s.Addr())
	return s.Run(ctx)
}

// Help lists the environment variables.
func (c *serviceCmd) Help() string { return variables(c.service.Config) }

func newTelemetry(ctx context.Context, name string, base service.Config) (*telemetry.Telemetry, error) {
	return telemetry.New(ctx, telemetry.Config{
		Service: name, OTLPEndpoint: base.OTLPEndpoint, SampleRatio: base.SampleRatio(), Level: base.LogLevel, ProcessMetrics: true,
	})
}

func flush(ctx context.Context, tel *telemetry.Telemetry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		tel.Local.Warn("the last traces are lost", "error", err)
	}
}

// variables lists the environment variables of a service's configuration.
func variables(cfg any) string {
	list, err := service.Variables(cfg)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintln(&b, "Configured by the environment:")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range list {
		fmt.Fprintf(table, "\n  %s\t%s\t%s", v.Name, v.Default, v.Help)
	}
	fmt.Fprintln(table)
	table.Flush()
	return b.String()
}

// logger logs one part's lines to standard error.
func logger(name string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("service", name)
}

// untilDone serves until ctx ends or serving fails, then closes.
func untilDone(ctx context.Context, serve, stop func() error) error {
	served := make(chan error, 1)
	go func() { served <- serve() }()
	select {
	case err := <-served:
		return errors.Join(err, stop())
	case <-ctx.Done():
		return errors.Join(stop(), <-served)
	}
}
