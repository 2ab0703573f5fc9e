package service

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/quokka-stream/quokka/services/kit/telemetry"
)

// Service is a running service.
type Service interface {
	Addr() string
	Run(ctx context.Context) error
}

// Main is the program of a service: it reads the configuration C from the
// environment, starts the service and runs it until SIGINT or SIGTERM. It exits
// with 0 after a clean shutdown, else with 1; a second signal ends it at once.
func Main[C Configured, S Service](name string, start func(context.Context, C, *telemetry.Telemetry) (S, error)) {
	if len(os.Args) > 1 {
		usage[C](os.Stderr, name)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, name, start); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func run[C Configured, S Service](ctx context.Context, name string, start func(context.Context, C, *telemetry.Telemetry) (S, error)) error {
	cfg, err := Load[C](env.ToMap(os.Environ()))
	if err != nil {
		return err
	}
	base := cfg.Base()
	tel, err := telemetry.New(ctx, telemetry.Config{
		Service: name, OTLPEndpoint: base.OTLPEndpoint, SampleRatio: base.SampleRatio(),
		Level: base.LogLevel, ProcessMetrics: true,
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); err != nil {
			tel.Local.Warn("the last traces are lost", "error", err)
		}
	}()
	s, err := start(ctx, cfg, tel)
	if err != nil {
		return err
	}
	tel.Logger.Info("started", "addr", s.Addr())
	return s.Run(ctx)
}

// usage prints the environment variables of a service.
func usage[C any](w io.Writer, name string) {
	fmt.Fprintf(w, "%s takes no arguments; it is configured by the environment:\n\n", name)
	variables, err := Variables(*new(C))
	if err != nil {
		fmt.Fprintln(w, err)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range variables {
		fmt.Fprintf(table, "  %s\t%s\t%s\n", v.Name, v.Default, v.Help)
	}
	table.Flush()
}
