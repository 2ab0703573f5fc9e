package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/quokka-stream/quokka/schemas/serde"
)

// Defaults of Config.
const (
	DefaultStateTopic      = "quokka.cdc.state"
	DefaultPublication     = "quokka_cdc"
	DefaultMemoryLimit     = 64 << 20
	DefaultConfirmInterval = time.Second
	DefaultLeaseInterval   = time.Second
	DefaultShutdownTimeout = 8 * time.Second
)

// Config configures a Relay. PostgresURL, Sources, Brokers and RegistryURL (or
// Registry) are required.
type Config struct {
	// PostgresURL is the server, or one of its databases. Its login must have
	// REPLICATION and be able to read the published tables.
	PostgresURL string
	// Sources are the captured databases.
	Sources []Source
	// Brokers are the Kafka bootstrap addresses.
	Brokers []string
	// RegistryURL is the schema registry.
	RegistryURL string
	// Registry stands in for RegistryURL if not nil.
	Registry Registry
	// ClientOpts are further options of the Kafka clients, such as TLS and SASL.
	// Options that weaken acknowledgements or bound retries lose changes.
	ClientOpts []kgo.Opt
	// StateTopic is where progress is kept. Default: quokka.cdc.state. Instances
	// that share slots must share it.
	StateTopic string
	// MemoryLimit is how many bytes of open transactions each source keeps in
	// memory before it writes the largest to SpillDir. Default: 64 MiB.
	MemoryLimit int64
	// SpillDir is for transactions beyond MemoryLimit. Default: the system's
	// temporary directory. It must have room for the largest transactions.
	SpillDir string
	// ConfirmInterval is how often progress is stored and confirmed. After a
	// crash, what was written since is written again. Default: 1 s.
	ConfirmInterval time.Duration
	// LeaseInterval is how often a waiting instance looks whether it can take
	// over, and how soon a failed source is tried again at first. Default: 1 s.
	LeaseInterval time.Duration
	// ShutdownTimeout bounds how long Run waits for acknowledgements when its
	// context ends. Default: 8 s.
	ShutdownTimeout time.Duration
	// Resnapshot makes a source whose slot is lost or not where progress says
	// start over with a new slot and snapshot, instead of stopping. The topics
	// then lack the changes in between, deletes among them: recreate them too.
	Resnapshot bool
	// Tracer makes one span for each transaction that carries a sampled trace
	// context, linked to that context. Default: none.
	Tracer trace.TracerProvider
	// Metrics takes the relay's metrics. Default: none.
	Metrics prometheus.Registerer
	// Logger gets what an operator should know. Default: none.
	Logger *slog.Logger
	// Fault is called at named points, for tests that crash or delay there.
	Fault func(point string)
}

// Source is a captured database. Name and Database are required.
type Source struct {
	// Name names the source in topics, metrics and logs.
	Name string
	// Database is the database's name.
	Database string
	// Publication says which tables, columns and rows leave the database; it is
	// created by whoever owns the database. Default: quokka_cdc.
	Publication string
	// Slot is the replication slot, which the relay creates. Slot names are
	// shared by all databases of a server. Default: quokka_cdc_<name>.
	Slot string
	// TopicPrefix starts the topics' names. Default: cdc.<name>.
	TopicPrefix string
}

// Registry registers schemas, as *serde.Serde does. A refusal because of what
// is registered already is a *serde.IncompatibleError, a registry that gives no
// answer a *serde.UnavailableError.
type Registry interface {
	Register(ctx context.Context, subject, schema string) (id int, err error)
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// withDefaults returns the configuration with its gaps filled, or what is wrong
// with it.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("cdc: "+format, args...)) }
	if _, err := pgconn.ParseConfig(c.PostgresURL); c.PostgresURL == "" || err != nil {
		bad("PostgresURL (QUOKKA_POSTGRES_URL) must be the URL of a PostgreSQL server: %v", err)
	}
	if len(c.Brokers) == 0 {
		bad("Brokers (QUOKKA_KAFKA_BROKERS) must name a Kafka broker")
	}
	if c.RegistryURL == "" && c.Registry == nil {
		bad("RegistryURL (QUOKKA_REGISTRY_URL) must name a schema registry")
	}
	if len(c.Sources) == 0 {
		bad("Sources must name a database")
	}
	c.Sources = append([]Source(nil), c.Sources...)
	slots, names := map[string]bool{}, map[string]bool{}
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Name == "" || s.Database == "" {
			bad("source %d needs a name and a database", i+1)
			continue
		}
		fill(&s.Publication, DefaultPublication)
		fill(&s.Slot, "quokka_cdc_"+strings.ReplaceAll(s.Name, "-", "_"))
		fill(&s.TopicPrefix, "cdc."+s.Name)
		if !slotName.MatchString(s.Slot) {
			bad("source %s: slot name %q may have lower-case letters, digits and underscores only, at most 63", s.Name, s.Slot)
		}
		if slots[s.Slot] || names[s.Name] {
			bad("source %s: another source has the same name or slot", s.Name)
		}
		slots[s.Slot], names[s.Name] = true, true
	}
	fill(&c.StateTopic, DefaultStateTopic)
	fill(&c.MemoryLimit, DefaultMemoryLimit)
	fill(&c.ConfirmInterval, DefaultConfirmInterval)
	fill(&c.LeaseInterval, DefaultLeaseInterval)
	fill(&c.ShutdownTimeout, DefaultShutdownTimeout)
	if c.MemoryLimit < 0 || c.ConfirmInterval < 0 || c.LeaseInterval < 0 || c.ShutdownTimeout < 0 {
		bad("limits and intervals must not be negative")
	}
	if c.Tracer == nil {
		c.Tracer = tracenoop.NewTracerProvider()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fault == nil {
		c.Fault = func(string) {}
	}
	return c, errors.Join(errs...)
}

func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// openRegistry returns the registry and what closes it.
func (c Config) openRegistry() (Registry, func(), error) {
	if c.Registry != nil {
		return c.Registry, func() {}, nil
	}
	s, err := serde.New(c.RegistryURL)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}
