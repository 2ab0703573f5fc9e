package partition

import (
	"log/slog"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Origin says who appends, and with that which rules a batch must keep.
type Origin uint8

// The origins.
const (
	// Client is a producer: one data batch, all checks.
	Client Origin = iota
	// Coordinator is the broker itself: internal topics' records and markers.
	Coordinator
	// Replica is a follower storing its leader's bytes: offsets and epochs are kept.
	Replica
)

// Isolation is a reader's isolation level, numbered as in the protocol.
type Isolation int8

// The isolation levels.
const (
	ReadUncommitted Isolation = iota
	ReadCommitted
)

// Config opens a partition.
type Config struct {
	FS  fsys.FS
	Dir string // the partition's own directory, by Kafka's custom <topic>-<index>
	// Topic, Index and TopicID say which partition it is. The id is kept in the
	// directory; another topic's directory is refused.
	Topic   string
	Index   int32
	TopicID [16]byte
	// LeaderEpoch goes into every batch appended. It must not be below an epoch
	// in the log: raise it at every start.
	LeaderEpoch int32
	Log         commitlog.Config
	Committer   *commitlog.Committer
	Logger      *slog.Logger     // nil = slog.Default()
	Now         func() time.Time // nil = time.Now
}

// Partition is an open partition. Its methods may be called at the same time.
type Partition struct {
	mu sync.Mutex
}

// Offsets are a partition's marks. LogStart <= LastStable <= HighWatermark <= LogEnd.
type Offsets struct {
	LogStart      int64
	HighWatermark int64
	LastStable    int64
	LogEnd        int64
	LeaderEpoch   int32
}

// AbortedTxn is an aborted transaction that a read_committed reader must skip.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// ReadResult is what a read found.
type ReadResult struct {
	Records       []byte // whole batches; empty when there is nothing below the limit
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Aborted lists, for ReadCommitted, the aborted transactions that overlap
	// Records, by first offset.
	Aborted []AbortedTxn
}

// Open recovers the partition in cfg.Dir, or makes it. Recovery keeps the longest
// valid prefix of the log and rebuilds everything derived from it.
func Open(cfg Config) (*Partition, error) { return nil, errUnfinished }

// Append checks and stages one or more batches, exactly as received, and returns
// at once: offset and epoch are given, the producer's sequence is taken. The bytes
// of batch are patched in place and belong to the partition until the Pending is
// written. A duplicate of a batch in the producer's window gets the original's
// Pending. Errors are *record.Error.
func (p *Partition) Append(batch []byte, origin Origin) (*Pending, error) {
	return nil, errUnfinished
}

// Read returns whole batches from the one that contains offset on, at most
// maxBytes of them but, with minOne, at least one. It shows nothing at or above
// the high watermark (ReadUncommitted) or the last stable offset (ReadCommitted).
// The marks in the result are valid with an error too. Errors are *record.Error:
// OFFSET_OUT_OF_RANGE below the log start or above the high watermark.
func (p *Partition) Read(offset int64, maxBytes int, iso Isolation, minOne bool) (ReadResult, error) {
	return ReadResult{}, errUnfinished
}

// ReadInto is Read with a buffer to use for Records if it is large enough.
func (p *Partition) ReadInto(buf []byte, offset int64, maxBytes int, iso Isolation, minOne bool) (ReadResult, error) {
	return ReadResult{}, errUnfinished
}

// Offsets returns the partition's marks.
func (p *Partition) Offsets() Offsets { return Offsets{} }

// OffsetForTime returns the first record below the high watermark whose timestamp
// is at least ts. None: offset and timestamp -1, epoch -1.
func (p *Partition) OffsetForTime(ts int64) (offset, timestamp int64, epoch int32, err error) {
	return -1, -1, -1, errUnfinished
}

// MaxTimestamp returns the record below the high watermark with the largest
// timestamp, the first of them. An empty log: -1, -1, -1.
func (p *Partition) MaxTimestamp() (offset, timestamp int64, epoch int32, err error) {
	return -1, -1, -1, errUnfinished
}

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch not above the one asked
// for, and the offset at which it ended (the high watermark for the current one).
// Unknown: -1, -1.
func (p *Partition) EpochEnd(epoch int32) (found int32, end int64) { return -1, -1 }

// EpochAt returns the leader epoch of the batch at offset, or -1.
func (p *Partition) EpochAt(offset int64) int32 { return -1 }

// OpenTxn returns whether the producer has a transaction open in this partition.
func (p *Partition) OpenTxn(producerID int64) bool { return false }

// Producers describes the producers the partition remembers (DescribeProducers).
func (p *Partition) Producers() []commitlog.ProducerInfo { return nil }

// SetLeaderEpoch raises the epoch for batches to come.
func (p *Partition) SetLeaderEpoch(epoch int32) error { return errUnfinished }

// DeleteRecords raises the log start offset to offset (-1 = the high watermark)
// and returns it once it is durable.
func (p *Partition) DeleteRecords(offset int64) (logStart int64, err error) { return 0, errUnfinished }

// UpdateConfig replaces the topic configuration for what comes next.
func (p *Partition) UpdateConfig(cfg commitlog.Config) {}

// Size is the number of bytes in the log's segments.
func (p *Partition) Size() int64 { return 0 }

// Close writes what is staged, syncs it, leaves a clean checkpoint, and closes the
// files. Waiters are woken, later calls answer KAFKA_STORAGE_ERROR.
func (p *Partition) Close() error { return errUnfinished }

// Delete closes the partition without syncing and removes its directory. Later
// calls answer UNKNOWN_TOPIC_OR_PARTITION.
func (p *Partition) Delete() error { return errUnfinished }
