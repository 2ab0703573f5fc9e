package topics

import (
	"math"
	"slices"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// logConfig translates a topic's settings for its logs. The log's zero values mean
// Kafka's defaults, so a zero that was set becomes the least value instead.
func (m *Manager) logConfig(img *cluster.Image, t *cluster.Topic) commitlog.Config {
	ms := func(name string) time.Duration {
		n := img.ConfigInt(t, name)
		if n > math.MaxInt64/int64(time.Millisecond) {
			return math.MaxInt64
		}
		return max(time.Duration(n)*time.Millisecond, -1)
	}
	atLeast := func(d time.Duration) time.Duration {
		if d == 0 {
			return 1
		}
		return d
	}
	unbounded := func(d time.Duration) time.Duration {
		if d == math.MaxInt64 {
			return 0
		}
		return atLeast(d)
	}
	policies := cluster.SplitList(img.Config(t, "cleanup.policy"))
	retentionBytes := img.ConfigInt(t, "retention.bytes")
	if retentionBytes == 0 {
		retentionBytes = 1
	}
	return commitlog.Config{
		SegmentBytes:     img.ConfigInt(t, "segment.bytes"),
		SegmentAge:       ms("segment.ms"),
		IndexInterval:    int(max(img.ConfigInt(t, "index.interval.bytes"), 1)),
		MaxBatchBytes:    int(max(img.ConfigInt(t, "max.message.bytes"), 1)),
		Compression:      compression(img.Config(t, "compression.type")),
		LogAppendTime:    img.Config(t, "message.timestamp.type") == "LogAppendTime",
		TimestampBefore:  unbounded(ms("message.timestamp.before.max.ms")),
		TimestampAfter:   atLeast(ms("message.timestamp.after.max.ms")),
		Delete:           slices.Contains(policies, "delete"),
		Compact:          slices.Contains(policies, "compact"),
		RetentionBytes:   max(retentionBytes, -1),
		RetentionTime:    atLeast(ms("retention.ms")),
		DeleteRetention:  atLeast(ms("delete.retention.ms")),
		CompactionLagMin: ms("min.compaction.lag.ms"),
		CompactionLagMax: unbounded(ms("max.compaction.lag.ms")),
		DirtyRatio:       max(img.ConfigFloat(t, "min.cleanable.dirty.ratio"), 1e-9),
		ProducerExpiry:   time.Duration(img.BrokerInt("producer.id.expiration.ms")) * time.Millisecond,
	}
}

// compression is the codec that batches are stored in, nil where it is the
// producer's choice.
func compression(name string) *record.Codec {
	codec := record.None
	switch name {
	case "gzip":
		codec = record.Gzip
	case "snappy":
		codec = record.Snappy
	case "lz4":
		codec = record.LZ4
	case "zstd":
		codec = record.Zstd
	case "uncompressed":
	default:
		return nil
	}
	return &codec
}
