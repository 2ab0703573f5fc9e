package metrics

import (
	"fmt"
	"maps"
	"slices"
)

// groups writes the figures of consumer groups: members, offsets, lag.
func groups(p *page, c Cluster, all []Group, ends map[partitionKey]int64) {
	for _, g := range all {
		stable := 0.0
		if g.State == "Stable" {
			stable = 1
		}
		p.sample("gauge", "kminion_kafka_consumer_group_info", stable, "group_id", g.ID, "member_count", fmt.Sprint(g.Members), "protocol", g.Protocol,
			"protocol_type", g.Type, "state", g.State, "coordinator_id", fmt.Sprint(c.NodeID))
	}
	each := func(typ, name, label string, f func(Group) int64) {
		for _, g := range all {
			p.sample(typ, name, float64(f(g)), label, g.ID)
		}
	}
	members := func(g Group) int64 { return int64(g.Members) }
	each("gauge", "kminion_kafka_consumer_group_members", "group_id", members)
	each("gauge", "kafka_consumergroup_members", "consumergroup", members)
	each("gauge", "kminion_kafka_consumer_group_empty_members", "group_id", func(g Group) int64 { return int64(g.Idle) })
	each("counter", "kminion_kafka_consumer_group_offset_commits_total", "group_id", func(g Group) int64 { return g.Commits })
	assigned := func(name string, f func(Assigned) int) {
		for _, g := range all {
			for _, topic := range slices.Sorted(maps.Keys(g.Assigned)) {
				p.sample("gauge", name, float64(f(g.Assigned[topic])), "group_id", g.ID, "topic_name", topic)
			}
		}
	}
	assigned("kminion_kafka_consumer_group_topic_members", func(a Assigned) int { return a.Members })
	assigned("kminion_kafka_consumer_group_topic_assigned_partitions", func(a Assigned) int { return a.Partitions })
	committed(p, all, ends)
}

// committed writes what groups have committed, and how far that is behind.
func committed(p *page, all []Group, ends map[partitionKey]int64) {
	lag := func(o Offset) int64 {
		end, ok := ends[partitionKey{o.Topic, o.Partition}]
		if !ok {
			return 0
		}
		return max(end-o.Offset, 0)
	}
	offset := func(o Offset) int64 { return o.Offset }
	each := func(name, group, topic, partition string, f func(Offset) int64) {
		for _, g := range all {
			for _, o := range g.Offsets {
				p.sample("gauge", name, float64(f(o)), group, g.ID, topic, o.Topic, partition, fmt.Sprint(o.Partition))
			}
		}
	}
	each("kminion_kafka_consumer_group_topic_partition_lag", "group_id", "topic_name", "partition_id", lag)
	each("kafka_consumergroup_lag", "consumergroup", "topic", "partition", lag)
	each("kafka_consumergroup_current_offset", "consumergroup", "topic", "partition", offset)
	sums := func(name, group, topic string, f func(Offset) int64) {
		for _, g := range all {
			sum := map[string]int64{}
			for _, o := range g.Offsets {
				sum[o.Topic] += f(o)
			}
			for _, t := range slices.Sorted(maps.Keys(sum)) {
				p.sample("gauge", name, float64(sum[t]), group, g.ID, topic, t)
			}
		}
	}
	sums("kminion_kafka_consumer_group_topic_lag", "group_id", "topic_name", lag)
	sums("kminion_kafka_consumer_group_topic_offset_sum", "group_id", "topic_name", offset)
	sums("kafka_consumergroup_lag_sum", "consumergroup", "topic", lag)
	sums("kafka_consumergroup_current_offset_sum", "consumergroup", "topic", offset)
}
