// Package apply makes a Kafka cluster and a schema registry agree with what
// package schemas declares: every topic with its dead-letter topics exists and
// is configured, every subject has its compatibility level and holds the
// program's schemas. It repairs what can be repaired without touching data and
// names the rest. Applying again changes nothing.
package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/internal/rest"
)

// Config says where to apply.
type Config struct {
	// Brokers are bootstrap addresses of the cluster.
	Brokers []string
	// RegistryURL is the registry's address; several of the same registry are
	// separated by commas.
	RegistryURL string
	// Logger gets a line for each change. Default: slog.Default().
	Logger *slog.Logger
	// Topics to apply, each with its dead-letter topics. Default:
	// schemas.Topics().
	Topics []schemas.Topic
	// ClientOpts are added to the Kafka client's, for TLS and SASL.
	ClientOpts []kgo.Opt
}

// Difference is something that is not as declared and that Apply may not, or
// cannot, change.
type Difference struct {
	// What is differs, such as topic orders.v1.
	What string
	// Detail says how, and where possible what to do.
	Detail string
}

func (d Difference) String() string { return d.What + ": " + d.Detail }

// DifferencesError lists what Apply could not repair. Everything else has been
// applied.
type DifferencesError struct {
	Differences []Difference
}

func (e *DifferencesError) Error() string {
	lines := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		lines[i] = d.String()
	}
	return "not as declared, and not for this command to change:\n  " + strings.Join(lines, "\n  ")
}

// patience is how long a cluster may take to answer a request, and to have a
// leader for every new partition.
const patience = 20 * time.Second

// applier is one run.
type applier struct {
	log         *slog.Logger
	topics      []schemas.Topic
	registry    *rest.Client
	kafka       *kgo.Client
	differences []Difference
}

func (a *applier) differ(what, format string, args ...any) {
	a.differences = append(a.differences, Difference{what, fmt.Sprintf(format, args...)})
}

// Apply creates, configures and registers what is declared. It returns a
// *DifferencesError for what is otherwise and stays so.
func Apply(ctx context.Context, cfg Config) error {
	if len(cfg.Brokers) == 0 {
		return errors.New("apply: no Kafka brokers given")
	}
	a := &applier{log: cfg.Logger, topics: cfg.Topics}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.topics == nil {
		a.topics = schemas.Topics()
	}
	var err error
	if a.registry, err = rest.New(rest.Config{URLs: cfg.RegistryURL}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer a.registry.Close()
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("schemas-apply"),
		kgo.RetryTimeout(patience),
		// Asked again right after creating topics, the client shall not answer
		// from what it knew before.
		kgo.MetadataMinAge(10 * time.Millisecond),
	}, cfg.ClientOpts...)
	if a.kafka, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer a.kafka.Close()

	// Schemas come first: a topic that exists may be produced to.
	if err := a.applySubjects(ctx); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := a.applyTopics(ctx); err != nil {
		return fmt.Errorf("apply: brokers %s: %w", strings.Join(cfg.Brokers, ","), err)
	}
	if len(a.differences) > 0 {
		return &DifferencesError{a.differences}
	}
	return nil
}
