// Command cdc streams the tables of PostgreSQL databases to Kafka topics; see
// package cdc. Flags and the environment configure it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quokka-stream/quokka/cdc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "cdc:", err)
		os.Exit(1)
	}
}

// run streams until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	var cfg cdc.Config
	var sources, brokers, metrics, level string
	flags := flag.NewFlagSet("cdc", flag.ContinueOnError)
	flags.SetOutput(out)
	text := func(v *string, name, variable, fallback, help string) {
		flags.StringVar(v, name, env(variable, fallback), help+" ("+variable+")")
	}
	text(&cfg.PostgresURL, "postgres", "QUOKKA_POSTGRES_URL", "", "PostgreSQL server; its login needs REPLICATION")
	text(&sources, "sources", "QUOKKA_CDC_SOURCES", "order=quokka_order,inventory=quokka_inventory", "captured databases, as name=database separated by commas: slot quokka_cdc_<name>, topics cdc.<name>.<schema>.<table>")
	text(&brokers, "kafka", "QUOKKA_KAFKA_BROKERS", "127.0.0.1:9092", "Kafka bootstrap addresses, separated by commas")
	text(&cfg.RegistryURL, "registry", "QUOKKA_REGISTRY_URL", "http://127.0.0.1:8081", "schema registry")
	text(&cfg.StateTopic, "state-topic", "QUOKKA_CDC_STATE_TOPIC", cdc.DefaultStateTopic, "topic for progress")
	text(&cfg.SpillDir, "spill-dir", "QUOKKA_CDC_SPILL_DIR", "", "directory for transactions too large for memory; empty: the system's temporary one")
	text(&metrics, "metrics", "QUOKKA_CDC_METRICS", "", "address for /metrics, /healthz and /readyz; empty: none")
	text(&level, "log-level", "QUOKKA_LOG_LEVEL", "info", "debug, info, warn or error")
	flags.Int64Var(&cfg.MemoryLimit, "memory-limit", cdc.DefaultMemoryLimit, "bytes of open transactions kept in memory, for each source")
	resnapshot, err := strconv.ParseBool(env("QUOKKA_CDC_RESNAPSHOT", "false"))
	if err != nil {
		return fmt.Errorf("QUOKKA_CDC_RESNAPSHOT: %w; want true or false", err)
	}
	flags.BoolVar(&cfg.Resnapshot, "resnapshot", resnapshot, "start over with a new slot where the old one is lost or moved, instead of stopping; recreate the topics too (QUOKKA_CDC_RESNAPSHOT)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; run cdc -h for the flags", flags.Arg(0))
	}
	var slogLevel slog.Level
	if err := slogLevel.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("log level %q (QUOKKA_LOG_LEVEL): want debug, info, warn or error", level)
	}
	if cfg.Sources, err = parseSources(sources); err != nil {
		return err
	}
	cfg.Brokers = strings.Split(brokers, ",")
	cfg.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slogLevel}))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Metrics = registry
	relay, err := cdc.New(cfg)
	if err != nil {
		return err
	}
	if metrics != "" {
		stop, err := serve(ctx, metrics, relay, registry, cfg.Logger)
		if err != nil {
			return err
		}
		defer stop()
	}
	return relay.Run(ctx)
}

// parseSources reads name=database,name=database.
func parseSources(text string) ([]cdc.Source, error) {
	var out []cdc.Source
	for part := range strings.SplitSeq(text, ",") {
		name, database, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || name == "" || database == "" {
			return nil, fmt.Errorf("source %q (QUOKKA_CDC_SOURCES): want name=database", part)
		}
		out = append(out, cdc.Source{Name: name, Database: database})
	}
	return out, nil
}

// serve answers what metrics and health ask. The process is healthy as long as it
// runs: what ails a source is said at /readyz, and a restart does not cure it.
func serve(ctx context.Context, addr string, relay *cdc.Relay, metrics prometheus.Gatherer, log *slog.Logger) (stop func(), err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics on %s: %w; choose another address with --metrics (QUOKKA_CDC_METRICS)", addr, err)
	}
	log.Info("metrics and health are served", "addr", ln.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := relay.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serving metrics failed", "error", err)
		}
	}()
	return func() {
		_ = server.Close()
		<-done
	}, nil
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
