package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of the records that this registry writes. Others ignore headers.
const (
	headerWriter = "quokka.writer"
	headerBase   = "quokka.base"
)

// kafkaLog is the topic in Kafka.
type kafkaLog struct {
	topic    string
	brokers  string
	cluster  string // id
	reader   *kgo.Client
	producer *kgo.Client
	admin    *kadm.Client
	// pending is closed when an append that was given up on has ended; what
	// comes next waits for it, so that no decision is taken while a write may
	// still arrive.
	pending chan struct{}
}

// openKafka connects, and creates the topic or checks it.
func openKafka(ctx context.Context, cfg Config) (*kafkaLog, error) {
	l := &kafkaLog{topic: cfg.Topic, brokers: strings.Join(cfg.Brokers, ",")}
	common := append([]kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("quokka-registry"),
		kgo.WithLogger(kafkaLogger{cfg.Logger}),
		kgo.MetadataMinAge(100 * time.Millisecond),
	}, cfg.ClientOpts...)
	var err error
	if l.producer, err = kgo.NewClient(append(common,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ManualFlushing(),
		kgo.RecordDeliveryTimeout(cfg.Timeout),
	)...); err != nil {
		return nil, fmt.Errorf("registry: Kafka client: %w", err)
	}
	l.admin = kadm.NewClient(l.producer)
	if err := l.ensureTopic(ctx); err != nil {
		l.close()
		return nil, err
	}
	if l.reader, err = kgo.NewClient(append(common,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(500*time.Millisecond),
	)...); err != nil {
		l.close()
		return nil, fmt.Errorf("registry: Kafka client: %w", err)
	}
	return l, nil
}

// ensureTopic creates the topic, or refuses one in which schemas would be lost:
// Kafka would delete them after the retention time.
func (l *kafkaLog) ensureTopic(ctx context.Context) error {
	meta, err := l.admin.Metadata(ctx, l.topic)
	topics := meta.Topics
	l.cluster = meta.Cluster
	if err != nil {
		return fmt.Errorf("registry: no answer from Kafka at %s: %w", l.brokers, err)
	}
	if !topics.Has(l.topic) {
		compact := "compact"
		resp, err := l.admin.CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, l.topic)
		if err == nil {
			err = resp.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("registry: cannot create topic %s at %s: %w", l.topic, l.brokers, err)
		}
		if topics, err = l.awaitTopic(ctx); err != nil {
			return err
		}
	}
	if n := len(topics[l.topic].Partitions); n != 1 {
		return fmt.Errorf("registry: topic %s has %d partitions, but the order of schemas needs exactly 1: name another topic, or move its records to a topic with one partition", l.topic, n)
	}
	configs, err := l.admin.DescribeTopicConfigs(ctx, l.topic)
	if err != nil {
		return fmt.Errorf("registry: cannot read the configuration of topic %s: %w", l.topic, err)
	}
	config, err := configs.On(l.topic, nil)
	if err == nil {
		err = config.Err
	}
	if err != nil {
		return fmt.Errorf("registry: cannot read the configuration of topic %s: %w", l.topic, err)
	}
	policy := "delete"
	for _, c := range config.Configs {
		if c.Key == "cleanup.policy" {
			policy = c.MaybeValue()
		}
	}
	if policy != "compact" {
		return fmt.Errorf("registry: topic %s has cleanup.policy=%s, with which Kafka deletes schemas: run kafka-configs --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact", l.topic, policy, l.topic)
	}
	return nil
}

// awaitTopic waits until a topic just created is known.
func (l *kafkaLog) awaitTopic(ctx context.Context) (kadm.TopicDetails, error) {
	for {
		topics, err := l.admin.ListTopics(ctx, l.topic)
		if err == nil && topics.Has(l.topic) {
			return topics, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("registry: topic %s was created but does not appear: %w", l.topic, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *kafkaLog) read(ctx context.Context) ([]logRecord, error) {
	fetches := l.reader.PollFetches(ctx)
	var out []logRecord
	fetches.EachRecord(func(r *kgo.Record) {
		rec := logRecord{
			offset: r.Offset, timestamp: r.Timestamp.UnixMilli(), key: r.Key, value: r.Value, control: r.Attrs.IsControl(),
		}
		for _, h := range r.Headers {
			switch h.Key {
			case headerWriter:
				rec.writer = string(h.Value)
			case headerBase:
				if base, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
					rec.base = base
				}
			}
		}
		out = append(out, rec)
	})
	return out, fetches.Err()
}

func (l *kafkaLog) end(ctx context.Context) (int64, error) {
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	return l.ping(ctx)
}

func (l *kafkaLog) ping(ctx context.Context) (int64, error) {
	offsets, err := l.admin.ListCommittedOffsets(ctx, l.topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking Kafka for the end of topic %s: %w", l.topic, err)
	}
	o, ok := offsets.Lookup(l.topic, 0)
	if !ok {
		return 0, fmt.Errorf("kafka does not know the end of topic %s", l.topic)
	}
	return o.Offset, nil
}

// settle waits for the outcome of an append that was given up on.
func (l *kafkaLog) settle(ctx context.Context) error {
	if l.pending == nil {
		return nil
	}
	select {
	case <-l.pending:
		l.pending = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an earlier write has no outcome yet: %w", ctx.Err())
	}
}

func (l *kafkaLog) append(ctx context.Context, records []logRecord) (int64, error) {
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	type outcome struct {
		next int64
		err  error
	}
	done := make(chan outcome, 1)
	pending := make(chan struct{})
	// The records' own deadline is RecordDeliveryTimeout: a cancelled request
	// must not leave half a batch behind.
	var (
		mu     sync.Mutex
		result outcome
		left   = len(records)
	)
	for _, r := range records {
		l.producer.Produce(context.WithoutCancel(ctx), &kgo.Record{
			Topic: l.topic, Key: r.key, Value: r.value,
			Headers: []kgo.RecordHeader{
				{Key: headerWriter, Value: []byte(r.writer)},
				{Key: headerBase, Value: strconv.AppendInt(nil, r.base, 10)},
			},
		}, func(r *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				result.err = errors.Join(result.err, err)
			} else {
				result.next = max(result.next, r.Offset+1)
			}
			if left--; left == 0 {
				done <- result
				close(pending)
			}
		})
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		_ = l.producer.Flush(context.WithoutCancel(ctx))
	}()
	select {
	case r := <-done:
		<-flushed
		if errors.Is(r.err, kerr.MessageTooLarge) || errors.Is(r.err, kerr.RecordListTooLarge) {
			return 0, fmt.Errorf("writing to topic %s: %w: %w", l.topic, errTooLarge, r.err)
		}
		if r.err != nil {
			return 0, fmt.Errorf("writing to topic %s: %w", l.topic, r.err)
		}
		return r.next, nil
	case <-ctx.Done():
		l.pending = pending
		return 0, fmt.Errorf("writing to topic %s: %w: %w", l.topic, errUnknown, ctx.Err())
	}
}

func (l *kafkaLog) close() {
	if l.reader != nil {
		l.reader.Close()
	}
	if l.producer != nil {
		l.producer.Close()
	}
}

// kafkaLogger passes the client's warnings on.
type kafkaLogger struct{ logger *slog.Logger }

func (l kafkaLogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l kafkaLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	if level == kgo.LogLevelError {
		l.logger.Error("kafka: "+msg, keyvals...)
		return
	}
	l.logger.Warn("kafka: "+msg, keyvals...)
}
