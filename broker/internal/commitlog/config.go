package commitlog

import (
	"time"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Config is what a topic's configuration means to its partitions. The zero value
// of every field is Kafka's default.
type Config struct {
	// SegmentBytes is the size at which a new segment begins (segment.bytes);
	// 0 = 1 GiB.
	SegmentBytes int64
	// SegmentAge is the age of a segment's first record at which a new segment
	// begins (segment.ms); 0 = 7 days.
	SegmentAge time.Duration
	// IndexInterval is how many bytes of log share one index entry
	// (index.interval.bytes); 0 = 4096.
	IndexInterval int
	// MaxBatchBytes bounds one batch (max.message.bytes); 0 = 1048588.
	MaxBatchBytes int
	// LogAppendTime makes the broker stamp records (message.timestamp.type).
	LogAppendTime bool
	// TimestampBefore and TimestampAfter bound how far a record's own timestamp
	// may lie before and after the broker's clock (message.timestamp.before.max.ms,
	// message.timestamp.after.max.ms); 0 = unbounded before, 1 hour after.
	TimestampBefore, TimestampAfter time.Duration
	// Compression is the codec batches are stored in (compression.type);
	// nil = as the producer sent them.
	Compression *record.Codec
	// Delete and Compact are the cleanup policies (cleanup.policy). Both false
	// means delete, as in Kafka.
	Delete, Compact bool
	// RetentionBytes and RetentionTime bound what is kept under the delete policy
	// (retention.bytes, retention.ms). RetentionBytes 0 or -1 = unbounded;
	// RetentionTime 0 = 7 days, negative = unbounded.
	RetentionBytes int64
	RetentionTime  time.Duration
	// DeleteRetention is how long tombstones and transaction markers outlive
	// compaction (delete.retention.ms); 0 = 24 hours.
	DeleteRetention time.Duration
	// CompactionLagMin and CompactionLagMax bound the age at which a record may
	// and must be compacted (min.compaction.lag.ms, max.compaction.lag.ms);
	// 0 = none and unbounded.
	CompactionLagMin, CompactionLagMax time.Duration
	// DirtyRatio is the share of uncompacted bytes at which compaction starts
	// (min.cleanable.dirty.ratio); 0 = 0.5.
	DirtyRatio float64
	// ProducerExpiry is how long an idle producer is remembered
	// (producer.id.expiration.ms); 0 = 24 hours.
	ProducerExpiry time.Duration
}

// WithDefaults returns c with every zero field set to its default.
func (c Config) WithDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 1 << 30
	}
	if c.SegmentAge <= 0 {
		c.SegmentAge = 7 * 24 * time.Hour
	}
	if c.IndexInterval <= 0 {
		c.IndexInterval = 4096
	}
	if c.MaxBatchBytes <= 0 {
		c.MaxBatchBytes = 1048588
	}
	if c.TimestampAfter == 0 {
		c.TimestampAfter = time.Hour
	}
	if !c.Delete && !c.Compact {
		c.Delete = true
	}
	if c.RetentionBytes == 0 {
		c.RetentionBytes = -1
	}
	if c.RetentionTime == 0 {
		c.RetentionTime = 7 * 24 * time.Hour
	}
	if c.DeleteRetention == 0 {
		c.DeleteRetention = 24 * time.Hour
	}
	if c.DirtyRatio == 0 {
		c.DirtyRatio = 0.5
	}
	if c.ProducerExpiry <= 0 {
		c.ProducerExpiry = 24 * time.Hour
	}
	return c
}

// segmentAge is the age at which the active segment ends: one that is to be compacted
// by a deadline cannot stay open beyond it.
func (c *Config) segmentAge() time.Duration {
	if c.Compact && c.CompactionLagMax > 0 {
		return min(c.SegmentAge, c.CompactionLagMax)
	}
	return c.SegmentAge
}
