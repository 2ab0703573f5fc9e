package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/compat"
)

// Config configures a registry.
type Config struct {
	// Brokers are Kafka bootstrap addresses. Required.
	Brokers []string
	// ClientOpts are further options for the Kafka clients, such as TLS and
	// SASL.
	ClientOpts []kgo.Opt
	// Topic holds the schemas. Default "_schemas", as everywhere. It is created
	// with cleanup.policy=compact where it does not exist; one that is not
	// compacted is refused, because Kafka would delete its schemas.
	Topic string
	// Addr is where to listen. Default "127.0.0.1:8081": the API has no
	// authentication, so reaching it from elsewhere takes saying so here.
	Addr string
	// Listener is used in place of Addr. The server closes it.
	Listener net.Listener
	// Compatibility is the level for subjects without one of their own where
	// no global level was set. Default BACKWARD.
	Compatibility compat.Level
	// IncompatibleCode is the error code of a refused schema: 409, which all
	// clients know, or 40901, which Confluent sends since version 8.2. Default
	// 409. The HTTP status is 409 with both.
	IncompatibleCode int
	// Timeout bounds each request's work with Kafka. Default 10 s.
	Timeout time.Duration
	// StartTimeout bounds reading the topic at the start. Default 60 s.
	StartTimeout time.Duration
	// MaxBody bounds request bodies. Default 2 MiB; Kafka's own limit for a
	// record is commonly 1 MiB.
	MaxBody int64
	// Logger gets one line for each change and problem. Default slog.Default.
	Logger *slog.Logger
	// Metrics is where metrics are registered, and what /metrics serves.
	// Default a registry of its own.
	Metrics *prometheus.Registry

	quiet time.Duration // store.quiet
}

// withDefaults returns the configuration completed and checked.
func (c Config) withDefaults() (Config, error) {
	if len(c.Brokers) == 0 {
		return c, errors.New("registry: no Kafka brokers configured")
	}
	if c.Topic == "" {
		c.Topic = "_schemas"
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:8081"
	}
	if c.Compatibility == "" {
		c.Compatibility = compat.Backward
	}
	level, err := compat.ParseLevel(string(c.Compatibility))
	if err != nil {
		return c, fmt.Errorf("registry: %w", err)
	}
	c.Compatibility = level
	switch c.IncompatibleCode {
	case 0:
		c.IncompatibleCode = 409
	case 409, codeIncompatible:
	default:
		return c, fmt.Errorf("registry: IncompatibleCode is %d, want 409 or %d", c.IncompatibleCode, codeIncompatible)
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = time.Minute
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 2 << 20
	}
	if c.quiet <= 0 {
		c.quiet = 2 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return c, nil
}
