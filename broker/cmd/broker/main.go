// Command broker runs a Quokka broker: a Kafka-protocol server in one process. "broker
// check" and "broker repair" look after the data directory of one that is stopped.
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
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/broker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "broker:", err)
		os.Exit(1)
	}
}

// run runs a broker until ctx ends, or one of the subcommands.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		if sub, ok := subcommands[args[0]]; ok {
			return sub(args[1:], out)
		}
	}
	var cfg broker.Config
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.StringVar(&cfg.DataDir, "data-dir", env("QUOKKA_BROKER_DATA_DIR", "./broker-data"), "directory for everything that lasts")
	flags.StringVar(&cfg.Listen, "listen", env("QUOKKA_BROKER_LISTEN", "127.0.0.1:9092"), "address to listen on")
	flags.StringVar(&cfg.Advertise, "advertise", env("QUOKKA_BROKER_ADVERTISE", ""), "host:port that clients are told to connect to (default: the address they came by)")
	flags.BoolVar(&cfg.AllowRemote, "allow-remote", false, "allow --listen on an address that other machines can reach, without authentication")
	flags.StringVar((*string)(&cfg.Flush), "flush", env("QUOKKA_BROKER_FLUSH", "group"), "when acknowledged records are on the disk: group (before), interval or os")
	flags.DurationVar(&cfg.FlushEvery, "flush-every", time.Second, "time between syncs with --flush interval")
	flags.Int64Var(&cfg.DiskReserve, "disk-reserve", 64<<20, "bytes of the disk kept for offsets, transactions and deletes when the rest is full; negative: none")
	flags.IntVar(&cfg.DefaultPartitions, "default-partitions", 1, "partitions of a topic whose creator does not say")
	flags.BoolVar(&cfg.DisableAutoCreateTopics, "no-auto-create", false, "refuse unknown topics instead of creating them")
	flags.StringVar(&cfg.ClusterID, "cluster-id", "", "refuse a data directory of another cluster (default: whatever it is)")
	flags.DurationVar(&cfg.GroupInitialRebalanceDelay, "group-initial-rebalance-delay", 3*time.Second, "how long an empty group waits for more members; negative: not at all")
	flags.DurationVar(&cfg.GroupConsumerSessionTimeout, "group-consumer-session-timeout", 45*time.Second, "when a silent member of the consumer protocol (KIP-848) is removed")
	flags.DurationVar(&cfg.GroupConsumerHeartbeatInterval, "group-consumer-heartbeat-interval", 5*time.Second, "how often members of the consumer protocol send heartbeats, each a step of a rebalance")
	flags.BoolVar(&cfg.SASL, "sasl", false, "make clients log in: SCRAM-SHA-256, SCRAM-SHA-512, and PLAIN over TLS or on loopback")
	usersFile := flags.String("users-file", env("QUOKKA_BROKER_USERS_FILE", ""), "file of first users, a line name:password each")
	superUsers := flags.String("super-users", env("QUOKKA_BROKER_SUPER_USERS", ""), "principals that may do everything, as User:admin, separated by blanks")
	var files tlsFiles
	flags.StringVar(&files.cert, "tls-cert", env("QUOKKA_BROKER_TLS_CERT", ""), "certificate file (PEM); read again when it changes")
	flags.StringVar(&files.key, "tls-key", env("QUOKKA_BROKER_TLS_KEY", ""), "key file (PEM)")
	flags.StringVar(&files.clientCA, "tls-client-ca", env("QUOKKA_BROKER_TLS_CLIENT_CA", ""), "CA file (PEM): clients must show a certificate of it")
	metrics := flags.String("metrics", env("QUOKKA_BROKER_METRICS", ""), "address for /metrics and /healthz (default: none)")
	verbose := flags.Bool("verbose", false, "log more")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; run broker -h for the flags", flags.Arg(0))
	}
	cfg.SuperUsers = strings.Fields(*superUsers)
	var err error
	if cfg.Users, err = readUsers(*usersFile); err != nil {
		return err
	}
	if cfg.TLS, err = files.config(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	b, err := broker.Open(cfg)
	if err != nil {
		return err
	}
	if *metrics != "" {
		if err := serveMetrics(ctx, *metrics, b); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	fmt.Fprintf(out, "listening on %s, cluster %s, data in %s\n", b.Addr(), b.ClusterID(), cfg.DataDir)
	served := make(chan error, 1)
	go func() { served <- b.Serve() }()
	select {
	case err := <-served:
		return errors.Join(err, b.Close())
	case <-ctx.Done():
		return errors.Join(b.Close(), <-served)
	}
}

func serveMetrics(ctx context.Context, addr string, b *broker.Broker) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listening for metrics on %s (--metrics): %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", b.Metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = srv.Close() // the process ends
	}()
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("serving metrics failed", "err", err)
		}
	}()
	return nil
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
