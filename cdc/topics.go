package cdc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas"
)

// topicName makes a topic's name. What Kafka does not allow becomes an
// underscore.
func topicName(prefix, schema, table string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, prefix+"."+schema+"."+table)
}

// ensureTopic creates a table's topic where it is missing, as the platform
// declares it, else with the broker's number of partitions: compacted, because
// the last record of a key is the row, unless there are no keys.
func ensureTopic(ctx context.Context, client *kgo.Client, topic string, keyless bool) error {
	partitions, config := int32(-1), map[string]string{"cleanup.policy": "compact"}
	if keyless {
		config = nil
	}
	if declared, ok := schemas.Lookup(topic); ok {
		partitions, config = declared.Partitions, declared.Config
	}
	configs := map[string]*string{}
	for k, v := range config {
		configs[k] = kadm.StringPtr(v)
	}
	_, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, configs, topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// partitionsOf returns how many partitions a topic has now.
func partitionsOf(ctx context.Context, client *kgo.Client, topic string) (int, error) {
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return 0, err
	}
	d, ok := details[topic]
	if !ok || d.Err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, errors.Join(d.Err, kerr.UnknownTopicOrPartition))
	}
	return len(d.Partitions), nil
}

// partitioner puts records with a key where Kafka's own clients put them, and
// records without one (a truncation's key is empty) where they say.
type partitioner struct{ keyed kgo.Partitioner }

func newPartitioner() kgo.Partitioner { return partitioner{kgo.StickyKeyPartitioner(nil)} }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.keyed.ForTopic(topic)}
}

type topicPartitioner struct{ keyed kgo.TopicPartitioner }

func (topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if len(r.Key) == 0 {
		return int(r.Partition) % n
	}
	return p.keyed.Partition(r, n)
}
