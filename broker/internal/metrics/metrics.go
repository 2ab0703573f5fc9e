// Package metrics serves what the broker knows about itself in Prometheus' text
// format: under the names of kminion and kafka_exporter, so that their dashboards
// show this broker without either of them, and under kafka_server_* for requests.
package metrics

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/quota"
	"github.com/quokka-stream/quokka/broker/internal/server"
	"github.com/quokka-stream/quokka/broker/internal/topics"
)

// Sources is where figures come from when they are asked for.
type Sources struct {
	Cluster *cluster.Cluster
	Topics  *topics.Manager
	Groups  *coordinator.Groups
	NodeID  int32
	// Commits counts the rounds that made records durable.
	Commits func() commitlog.Stats
	// ReadOnly is why the data directory takes no more writes, or nil.
	ReadOnly func() error
	// DiskFull says that producers are refused for lack of space; nil = never.
	DiskFull func() bool
	// Hits counts how often limits were reached, Throttled how often, and for how long
	// together, clients were held back by quotas.
	Hits      *limit.Hits
	Throttled func(quota.Kind) (count int64, total time.Duration)
	// DecodeMemory is what requests being decoded take, FetchSessions how many there are.
	DecodeMemory  func() int64
	FetchSessions func() int
}

// Metrics counts requests and serves everything.
type Metrics struct {
	src       Sources
	listeners atomic.Pointer[func() []server.Stats]
	requests  [kmsg.MaxKey + 1]request
}

// request are the figures of one request key.
type request struct {
	count, in, out atomic.Int64
	buckets        [len(bounds) + 1]atomic.Int64
	nanos          atomic.Int64
}

// bounds are the upper bounds of the duration buckets, in seconds.
var bounds = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}

// New returns metrics over the sources.
func New(src Sources) *Metrics { return &Metrics{src: src} }

// Listeners sets where the figures of listeners come from.
func (m *Metrics) Listeners(f func() []server.Stats) { m.listeners.Store(&f) }

// Request counts an answered request.
func (m *Metrics) Request(key int16, took time.Duration, in, out int) {
	if key < 0 || int(key) >= len(m.requests) {
		return
	}
	r := &m.requests[key]
	r.count.Add(1)
	r.in.Add(int64(in))
	r.out.Add(int64(out))
	r.nanos.Add(int64(took))
	r.buckets[sort.SearchFloat64s(bounds[:], took.Seconds())].Add(1)
}

// page is one exposition being written.
type page struct {
	*bufio.Writer
	typed map[string]bool
}

// sample writes one sample; labels are pairs of name and value.
func (p *page) sample(typ, name string, value float64, labels ...string) {
	family := name
	if typ == "histogram" {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			family = strings.TrimSuffix(family, suffix)
		}
	}
	if !p.typed[family] {
		p.typed[family] = true
		fmt.Fprintf(p, "# HELP %s %s\n", family, help[family])
		fmt.Fprintf(p, "# TYPE %s %s\n", family, typ)
	}
	_, _ = p.WriteString(name) // a reader that has gone shows at the flush
	for i := 0; i < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		_ = p.WriteByte(sep)
		fmt.Fprintf(p, "%s=\"%s\"", labels[i], escape.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		_ = p.WriteByte('}')
	}
	fmt.Fprintf(p, " %v\n", value)
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// ServeHTTP implements http.Handler.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	p := &page{bufio.NewWriter(w), map[string]bool{}}
	img := m.src.Cluster.Image()
	m.cluster(p, img)
	marks := m.topics(p, img)
	m.groups(r.Context(), p, marks)
	m.requestFigures(p)
	m.commits(p)
	m.storage(p)
	m.limits(p)
	_ = p.Flush() // the scraper may have gone
}

func (m *Metrics) cluster(p *page, img *cluster.Image) {
	node := fmt.Sprint(m.src.NodeID)
	p.sample("gauge", "kminion_kafka_cluster_info", 1, "broker_count", "1", "cluster_id", img.ClusterID, "cluster_version", "v4.1", "controller_id", node)
	p.sample("gauge", "kminion_kafka_broker_info", 1, "broker_id", node, "is_controller", "true")
	p.sample("gauge", "kafka_brokers", 1)
	if f := m.listeners.Load(); f != nil {
		connections(p, (*f)())
	}
}

type partitionKey struct {
	topic string
	index int32
}

// topics writes the figures of topics and returns the high watermarks. All
// samples of a family must be together, so partitions are collected first.
func (m *Metrics) topics(p *page, img *cluster.Image) map[partitionKey]int64 {
	type row struct {
		topic, index string
		partition.Offsets
		size int64
	}
	var rows []row
	marks := map[partitionKey]int64{}
	sums := map[string]partition.Offsets{}
	sizes := map[string]int64{}
	var total int64
	m.src.Topics.Opened(func(t *cluster.Topic, index int32, part *partition.Partition) {
		r := row{t.Name, fmt.Sprint(index), part.Offsets(), part.Size()}
		rows = append(rows, r)
		marks[partitionKey{t.Name, index}] = r.HighWatermark
		s := sums[t.Name]
		s.HighWatermark += r.HighWatermark
		s.LogStart += r.LogStart
		sums[t.Name] = s
		sizes[t.Name] += r.size
		total += r.size
	})
	for name, t := range img.Topics() {
		p.sample("gauge", "kminion_kafka_topic_info", 1, "topic_name", name, "partition_count", fmt.Sprint(t.Partitions()),
			"replication_factor", "1", "cleanup_policy", img.Config(t, "cleanup.policy"))
	}
	for name, t := range img.Topics() {
		p.sample("gauge", "kafka_topic_partitions", float64(t.Partitions()), "topic", name)
	}
	each := func(name, topicLabel, partitionLabel string, f func(row) float64) {
		for _, r := range rows {
			p.sample("gauge", name, f(r), topicLabel, r.topic, partitionLabel, r.index)
		}
	}
	each("kminion_kafka_topic_partition_high_water_mark", "topic_name", "partition_id", func(r row) float64 { return float64(r.HighWatermark) })
	each("kminion_kafka_topic_partition_low_water_mark", "topic_name", "partition_id", func(r row) float64 { return float64(r.LogStart) })
	each("kafka_topic_partition_current_offset", "topic", "partition", func(r row) float64 { return float64(r.HighWatermark) })
	each("kafka_topic_partition_oldest_offset", "topic", "partition", func(r row) float64 { return float64(r.LogStart) })
	each("kafka_log_log_size", "topic", "partition", func(r row) float64 { return float64(r.size) })
	for name, s := range sums {
		p.sample("gauge", "kminion_kafka_topic_high_water_mark_sum", float64(s.HighWatermark), "topic_name", name)
	}
	for name, s := range sums {
		p.sample("gauge", "kminion_kafka_topic_low_water_mark_sum", float64(s.LogStart), "topic_name", name)
	}
	for name, size := range sizes {
		p.sample("gauge", "kminion_kafka_topic_log_dir_size_total_bytes", float64(size), "topic_name", name)
	}
	p.sample("gauge", "kminion_kafka_broker_log_dir_size_total_bytes", float64(total), "broker_id", fmt.Sprint(m.src.NodeID))
	return marks
}

// groups writes the figures of consumer groups: members, offsets, lag.
func (m *Metrics) groups(ctx context.Context, p *page, marks map[partitionKey]int64) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	type lag struct {
		group, topic, index string
		offset, behind      int64
	}
	var lags []lag
	var groups []coordinator.Overview
	m.src.Groups.Overview(ctx, func(o coordinator.Overview) {
		groups = append(groups, o)
		for _, c := range o.Offsets {
			l := lag{o.ID, c.Topic, fmt.Sprint(c.Partition), c.Offset.Offset, 0}
			if high, ok := marks[partitionKey{c.Topic, c.Partition}]; ok {
				l.behind = max(high-c.Offset.Offset, 0)
			}
			lags = append(lags, l)
		}
	})
	for _, g := range groups {
		p.sample("gauge", "kminion_kafka_consumer_group_info", 1, "group_id", g.ID, "protocol_type", g.ProtocolType, "state", g.State, "coordinator_id", fmt.Sprint(m.src.NodeID))
	}
	for _, g := range groups {
		p.sample("gauge", "kminion_kafka_consumer_group_members", float64(g.Members), "group_id", g.ID)
	}
	for _, g := range groups {
		p.sample("gauge", "kafka_consumergroup_members", float64(g.Members), "consumergroup", g.ID)
	}
	for _, l := range lags {
		p.sample("gauge", "kminion_kafka_consumer_group_topic_partition_lag", float64(l.behind), "group_id", l.group, "topic_name", l.topic, "partition_id", l.index)
	}
	for _, l := range lags {
		p.sample("gauge", "kafka_consumergroup_lag", float64(l.behind), "consumergroup", l.group, "topic", l.topic, "partition", l.index)
	}
	for _, l := range lags {
		p.sample("gauge", "kafka_consumergroup_current_offset", float64(l.offset), "consumergroup", l.group, "topic", l.topic, "partition", l.index)
	}
	type groupTopic struct{ group, topic string }
	sums, offsets := map[groupTopic]int64{}, map[groupTopic]int64{}
	for _, l := range lags {
		sums[groupTopic{l.group, l.topic}] += l.behind
		offsets[groupTopic{l.group, l.topic}] += l.offset
	}
	for k, v := range sums {
		p.sample("gauge", "kminion_kafka_consumer_group_topic_lag", float64(v), "group_id", k.group, "topic_name", k.topic)
	}
	for k, v := range offsets {
		p.sample("gauge", "kminion_kafka_consumer_group_topic_offset_sum", float64(v), "group_id", k.group, "topic_name", k.topic)
	}
}

// commits writes what durability costs: under the group flush policy an
// acknowledgement waits for one round and its sync.
func (m *Metrics) commits(p *page) {
	s := m.src.Commits()
	p.sample("counter", "quokka_broker_commit_rounds_total", float64(s.Rounds))
	p.sample("counter", "quokka_broker_syncs_total", float64(s.Syncs))
	p.sample("counter", "quokka_broker_sync_seconds_total", s.SyncTime.Seconds())
	p.sample("counter", "quokka_broker_scrubbed_bytes_total", float64(s.Scrubbed))
	p.sample("counter", "quokka_broker_damaged_segments_total", float64(s.Damaged))
}

// storage writes what of it does not work as it should: alarms look here.
func (m *Metrics) storage(p *page) {
	flag := func(name string, on bool) {
		value := 0.0
		if on {
			value = 1
		}
		p.sample("gauge", name, value)
	}
	flag("quokka_broker_storage_full", m.src.DiskFull != nil && m.src.DiskFull())
	flag("quokka_broker_storage_read_only", m.src.ReadOnly() != nil)
	p.sample("gauge", "quokka_broker_storage_free_bytes", float64(m.src.Topics.Free()))
	p.sample("gauge", "quokka_broker_partitions_stopped", float64(m.src.Topics.Stopped()))
}

// limits writes how often clients asked for more than they may have.
func (m *Metrics) limits(p *page) {
	m.src.Hits.Each(func(l limit.Limit, hits int64) {
		p.sample("counter", "quokka_broker_limit_hits_total", float64(hits), "limit", l.String())
	})
	for _, k := range quota.Kinds {
		count, _ := m.src.Throttled(k)
		p.sample("counter", "quokka_broker_throttled_total", float64(count), "quota", k.String())
	}
	for _, k := range quota.Kinds {
		_, total := m.src.Throttled(k)
		p.sample("counter", "quokka_broker_throttle_seconds_total", total.Seconds(), "quota", k.String())
	}
	p.sample("gauge", "quokka_broker_decode_memory_bytes", float64(m.src.DecodeMemory()))
	p.sample("gauge", "kafka_server_fetch_session_cache_num_incremental_fetch_sessions", float64(m.src.FetchSessions()))
}

// requestFigures writes what was counted per request key.
func (m *Metrics) requestFigures(p *page) {
	each := func(f func(key string, r *request)) {
		for key := range m.requests {
			if r := &m.requests[key]; r.count.Load() > 0 {
				f(kmsg.NameForKey(int16(key)), r)
			}
		}
	}
	each(func(key string, r *request) {
		p.sample("counter", "kafka_server_request_bytes_total", float64(r.in.Load()), "request", key)
	})
	each(func(key string, r *request) {
		p.sample("counter", "kafka_server_response_bytes_total", float64(r.out.Load()), "request", key)
	})
	each(func(key string, r *request) {
		const name = "kafka_network_request_duration_seconds"
		var sum int64
		for i := range r.buckets {
			sum += r.buckets[i].Load()
			le := "+Inf"
			if i < len(bounds) {
				le = fmt.Sprint(bounds[i])
			}
			p.sample("histogram", name+"_bucket", float64(sum), "request", key, "le", le)
		}
		p.sample("histogram", name+"_sum", time.Duration(r.nanos.Load()).Seconds(), "request", key)
		p.sample("histogram", name+"_count", float64(sum), "request", key)
	})
}
