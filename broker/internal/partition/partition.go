package partition

import (
	"errors"
	"log/slog"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Origin says who appends, and with that which rules a batch must keep.
type Origin = commitlog.Origin

// The origins.
const (
	Client      = commitlog.Client
	Coordinator = commitlog.Coordinator
	Replica     = commitlog.Replica
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
	// Internal is a partition of the broker's own, which a full disk does not stop.
	Internal bool
	// LeaderEpoch goes into every batch appended. It must not be below an epoch
	// in the log: raise it at every start.
	LeaderEpoch int32
	Log         commitlog.Config
	Committer   *commitlog.Committer
	Logger      *slog.Logger     // nil = slog.Default()
	Now         func() time.Time // nil = time.Now
}

// Partition is an open partition. Its methods may be called at the same time.
//
// It shares the log's lock. Invariants, with the lock held:
//
//	highWatermark = log.Settled(), as there are no other replicas yet
//	pending holds the appends above the high watermark in order of offset, the
//	first written of them are in their file
type Partition struct {
	cfg Config
	now func() time.Time
	log *commitlog.Log

	epoch         int32
	start         int64 // of the log, as waiters know it
	highWatermark int64
	lastStable    int64
	pending       []*Pending
	written       int
	waiters       map[*Waiter]Isolation
}

// Offsets are a partition's marks. LogStart <= LastStable <= HighWatermark <= LogEnd.
type Offsets struct {
	LogStart      int64
	HighWatermark int64
	LastStable    int64
	LogEnd        int64
	LeaderEpoch   int32
}

// Open recovers the partition in cfg.Dir, or makes it. Recovery keeps the longest
// valid prefix of the log and rebuilds everything derived from it.
func Open(cfg Config) (*Partition, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Partition{cfg: cfg, now: cfg.Now, epoch: cfg.LeaderEpoch, waiters: map[*Waiter]Isolation{}}
	log, err := commitlog.Open(commitlog.Options{
		FS: cfg.FS, Dir: cfg.Dir, ID: cfg.TopicID, Config: cfg.Log, Committer: cfg.Committer, Internal: cfg.Internal,
		Owner: (*owner)(p), Logger: cfg.Logger.With("topic", cfg.Topic, "partition", cfg.Index), Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	p.log = log
	log.Lock()
	latest := log.LatestEpoch()
	p.advance()
	log.Unlock()
	if latest > cfg.LeaderEpoch {
		return nil, errors.Join(record.Errorf(record.CodeFencedLeaderEpoch,
			"%s-%d: the log has leader epoch %d, the cluster says %d: the cluster's metadata is older than the log", cfg.Topic, cfg.Index, latest, cfg.LeaderEpoch), log.Close())
	}
	return p, nil
}

// Offsets returns the partition's marks.
func (p *Partition) Offsets() Offsets {
	p.log.Lock()
	defer p.log.Unlock()
	return Offsets{
		LogStart: p.log.Start(), HighWatermark: p.highWatermark, LastStable: p.lastStable,
		LogEnd: p.log.End(), LeaderEpoch: p.epoch,
	}
}

// Err is why the partition takes nothing more, or nil.
func (p *Partition) Err() error {
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.Refuses()
}

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch not above the one asked
// for, and the offset at which it ended (the high watermark for the current one).
// Unknown: -1, -1.
func (p *Partition) EpochEnd(epoch int32) (found int32, end int64) {
	p.log.Lock()
	defer p.log.Unlock()
	if epoch == p.epoch {
		return epoch, p.highWatermark // also before its first batch
	}
	found, end = p.log.EpochEnd(epoch, p.highWatermark)
	return found, min(end, p.highWatermark)
}

// EpochAt returns the leader epoch of the batch at offset, or -1.
func (p *Partition) EpochAt(offset int64) int32 {
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.EpochAt(offset)
}

// UpdateConfig replaces the topic configuration for what comes next.
func (p *Partition) UpdateConfig(cfg commitlog.Config) {
	p.log.Lock()
	defer p.log.Unlock()
	p.log.SetConfig(cfg)
}

// Size is the number of bytes in the log's segments.
func (p *Partition) Size() int64 {
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.Size()
}

// DeleteRecords raises the log start offset to offset (-1 = the high watermark)
// and returns it once it is durable. A log that is compacted and not deleted from is
// kept from it, as in Kafka.
func (p *Partition) DeleteRecords(offset int64) (logStart int64, err error) {
	p.log.Lock()
	hw, cfg := p.highWatermark, p.log.Config()
	p.log.Unlock()
	if cfg.Compact && !cfg.Delete {
		return -1, record.Errorf(record.CodePolicyViolation, "the topic's cleanup.policy is compact: to delete records add delete to it")
	}
	if offset == -1 {
		offset = hw
	}
	if offset < 0 || offset > hw {
		return -1, record.Errorf(record.CodeOffsetOutOfRange, "offset %d lies outside the log, which ends at %d", offset, hw)
	}
	if err := p.log.SetStart(offset); err != nil {
		return -1, err
	}
	p.log.Lock()
	defer p.log.Unlock()
	return p.log.Start(), nil
}

// Close writes what is staged, syncs it, leaves a clean checkpoint, and closes the
// files. Waiters are woken, later calls answer KAFKA_STORAGE_ERROR.
func (p *Partition) Close() error { return p.log.Close() }

// Delete closes the partition without syncing and removes its directory. Later
// calls answer UNKNOWN_TOPIC_OR_PARTITION.
func (p *Partition) Delete() error { return p.log.Delete() }
