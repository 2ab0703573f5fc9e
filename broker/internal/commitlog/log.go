package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Owner is told what happens to a log, with the log's lock held.
type Owner interface {
	// Advanced: Start, Written or Durable has grown.
	Advanced()
	// Failed: what was appended at or above from is not in the log after all, and
	// those offsets are free again. err is a *record.Error.
	Failed(from int64, err error)
}

// Options opens a log.
type Options struct {
	FS  fsys.FS
	Dir string
	// ID is the identity of the topic; it is kept in the directory, and another
	// identity's directory is refused.
	ID        [16]byte
	Config    Config
	Committer *Committer
	Owner     Owner
	// Internal is a log of the broker's own: it may use what of the disk is kept from
	// clients.
	Internal bool
	Logger   *slog.Logger
	Now      func() time.Time
	// Gaps accepts offsets that are not contiguous: a follower of a compacted log.
	Gaps bool
}

// place is a position in a segment.
type place struct {
	base, pos int64
}

func (p place) before(q place) bool { return p.base < q.base || (p.base == q.base && p.pos < q.pos) }

// Log is the log of one partition.
//
// It has one lock, which its owner shares: methods whose comment says so want it
// held. Files are changed by one goroutine at a time, the one that holds io: it
// writes, truncates, deletes or closes. The order of locks is compacting, upkeep, io,
// the log's lock.
//
// Invariants, with the lock held:
//
//	start <= durable <= written <= end
//	the batches below written are in segments, those from written to end in
//	staged or being written
//	what is staged has a Write coming, or the log is in the committer's queue
//	producers and epochs are those of all batches below end
//	segs is never empty, in order of base; only the last takes appends
type Log struct {
	sync.Mutex
	opts Options
	cfg  Config

	compacting sync.Mutex // one compaction at a time
	upkeep     sync.Mutex // one checkpoint, change of start or swap at a time
	io         sync.Mutex // whoever changes segment files
	bufs       [][]byte   // of the write under way; under io

	segs      []*segment
	start     int64
	durable   int64
	written   int64
	end       int64
	tail      tail
	staged    []staged
	spare     []staged
	queued    bool // in the committer's queue
	slot      int  // where the committer's round may have this log
	producers producers
	epochs    epochs
	compacted int64 // offset up to which the log is compacted
	places    placeCache

	saved       checkpoint   // what the checkpoint file says
	reaches     place        // how far the log was known to reach when it was opened
	unmarked    bool         // nothing was known of what had been synced then
	stagedBytes int64        // in staged
	sinceMark   int64        // bytes staged since the last mark was placed
	marks       []mark       // places up to which a checkpoint may be made, oldest first
	unsynced    int64        // bytes written and not synced
	lives       atomic.Int64 // rises when journal entries of this log become worthless
	clean       bool         // closed with everything synced
	idleAt      int64        // the end when it was last looked at
	closing     atomic.Bool  // a compaction under way is to give up
	stopped     error        // *record.Error once the log is not to be used any more
	frozen      error        // *record.Error once nothing is written to it any more
	changed     sync.Cond    // written, durable, stopped or frozen has changed
}

// staged is a batch that has its offset and waits to be written.
type staged struct {
	batch  []byte
	info   record.Info
	abort  AbortedTxn // the transaction it aborts; Last 0 = none
	roll   bool       // begins a new segment
	client bool       // some client's, which must leave the reserve of the disk alone
	mark   *mark      // a mark to be placed in front of it
}

// tail is where the next batch will lie once all before it are written.
type tail struct {
	base  int64 // of the segment
	size  int64
	first int64 // first timestamp in the segment, -1 while it is empty
}

// mark is a place between batches from which a restart may begin: it knows the
// producer state there.
type mark struct {
	offset    int64
	base, pos int64 // segment and position in it
	producers []byte
}

// placeCache remembers where recent reads ended: a reader that goes on from there
// needs no index.
//
// Invariant: a place is only used while its segment is in the log and reaches that far.
// A segment whose bytes change gives the cache a new life, and what a reader has found
// in an earlier one is not kept.
type placeCache struct {
	life int64
	at   [16]struct {
		offset, base, pos int64
	}
	next int
}

// renew forgets every place.
func (p *placeCache) renew() { *p = placeCache{life: p.life + 1} }

func (p *placeCache) put(offset, base, pos int64) {
	for i := range p.at {
		if p.at[i].offset == offset {
			p.at[i].base, p.at[i].pos = base, pos
			return
		}
	}
	c := &p.at[p.next]
	c.offset, c.base, c.pos = offset, base, pos
	p.next = (p.next + 1) % len(p.at)
}

func (p *placeCache) get(offset, base int64) (pos int64, ok bool) {
	for i := range p.at {
		if p.at[i].offset == offset && p.at[i].base == base {
			return p.at[i].pos, true
		}
	}
	return 0, false
}

// active is the segment that takes appends. The lock is held.
func (l *Log) active() *segment { return l.segs[len(l.segs)-1] }

// segmentOf returns the index of the segment that would hold offset. The lock is held.
func (l *Log) segmentOf(offset int64) int { return segmentOf(l.segs, offset) }

func segmentOf(segs []*segment, offset int64) int {
	return max(0, sort.Search(len(segs), func(i int) bool { return segs[i].base > offset })-1)
}

// Start is the log start offset. The lock is held.
func (l *Log) Start() int64 { return l.start }

// End is the offset of the next batch. The lock is held.
func (l *Log) End() int64 { return l.end }

// Written is the offset up to which batches are in their files. The lock is held.
func (l *Log) Written() int64 { return l.written }

// Durable is the offset up to which batches survive a power cut. The lock is held.
func (l *Log) Durable() int64 { return l.durable }

// Settled is the offset up to which batches count as stored under the committer's
// flush policy. The lock is held.
func (l *Log) Settled() int64 {
	if l.opts.Committer.cfg.Flush == FlushGroup {
		return l.durable
	}
	return l.written
}

// Config returns the configuration. The lock is held.
func (l *Log) Config() Config { return l.cfg }

// SetConfig replaces the configuration for what comes next. The lock is held.
func (l *Log) SetConfig(cfg Config) { l.cfg = cfg.WithDefaults() }

// Stopped is why the log can be neither read nor written any more, or nil. The lock
// is held.
func (l *Log) Stopped() error { return l.stopped }

// Refuses is why the log takes nothing more, or nil. The lock is held.
func (l *Log) Refuses() error {
	if l.stopped != nil {
		return l.stopped
	}
	return l.frozen
}

// Size is the number of bytes in segments. The lock is held.
func (l *Log) Size() int64 {
	var n int64
	for _, s := range l.segs {
		n += s.size
	}
	return n
}

// FirstUnstable is the first offset of the earliest transaction that has not
// ended below the high watermark, or -1. The lock is held.
func (l *Log) FirstUnstable(highWatermark int64) int64 {
	l.producers.release(highWatermark)
	return l.producers.firstUnstable()
}

// OpenTxn returns the first offset of a producer's open transaction, or -1. The
// lock is held.
func (l *Log) OpenTxn(producerID int64) int64 {
	if p := l.producers.byID[producerID]; p != nil {
		return p.txnFirst
	}
	return -1
}

// CheckMarker says why a transaction's marker would be refused, nil where it would not.
// The lock is held.
func (l *Log) CheckMarker(producerID int64, epoch int16, m record.Marker) error {
	return l.producers.checkMarker(&record.Info{ProducerID: producerID, ProducerEpoch: epoch}, m)
}

// Producers describes the producers the log remembers. The lock is held.
func (l *Log) Producers() []ProducerInfo { return l.producers.infos() }

// LatestEpoch is the leader epoch of the last batch, or -1. The lock is held.
func (l *Log) LatestEpoch() int32 { return l.epochs.latest() }

// EpochEnd returns the largest leader epoch not above the one asked for and the
// offset at which it ended; end closes the latest. The lock is held.
func (l *Log) EpochEnd(epoch int32, end int64) (int32, int64) { return l.epochs.end(epoch, end) }

// EpochAt returns the leader epoch of the batch at offset, or -1. The lock is held.
func (l *Log) EpochAt(offset int64) int32 { return l.epochs.at(offset) }

// stop ends the log's life: nothing is written or acknowledged any more. The lock
// is held.
func (l *Log) stop(err error) {
	if l.stopped != nil {
		return
	}
	l.stopped = err
	l.dropStaged()
	l.opts.Owner.Failed(l.Settled(), err)
	l.changed.Broadcast()
}

// freeze ends all writing. What counts as stored can still be read. The lock is held.
func (l *Log) freeze(err error) {
	if l.Refuses() != nil {
		return
	}
	l.frozen = err
	l.dropStaged()
	l.opts.Owner.Failed(l.Settled(), err)
	l.changed.Broadcast()
}

// dropStaged forgets what waits to be written. The lock is held.
func (l *Log) dropStaged() {
	clear(l.staged)
	l.staged, l.stagedBytes = l.staged[:0], 0
}

// storageError wraps an I/O error for clients.
func (l *Log) storageError(doing string, err error) *record.Error {
	var known *record.Error
	if errors.As(err, &known) {
		return known
	}
	return record.Errorf(record.CodeStorageError, "log %s: %s: %v", l.opts.Dir, doing, err)
}

// DamageError says that bytes which had been stored durably are not there any more.
// Such a log is not opened: it would hand out offsets a second time.
type DamageError struct {
	File string
	Pos  int64
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at position %d, below what had been synced: %v. Restore it from a copy, or stop the broker and run "+
		"\"broker repair %s\", which says what would be lost before it changes anything", e.File, e.Pos, e.Err, e.File)
}

func (e *DamageError) Unwrap() error { return e.Err }
