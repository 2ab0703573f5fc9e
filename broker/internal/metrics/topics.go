package metrics

import (
	"fmt"
	"net"
)

// cluster writes the figures of the cluster and of its one broker.
func cluster(p *page, c Cluster) {
	node, port := fmt.Sprint(c.NodeID), fmt.Sprint(c.Port)
	p.sample("gauge", "kminion_exporter_up", 1, "version", "")
	p.sample("gauge", "kminion_kafka_cluster_info", 1, "broker_count", "1", "cluster_id", c.ID, "cluster_version", "v4.1", "controller_id", node)
	p.sample("gauge", "kminion_kafka_broker_info", 1, "broker_id", node, "address", c.Host, "port", port, "rack_id", c.Rack, "is_controller", "true")
	p.sample("gauge", "kafka_brokers", 1)
	p.sample("gauge", "kafka_broker_info", 1, "id", node, "address", net.JoinHostPort(c.Host, port))
}

type partitionKey struct {
	topic string
	index int32
}

// topics writes the figures of topics and returns where their partitions end. All
// samples of a family must be together.
func topics(p *page, c Cluster, all []Topic) map[partitionKey]int64 {
	ends := map[partitionKey]int64{}
	for _, t := range all {
		p.sample("gauge", "kminion_kafka_topic_info", 1, "topic_name", t.Name, "partition_count", fmt.Sprint(t.Partitions),
			"replication_factor", "1", "cleanup_policy", t.CleanupPolicy)
	}
	for _, t := range all {
		p.sample("gauge", "kafka_topic_partitions", float64(t.Partitions), "topic", t.Name)
	}
	each := func(name, topicLabel, partitionLabel string, f func(Partition) int64) {
		for _, t := range all {
			for _, part := range t.Open {
				p.sample("gauge", name, float64(f(part)), topicLabel, t.Name, partitionLabel, fmt.Sprint(part.Index))
			}
		}
	}
	start, end, size := func(p Partition) int64 { return p.Start }, func(p Partition) int64 { return p.End }, func(p Partition) int64 { return p.Size }
	each("kminion_kafka_topic_partition_high_water_mark", "topic_name", "partition_id", end)
	each("kminion_kafka_topic_partition_low_water_mark", "topic_name", "partition_id", start)
	each("kafka_topic_partition_current_offset", "topic", "partition", end)
	each("kafka_topic_partition_oldest_offset", "topic", "partition", start)
	each("kafka_log_log_size", "topic", "partition", size)
	sums := func(name string, f func(Partition) int64) (total int64) {
		for _, t := range all {
			sum := int64(0)
			for _, part := range t.Open {
				sum += f(part)
			}
			if len(t.Open) > 0 {
				p.sample("gauge", name, float64(sum), "topic_name", t.Name)
			}
			total += sum
		}
		return total
	}
	sums("kminion_kafka_topic_high_water_mark_sum", end)
	sums("kminion_kafka_topic_low_water_mark_sum", start)
	total := sums("kminion_kafka_topic_log_dir_size_total_bytes", size)
	p.sample("gauge", "kminion_kafka_broker_log_dir_size_total_bytes", float64(total), "broker_id", fmt.Sprint(c.NodeID), "address", c.Host, "port", fmt.Sprint(c.Port), "rack_id", c.Rack)
	replicas(p, c, all)
	for _, t := range all {
		for _, part := range t.Open {
			ends[partitionKey{t.Name, part.Index}] = part.End
		}
	}
	return ends
}

// replicas writes where partitions are: one replica each, here, the leader.
func replicas(p *page, c Cluster, all []Topic) {
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"kafka_topic_partition_leader", float64(c.NodeID)}, {"kafka_topic_partition_replicas", 1}, {"kafka_topic_partition_in_sync_replica", 1},
		{"kafka_topic_partition_leader_is_preferred", 1}, {"kafka_topic_partition_under_replicated_partition", 0},
	} {
		for _, t := range all {
			for index := range t.Partitions {
				p.sample("gauge", f.name, f.value, "topic", t.Name, "partition", fmt.Sprint(index))
			}
		}
	}
}
