package broker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
)

// consumerDefaults fills in the settings of groups of the consumer protocol.
func (c *Config) consumerDefaults() {
	setDefault(&c.GroupConsumerSessionTimeout, 45*time.Second)
	setDefault(&c.GroupConsumerMinSessionTimeout, min(45*time.Second, c.GroupConsumerSessionTimeout))
	setDefault(&c.GroupConsumerMaxSessionTimeout, max(60*time.Second, c.GroupConsumerSessionTimeout))
	setDefault(&c.GroupConsumerHeartbeatInterval, 5*time.Second)
	setDefault(&c.GroupConsumerMinHeartbeatInterval, min(5*time.Second, c.GroupConsumerHeartbeatInterval))
	setDefault(&c.GroupConsumerMaxHeartbeatInterval, max(15*time.Second, c.GroupConsumerHeartbeatInterval))
	setDefault(&c.GroupConsumerMaxSize, c.GroupMaxSize)
	setDefault(&c.GroupConsumerMigrationPolicy, "bidirectional")
	if len(c.GroupConsumerAssignors) == 0 {
		for _, a := range consumergroup.Assignors {
			c.GroupConsumerAssignors = append(c.GroupConsumerAssignors, a.Name)
		}
	}
}

var migrationPolicies = []string{"bidirectional", "upgrade", "downgrade", "disabled"}

func (c Config) validateConsumer() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, b := range []struct {
		name, setting   string
		min, value, max time.Duration
	}{
		{"GroupConsumerSessionTimeout", "session.timeout.ms", c.GroupConsumerMinSessionTimeout, c.GroupConsumerSessionTimeout, c.GroupConsumerMaxSessionTimeout},
		{"GroupConsumerHeartbeatInterval", "heartbeat.interval.ms", c.GroupConsumerMinHeartbeatInterval, c.GroupConsumerHeartbeatInterval, c.GroupConsumerMaxHeartbeatInterval},
	} {
		if b.min <= 0 || b.value < b.min || b.value > b.max {
			bad("%s (group.consumer.%[2]s) is %[3]s: it must be between %[4]s (group.consumer.min.%[2]s) and %[5]s (group.consumer.max.%[2]s)", b.name, b.setting, b.value, b.min, b.max)
		}
	}
	if c.GroupConsumerHeartbeatInterval >= c.GroupConsumerSessionTimeout {
		bad("GroupConsumerHeartbeatInterval (group.consumer.heartbeat.interval.ms) is %s: it must be below GroupConsumerSessionTimeout (group.consumer.session.timeout.ms), %s", c.GroupConsumerHeartbeatInterval, c.GroupConsumerSessionTimeout)
	}
	if c.GroupConsumerMaxSize < 1 {
		bad("GroupConsumerMaxSize (group.consumer.max.size) is %d: it must be positive", c.GroupConsumerMaxSize)
	}
	if !slices.Contains(migrationPolicies, c.GroupConsumerMigrationPolicy) {
		bad("GroupConsumerMigrationPolicy (group.consumer.migration.policy) %q is unknown: %s", c.GroupConsumerMigrationPolicy, strings.Join(migrationPolicies, ", "))
	}
	for _, name := range c.GroupConsumerAssignors {
		if _, ok := assignor(name); !ok {
			bad("GroupConsumerAssignors: %q is unknown: uniform or range", name)
		}
	}
	return errs
}

func assignor(name string) (consumergroup.Assignor, bool) {
	i := slices.IndexFunc(consumergroup.Assignors, func(a consumergroup.Assignor) bool { return a.Name == name })
	if i < 0 {
		return consumergroup.Assignor{}, false
	}
	return consumergroup.Assignors[i], true
}

// consumerGroups are the settings of consumer groups for the coordinator.
func (c Config) consumerGroups() consumergroup.Config {
	out := consumergroup.Config{
		MaxSize: c.GroupConsumerMaxSize, ClassicMaxSize: c.GroupMaxSize, NewID: randomID,
		MinSessionTimeout: c.GroupMinSessionTimeout, MaxSessionTimeout: c.GroupMaxSessionTimeout,
		Upgrade:   slices.Contains([]string{"bidirectional", "upgrade"}, c.GroupConsumerMigrationPolicy),
		Downgrade: slices.Contains([]string{"bidirectional", "downgrade"}, c.GroupConsumerMigrationPolicy),
	}
	for _, name := range c.GroupConsumerAssignors {
		if a, ok := assignor(name); ok {
			out.Assignors = append(out.Assignors, a)
		}
	}
	return out
}

// groupLimits are what the settings of single groups have to keep to.
func (c Config) groupLimits() cluster.GroupLimits {
	return cluster.GroupLimits{
		SessionTimeout: c.GroupConsumerSessionTimeout, MinSessionTimeout: c.GroupConsumerMinSessionTimeout, MaxSessionTimeout: c.GroupConsumerMaxSessionTimeout,
		HeartbeatInterval: c.GroupConsumerHeartbeatInterval, MinHeartbeatInterval: c.GroupConsumerMinHeartbeatInterval, MaxHeartbeatInterval: c.GroupConsumerMaxHeartbeatInterval,
	}
}
