package cluster

import (
	"strconv"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// The settings of a group of the consumer protocol.
const (
	GroupSessionTimeout    = "consumer.session.timeout.ms"
	GroupHeartbeatInterval = "consumer.heartbeat.interval.ms"
)

// GroupLimits are what the broker's settings say about the settings of groups.
type GroupLimits struct {
	SessionTimeout, MinSessionTimeout, MaxSessionTimeout          time.Duration
	HeartbeatInterval, MinHeartbeatInterval, MaxHeartbeatInterval time.Duration
}

// Defs defines the settings of a group.
func (l GroupLimits) Defs() map[string]ConfigDef {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]ConfigDef{
		GroupSessionTimeout: {Type: Int, Default: ms(l.SessionTimeout), Min: 1, Bounded: true, Synonym: "group.consumer.session.timeout.ms",
			Doc: "After how long without a heartbeat a member of the consumer protocol is removed."},
		GroupHeartbeatInterval: {Type: Int, Default: ms(l.HeartbeatInterval), Min: 1, Bounded: true, Synonym: "group.consumer.heartbeat.interval.ms",
			Doc: "How often members of the consumer protocol send heartbeats."},
	}
}

// Check refuses settings that a group cannot have.
func (l GroupLimits) Check(configs map[string]string) error {
	defs := l.Defs()
	values := map[string]time.Duration{GroupSessionTimeout: l.SessionTimeout, GroupHeartbeatInterval: l.HeartbeatInterval}
	for name, value := range configs {
		if err := defs[name].Check(name, value); err != nil {
			return err
		}
		n, _ := strconv.ParseInt(value, 10, 64) // checked above
		values[name] = time.Duration(n) * time.Millisecond
	}
	for _, b := range []struct {
		name, broker string
		min, max     time.Duration
	}{
		{GroupSessionTimeout, "session.timeout.ms", l.MinSessionTimeout, l.MaxSessionTimeout},
		{GroupHeartbeatInterval, "heartbeat.interval.ms", l.MinHeartbeatInterval, l.MaxHeartbeatInterval},
	} {
		if _, set := configs[b.name]; !set {
			continue
		}
		switch v := values[b.name]; {
		case v < b.min:
			return refuse(errcode.InvalidConfig, "%s must be greater than or equal to group.consumer.min.%s", b.name, b.broker)
		case v > b.max:
			return refuse(errcode.InvalidConfig, "%s must be less than or equal to group.consumer.max.%s", b.name, b.broker)
		}
	}
	if values[GroupSessionTimeout] <= values[GroupHeartbeatInterval] {
		return refuse(errcode.InvalidConfig, "%s must be greater than %s", GroupSessionTimeout, GroupHeartbeatInterval)
	}
	return nil
}
