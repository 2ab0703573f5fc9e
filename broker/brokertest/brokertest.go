// Package brokertest gives tests a Kafka broker: the one named by
// QUOKKA_KAFKA_BROKERS where that is set, else an embedded Quokka broker.
package brokertest

import (
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/testport"
)

// Brokers returns bootstrap addresses that live at least as long as the test.
func Brokers(t testing.TB) []string {
	t.Helper()
	if env := os.Getenv("QUOKKA_KAFKA_BROKERS"); env != "" {
		return strings.Split(env, ",")
	}
	return []string{Start(t).Addr()}
}

// Broker is an embedded broker that a test can stop and start again.
type Broker struct {
	t   testing.TB
	cfg broker.Config

	mu      sync.Mutex
	running *broker.Broker
	served  chan error
	addr    string
}

const (
	anyPort      = "127.0.0.1:0"
	loginTimeout = "quokka.login.timeout.ms"
)

// Start starts an embedded broker on a free port, with a data directory of its own
// that goes with the test, topics created on demand, groups that rebalance without
// delay, and patience with clients that are slow to log in. It is stopped at the end of
// the test.
func Start(t testing.TB, opts ...func(*broker.Config)) *Broker {
	t.Helper()
	cfg := broker.Config{
		DataDir: t.TempDir(), Listen: anyPort, GroupInitialRebalanceDelay: -1, DiskReserve: -1,
		Logger: slog.New(slog.NewTextHandler(&output{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	switch {
	case cfg.Settings["listeners"] != "":
		cfg.Listen = ""
	case cfg.Listen == anyPort && cfg.Listener == nil && len(cfg.Listeners) == 0:
		cfg.Listen = testport.Take(t) // it will be free for a Restart
	}
	if cfg.Settings[loginTimeout] == "" {
		cfg.Settings = maps.Clone(cfg.Settings)
		if cfg.Settings == nil {
			cfg.Settings = map[string]string{}
		}
		cfg.Settings[loginTimeout] = "300000"
	}
	b := &Broker{t: t, cfg: cfg}
	b.start()
	t.Cleanup(b.Stop)
	return b
}

func (b *Broker) start() {
	b.t.Helper()
	running, err := broker.Open(b.cfg)
	if err != nil {
		b.t.Fatalf("starting a broker: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- running.Serve() }()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running, b.served, b.addr = running, served, running.Addr()
}

// Addr is the broker's address; it stays the same over Restart.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// Unwrap returns the broker that is running now, nil when none is.
func (b *Broker) Unwrap() *broker.Broker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// Stop closes the broker and keeps its data.
func (b *Broker) Stop() {
	b.t.Helper()
	b.mu.Lock()
	running, served := b.running, b.served
	b.running = nil
	b.mu.Unlock()
	if running == nil {
		return
	}
	if err := running.Close(); err != nil {
		b.t.Errorf("closing the broker: %v", err)
	}
	if err := <-served; err != nil {
		b.t.Errorf("serving: %v", err)
	}
}

// Restart starts the broker again, stopping it first if it runs: same data, same
// address. Where the Config names its listeners, they have the ports that it says.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	if len(b.cfg.Listeners) == 0 && b.cfg.Settings["listeners"] == "" {
		b.cfg.Listen, b.cfg.Listener = b.Addr(), nil
	}
	b.start()
}

// output writes the broker's log into the test's.
type output struct {
	t  testing.TB
	mu sync.Mutex
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
