package cdc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Version is the version in the source of every envelope.
const Version = "0.1.0"

// applicationName is how our sessions appear in pg_stat_activity.
const applicationName = "quokka-cdc"

// Relay streams the sources of its configuration. Make one with New.
type Relay struct {
	cfg     Config
	sources []*source
	close   func()
}

// New checks the configuration. It connects to nothing.
func New(cfg Config) (*Relay, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	registry, closeRegistry, err := cfg.openRegistry()
	if err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, close: closeRegistry}
	for _, s := range cfg.Sources {
		src := &source{
			Source: s, cfg: &r.cfg, registry: registry, metrics: m,
			health: &health{source: s.Name, metrics: m},
			log:    cfg.Logger.With("source", s.Name, "slot", s.Slot),
		}
		src.health.set(Starting, nil)
		r.sources = append(r.sources, src)
	}
	return r, nil
}

// Run streams until ctx ends, then waits for the broker's acknowledgements, up
// to the shutdown timeout, and confirms them. What passes by itself (a server
// that restarts, a broker or registry that is away, a database that does not
// exist yet) it waits out. A source with an error that does not pass stops, the
// others go on; Run returns the errors when ctx ends or no source is left.
func (r *Relay) Run(ctx context.Context) error {
	defer r.close()
	var wg sync.WaitGroup
	errs := make([]error, len(r.sources))
	for i, s := range r.sources {
		wg.Go(func() { errs[i] = s.run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// clientOptions are those of every Kafka client.
func (c *Config) clientOptions() []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.ClientID(applicationName)}, c.ClientOpts...)
}

const producerLinger = 5 * time.Millisecond

// newProducer returns a source's client: idempotent, waiting for all replicas,
// trying for ever. Records of a partition are acknowledged in the order in which
// they were sent, or none after the first that is not.
func (c *Config) newProducer() (*kgo.Client, error) {
	return kgo.NewClient(append(c.clientOptions(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(newPartitioner()),
		kgo.UnknownTopicRetries(-1),
		// The price of a request, here and at a broker that syncs its disk for it,
		// is that of hundreds of rows. A row alone waits this long.
		kgo.ProducerLinger(producerLinger),
		kgo.MaxBufferedRecords(50_000),
		kgo.MaxBufferedBytes(64<<20),
	)...)
}
