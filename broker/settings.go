package broker

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// field ties a field of Config to the setting of the same meaning.
type field struct {
	name  string
	unset func(*Config) bool
	set   func(*Config, string) error // the value has been checked by the setting's definition
	get   func(*Config) string
}

func textField[T ~string](name string, at func(*Config) *T) field {
	return field{name,
		func(c *Config) bool { return *at(c) == "" },
		func(c *Config, v string) error { *at(c) = T(v); return nil },
		func(c *Config) string { return string(*at(c)) },
	}
}

// lowerField is a textField whose values are words, in capital letters or not.
func lowerField(name string, at func(*Config) *string) field {
	f := textField(name, at)
	f.set = func(c *Config, v string) error { *at(c) = strings.ToLower(v); return nil }
	return f
}

func numberField[T int | int32 | int64](name string, at func(*Config) *T) field {
	return field{name,
		func(c *Config) bool { return *at(c) == 0 },
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			*at(c) = T(n)
			return err
		},
		func(c *Config) string { return strconv.FormatInt(int64(*at(c)), 10) },
	}
}

func timeField(name string, unit time.Duration, at func(*Config) *time.Duration) field {
	return field{name,
		func(c *Config) bool { return *at(c) == 0 },
		func(c *Config, v string) error {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			*at(c) = times(n, unit)
			return err
		},
		func(c *Config) string { return strconv.FormatInt(int64(*at(c)/unit), 10) },
	}
}

// times is n times unit. What is more than can be counted, 292 years, is that.
func times(n int64, unit time.Duration) time.Duration {
	most := math.MaxInt64 / int64(unit)
	switch {
	case n > most:
		return math.MaxInt64
	case n < -most:
		return math.MinInt64
	}
	return time.Duration(n) * unit
}

func boolField(name string, at func(*Config) *bool, inverse bool) field {
	return field{name,
		func(c *Config) bool { return !*at(c) },
		func(c *Config, v string) error { *at(c) = isTrue(v) != inverse; return nil },
		func(c *Config) string { return strconv.FormatBool(*at(c) != inverse) },
	}
}

func listField(name, separator string, at func(*Config) *[]string) field {
	return field{name,
		func(c *Config) bool { return len(*at(c)) == 0 },
		func(c *Config, v string) error {
			*at(c) = nil
			for e := range strings.SplitSeq(v, separator) {
				if e = strings.TrimSpace(e); e != "" {
					*at(c) = append(*at(c), e)
				}
			}
			return nil
		},
		func(c *Config) string { return strings.Join(*at(c), separator) },
	}
}

func isTrue(v string) bool { return strings.EqualFold(strings.TrimSpace(v), "true") }

// fields are all fields of Config that have a setting; where a field has two, the
// first that is given counts. A setting without a field is
// read where it takes effect, or has none.
var fields = []field{
	textField("log.dirs", func(c *Config) *string { return &c.DataDir }),
	textField("log.dir", func(c *Config) *string { return &c.DataDir }),
	numberField("node.id", func(c *Config) *int32 { return &c.NodeID }),
	numberField("broker.id", func(c *Config) *int32 { return &c.NodeID }),
	textField("quokka.listen", func(c *Config) *string { return &c.Listen }),
	textField("quokka.advertise", func(c *Config) *string { return &c.Advertise }),
	boolField("quokka.sasl", func(c *Config) *bool { return &c.SASL }, false),
	textField("broker.rack", func(c *Config) *string { return &c.Rack }),
	textField("quokka.cluster.id", func(c *Config) *string { return &c.ClusterID }),
	textField("quokka.flush", func(c *Config) *FlushPolicy { return &c.Flush }),
	timeField("quokka.flush.interval.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.FlushEvery }),
	numberField("quokka.disk.reserve.bytes", func(c *Config) *int64 { return &c.DiskReserve }),
	numberField("quokka.scrub.bytes.per.second", func(c *Config) *int64 { return &c.ScrubRate }),
	boolField("quokka.allow.remote", func(c *Config) *bool { return &c.AllowRemote }, false),
	boolField("quokka.replication.factor.clamp", func(c *Config) *bool { return &c.ClampReplicationFactor }, false),
	listField("super.users", ";", func(c *Config) *[]string { return &c.SuperUsers }),
	numberField("num.partitions", func(c *Config) *int { return &c.DefaultPartitions }),
	boolField("auto.create.topics.enable", func(c *Config) *bool { return &c.DisableAutoCreateTopics }, true),
	numberField("offsets.topic.num.partitions", func(c *Config) *int { return &c.OffsetsPartitions }),
	timeField("offsets.retention.minutes", time.Minute, func(c *Config) *time.Duration { return &c.OffsetsRetention }),
	numberField("transaction.state.log.num.partitions", func(c *Config) *int { return &c.TransactionsPartitions }),
	timeField("transaction.max.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.TransactionMaxTimeout }),
	timeField("transactional.id.expiration.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.TransactionalIDExpiration }),
	timeField("producer.id.expiration.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.ProducerIDExpiration }),
	timeField("group.initial.rebalance.delay.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupInitialRebalanceDelay }),
	timeField("group.min.session.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupMinSessionTimeout }),
	timeField("group.max.session.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupMaxSessionTimeout }),
	numberField("group.max.size", func(c *Config) *int { return &c.GroupMaxSize }),
	timeField("group.consumer.session.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerSessionTimeout }),
	timeField("group.consumer.min.session.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerMinSessionTimeout }),
	timeField("group.consumer.max.session.timeout.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerMaxSessionTimeout }),
	timeField("group.consumer.heartbeat.interval.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerHeartbeatInterval }),
	timeField("group.consumer.min.heartbeat.interval.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerMinHeartbeatInterval }),
	timeField("group.consumer.max.heartbeat.interval.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.GroupConsumerMaxHeartbeatInterval }),
	numberField("group.consumer.max.size", func(c *Config) *int { return &c.GroupConsumerMaxSize }),
	listField("group.consumer.assignors", ",", func(c *Config) *[]string { return &c.GroupConsumerAssignors }),
	lowerField("group.consumer.migration.policy", func(c *Config) *string { return &c.GroupConsumerMigrationPolicy }),
	numberField("max.connections", func(c *Config) *int { return &c.MaxConnections }),
	timeField("connections.max.idle.ms", time.Millisecond, func(c *Config) *time.Duration { return &c.ConnectionIdleTimeout }),
	numberField("socket.request.max.bytes", func(c *Config) *int { return &c.MaxProduceBytes }),
	numberField("quokka.request.max.bytes", func(c *Config) *int { return &c.MaxRequestBytes }),
	numberField("fetch.max.bytes", func(c *Config) *int { return &c.MaxFetchBytes }),
	numberField("quokka.max.partitions", func(c *Config) *int { return &c.MaxPartitions }),
	numberField("quokka.max.topic.partitions", func(c *Config) *int { return &c.MaxTopicPartitions }),
}

// withSettings returns c with the fields that are not set taken from Settings. Which
// ones these were is in c.given.
func (c Config) withSettings() (Config, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		def, _, ok := cluster.FindBrokerConfig(name)
		if !ok {
			errs = append(errs, fmt.Errorf("unknown setting %q%s", name, cluster.DidYouMean(name)))
		} else if err := def.Check(name, c.Settings[name]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return c, errors.Join(errs...)
	}
	if dirs := cluster.SplitList(c.Settings["log.dirs"]); len(dirs) > 1 {
		return c, fmt.Errorf("log.dirs has %d directories: this broker keeps everything in one", len(dirs))
	}
	c.given = nil
	for _, f := range fields {
		if strings.TrimSpace(c.Settings[f.name]) != "" && f.unset(&c) {
			c.given = append(c.given, f)
		}
	}
	if err := c.setGiven(); err != nil {
		return c, err
	}
	if node, id := c.Settings["node.id"], c.Settings["broker.id"]; node != "" && id != "" && strings.TrimSpace(node) != strings.TrimSpace(id) {
		return c, fmt.Errorf("node.id is %s and broker.id is %s: both are this broker's id; leave broker.id out", node, id)
	}
	if err := c.usersFromSettings(); err != nil {
		return c, err
	}
	return c, c.listenersFromSettings()
}

// setGiven sets the fields that Settings give.
func (c *Config) setGiven() error {
	for _, f := range slices.Backward(c.given) {
		if err := f.set(c, c.Settings[f.name]); err != nil {
			return fmt.Errorf("setting %s: %w", f.name, err)
		}
	}
	return nil
}

// static are the settings that the broker was started with, whether they were given
// by name or by a field: those that differ from the default, by name.
func (b *Broker) static() map[string]string {
	out := maps.Clone(b.cfg.Settings)
	if out == nil {
		out = map[string]string{}
	}
	for _, f := range fields {
		if v := f.get(&b.cfg); v != cluster.BrokerConfigs()[f.name].Default || out[f.name] != "" {
			out[f.name] = v
		}
	}
	for _, f := range b.cfg.given {
		out[f.name] = strings.TrimSpace(b.cfg.Settings[f.name]) // also where another one counts
	}
	out["listeners"] = listenersText(b.cfg.Listeners, func(l *Listener) string {
		if l.Listener != nil {
			return l.Listener.Addr().String()
		}
		return l.Listen
	})
	out["advertised.listeners"] = listenersText(b.cfg.Listeners, func(l *Listener) string { return l.Advertise })
	if out["advertised.listeners"] == "" {
		delete(out, "advertised.listeners")
	}
	out["listener.security.protocol.map"] = protocolMap(b.cfg.Listeners)
	return out
}
