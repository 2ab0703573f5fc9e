package consume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
)

// Consumer is a member of a consumer group. Register handlers with On, OnRecord,
// OnMessage, OnBatch and OnEventBatch, then call Run once.
type Consumer struct {
	cfg      Config
	routes   map[string]*route
	reads    map[string]*route // routes, and those of dead-letter topics; set by Run
	untraced map[string]bool
	tracer   trace.Tracer
	metrics  *metrics
	timeout  error // the cause of a handler's context that ended in time
	produce  func(ctx context.Context, r *kgo.Record) error

	// commits lets one offset commit at a time happen; see commit.
	commits sync.Mutex

	mu      sync.Mutex
	joined  bool
	lastErr error
}

// New checks the configuration. It does not connect.
func New(cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Consumer{
		cfg:      cfg,
		routes:   map[string]*route{},
		untraced: map[string]bool{},
		timeout:  fmt.Errorf("handler exceeded %v", cfg.HandlerTimeout),
		tracer:   cfg.Tracer.Tracer("github.com/quokka-stream/quokka/services/kit/consume"),
	}
	for _, t := range cfg.Untraced {
		c.untraced[t] = true
	}
	var err error
	c.metrics, err = newMetrics(cfg.Group, cfg.Metrics)
	return c, err
}

// Topics returns the topics that have handlers, sorted.
func (c *Consumer) Topics() []string { return slices.Sorted(maps.Keys(c.routes)) }

// Ready reports why the consumer is not a working member of its group, nil if it
// is. It is a readiness check.
func (c *Consumer) Ready(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.joined {
		if c.lastErr != nil {
			return fmt.Errorf("group %s not joined: %w", c.cfg.Group, c.lastErr)
		}
		return fmt.Errorf("group %s not joined yet", c.cfg.Group)
	}
	return nil
}

// Run consumes until ctx ends or a handler asks to stop. It then finishes what is
// in flight, within Config.DrainTimeout, commits, and leaves the group. It returns
// nil after ctx ended, else the error that stopped it.
func (c *Consumer) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	c.reads = c.withReplays()
	e := newEngine(c.cfg.Limits, c.cfg.Concurrency, c.cfg.now)
	e.process = c.process
	e.gauges = c.metrics.observe

	client, err := kgo.NewClient(append(c.options(e), c.cfg.ClientOpts...)...)
	if err != nil {
		return fmt.Errorf("consumer of group %s: %w", c.cfg.Group, err)
	}
	c.produce = func(ctx context.Context, r *kgo.Record) error {
		return client.ProduceSync(ctx, r).FirstErr()
	}
	e.pause = func(topic string, partition int32, paused bool) {
		set := map[string][]int32{topic: {partition}}
		if paused {
			client.PauseFetchPartitions(set)
		} else {
			client.ResumeFetchPartitions(set)
		}
	}

	var loop, helpers sync.WaitGroup
	loop.Go(e.run)
	polling, stopPolling := context.WithCancel(ctx)
	helpers.Go(func() { c.poll(polling, client, e) })
	helpers.Go(func() { c.commitLoop(polling, client, e) })

	select {
	case <-ctx.Done():
	case <-e.stopping:
		err = e.stopErr
	}
	stopPolling()
	helpers.Wait()
	// Leaving revokes all partitions, which drains and commits them.
	client.CloseAllowingRebalance()
	close(e.quit)
	loop.Wait()
	c.setJoined(false)
	return err
}

func (c *Consumer) check() error {
	var errs []error
	if len(c.routes) == 0 {
		errs = append(errs, errors.New("no handler is registered"))
	}
	for _, topic := range c.Topics() {
		r := c.routes[topic]
		if r.transactional() && c.cfg.Pool == nil {
			errs = append(errs, fmt.Errorf("handlers of %s need Config.Pool", topic))
		}
		if r.decodes() && c.cfg.Decode == nil {
			errs = append(errs, fmt.Errorf("handlers of %s need Config.Decode", topic))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("consumer of group %s: %w", c.cfg.Group, err)
	}
	return nil
}

func (c *Consumer) options(e *engine) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ConsumerGroup(c.cfg.Group),
		kgo.ConsumeTopics(slices.Sorted(maps.Keys(c.reads))...),
		// A group without offsets begins with the first record: events are not missed.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(int32(min(c.cfg.Limits.Bytes, 8<<20))),
		// A fetch that waits for records keeps a resumed partition waiting too.
		kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.SessionTimeout(c.cfg.SessionTimeout),
		kgo.HeartbeatInterval(c.cfg.SessionTimeout / 4),
		kgo.RebalanceTimeout(max(30*time.Second, 3*c.cfg.DrainTimeout)),
		kgo.DisableAutoCommit(),
		// Callbacks wait while records are between a poll and the engine, which is
		// microseconds: so an assignment never sees records of the one before.
		kgo.BlockRebalanceOnPoll(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			c.metrics.rebalances.WithLabelValues(rebalanceAssigned).Inc()
			e.assign(parts, c.reads)
			c.setJoined(true)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, client *kgo.Client, parts map[string][]int32) {
			if len(parts) > 0 {
				c.metrics.rebalances.WithLabelValues(rebalanceRevoked).Inc()
				c.commit(client, e, func() offsets { return e.revoke(parts, c.cfg.DrainTimeout) })
			}
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			c.metrics.rebalances.WithLabelValues(rebalanceLost).Inc()
			e.lose(parts)
			c.setJoined(false)
		}),
	}
}

func (c *Consumer) setJoined(joined bool) {
	c.mu.Lock()
	c.joined = joined
	if joined {
		c.lastErr = nil
	}
	c.mu.Unlock()
}

// poll hands what is fetched to the engine, whenever that has room.
func (c *Consumer) poll(ctx context.Context, client *kgo.Client, e *engine) {
	for {
		select {
		case <-e.room:
		case <-ctx.Done():
			return
		}
		// All that was fetched: with a limit the client would give one partition's
		// records before the next one's, and few keys would be at work.
		fetches := client.PollFetches(ctx)
		var batches []batch
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if p.Err != nil {
				c.reportFetch(ctx, p.Topic, p.Partition, p.Err)
			}
			if len(p.Records) > 0 {
				batches = append(batches, batch{topic: p.Topic, partition: p.Partition, highWater: p.HighWatermark, records: p.Records})
			}
		})
		e.fetched <- batches
		client.AllowRebalance()
		if ctx.Err() != nil {
			return
		}
	}
}

// reportFetch logs a fetch error. The client keeps trying.
func (c *Consumer) reportFetch(ctx context.Context, topic string, partition int32, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	c.mu.Lock()
	c.lastErr = err
	c.mu.Unlock()
	c.cfg.Logger.WarnContext(ctx, "fetch failed, trying again", "group", c.cfg.Group, "topic", topic, "partition", partition, "error", err)
}

type offsets = map[string]map[int32]kgo.EpochOffset

// commitLoop commits the watermarks that have moved.
func (c *Consumer) commitLoop(ctx context.Context, client *kgo.Client, e *engine) {
	ticker := time.NewTicker(c.cfg.CommitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.commit(client, e, e.progress)
		case <-ctx.Done():
			return
		}
	}
}

// commit stores what read returns as the group's offsets.
//
// The lock makes reading the watermarks and committing them one step, against the
// callback of a revocation: a commit read before the revocation has finished when
// that one commits, and one read after no longer contains the partition. So no
// offset goes backwards, and none is committed for another member's partition.
func (c *Consumer) commit(client *kgo.Client, e *engine, read func() offsets) {
	c.commits.Lock()
	defer c.commits.Unlock()
	set := read()
	if len(set) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := commitSync(ctx, client, set)
	if err != nil {
		// Not lost: the watermark is committed with the next interval, or the records
		// are delivered again and found on the inbox.
		c.metrics.commitErrors.Inc()
		c.cfg.Logger.Debug("offset commit failed", "group", c.cfg.Group, "error", err)
		return
	}
	e.committed(set)
}
