package commitlog

import (
	"math"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Appended is what an append was given.
type Appended struct {
	Base, Last int64
	// Duplicate: the batch is in the log already, at these offsets. Timestamp is the
	// log append time it was given then, or -1.
	Duplicate bool
	Timestamp int64
}

// Append stages one batch that passed record.Validate. From a client or a
// coordinator it gets the next offset and epoch, from a replica it keeps its own.
// The batch must stay untouched until Written has passed it, which takes a call of
// Write after the lock was given back. The lock is held.
func (l *Log) Append(batch []byte, info *record.Info, epoch int32, origin Origin) (Appended, error) {
	if err := l.Refuses(); err != nil {
		return Appended{}, err
	}
	var marker record.Marker
	isMarker := false
	if info.Idempotent() {
		if info.Control() {
			var err error
			if marker, isMarker, err = record.ParseMarker(batch); err != nil {
				return Appended{}, err
			}
			if isMarker && origin == Coordinator {
				if err := l.producers.checkMarker(info, marker); err != nil {
					return Appended{}, err
				}
			}
		} else if origin == Client {
			dup, err := l.producers.check(info)
			if err != nil {
				return Appended{}, err
			}
			if dup != nil {
				return Appended{Base: dup.base, Last: dup.last, Duplicate: true, Timestamp: dup.timestamp}, nil
			}
		}
	}
	client := origin == Client && !l.opts.Internal
	if client && l.opts.Committer.full() {
		return Appended{}, errDiskFull
	}
	if origin == Replica {
		if info.BaseOffset < l.end || (info.BaseOffset > l.end && !l.opts.Gaps) || info.LeaderEpoch < l.epochs.latest() {
			return Appended{}, record.Errorf(record.CodeCorruptMessage, "replicated batch at offset %d, epoch %d does not follow offset %d, epoch %d",
				info.BaseOffset, info.LeaderEpoch, l.end, l.epochs.latest())
		}
	} else {
		info.BaseOffset, info.LeaderEpoch = l.end, epoch
		record.Stamp(batch, l.end, epoch)
	}
	l.stage(staged{batch: batch, info: *info, client: client}, marker, isMarker)
	return Appended{Base: info.BaseOffset, Last: info.LastOffset(), Timestamp: -1}, nil
}

// errDiskFull is one that clients try again.
var errDiskFull = record.Errorf(record.CodeStorageError, "the broker's disk is full; records are taken again once there is space")

// full tells whether clients' batches are to be refused for lack of space.
func (c *Committer) full() bool { return c.cfg.Space != nil && c.cfg.Space.Full() }

// stage gives a checked batch its place. The lock is held.
func (l *Log) stage(e staged, marker record.Marker, isMarker bool) {
	info := &e.info
	l.place(&e)
	l.epochs.assign(info.LeaderEpoch, info.BaseOffset)
	switch {
	case isMarker:
		l.producers.now = l.opts.Now().UnixMilli()
		if t, ok := l.producers.applyMarker(info, marker); ok && !marker.Commit {
			e.abort = t
		}
	case info.Idempotent() && !info.Control():
		l.producers.now = l.opts.Now().UnixMilli()
		l.producers.apply(info)
	}
	l.end = info.NextOffset()
	l.staged = append(l.staged, e)
	l.stagedBytes += int64(info.Size)
}

// place decides where the batch will lie: whether a new segment begins with it, and
// whether a mark is due in front of it. Both are decided here because the producer
// state that a mark needs is at hand only now. The lock is held.
func (l *Log) place(e *staged) {
	size, i := int64(e.info.Size), &e.info
	t := &l.tail
	full := t.size > 0 && (t.size+size > l.cfg.SegmentBytes ||
		i.LastOffset()-t.base > math.MaxInt32 ||
		(t.first >= 0 && i.MaxTimestamp-t.first > l.cfg.segmentAge().Milliseconds()))
	if full {
		e.roll = true
		*t = tail{base: i.BaseOffset, first: -1}
	}
	if full || l.sinceMark >= l.opts.Committer.cfg.MarkBytes {
		l.producers.expire(l.opts.Now().Add(-l.cfg.ProducerExpiry).UnixMilli())
		e.mark = &mark{offset: i.BaseOffset, base: t.base, pos: t.size, producers: l.producers.encode()}
		l.sinceMark = 0
	}
	if t.first < 0 {
		t.first = i.MaxTimestamp
	}
	t.size += size
	l.sinceMark += size
}
