package commitlog

import (
	"errors"
	"math"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Compaction keeps, of the records of each key, the last, by the rules of Kafka's
// cleaner:
//
//   - The dirty part of the log, from where the last compaction ended, is read into a
//     map of last offsets; then all segments up to its end are written again without
//     the records that a later one replaces, small neighbours together.
//   - Records of aborted transactions go. A marker goes when nothing of its
//     transaction is left, tombstones go too, but each only delete.retention.ms after
//     the compaction that first could have dropped it, so that a reader on its way
//     sees it: the batch's delete horizon says when.
//   - The last batch of a producer stays, emptied if need be: it carries the sequence.
//   - So does the last batch of what is compacted: without it a reader could wait for
//     ever in the gap between the last record and an active segment that is empty.
//   - Nothing at or above the first unstable offset, the recovery point, or younger
//     than min.compaction.lag.ms is touched.

// compactPlan is what one compaction will do.
type compactPlan struct {
	views   []view // segments up to the end, oldest first
	tail    int64  // where the last of them ends
	dirty   int64  // offset from which the log has not been compacted
	first   bool   // nothing of it has ever been
	now     int64
	cfg     Config
	aborted []AbortedTxn
	last    map[int64]lastOf // of each producer
}

// lastOf says which batch carries a producer's sequence: the one that ends at offset,
// or, when only a marker is known, a marker of the epoch.
type lastOf struct {
	offset int64 // -1 = none
	epoch  int16
}

// Compact compacts the log if enough of it is dirty. It takes the lock itself.
func (l *Log) Compact() error {
	l.compacting.Lock()
	defer l.compacting.Unlock()
	p := l.planCompaction()
	if p == nil {
		return nil
	}
	defer releaseAll(p.views)
	err := l.runCompaction(p)
	if errors.Is(err, errClosing) {
		return nil
	}
	return err
}

// errClosing ends a compaction whose log is being closed.
var errClosing = errors.New("the log is being closed")

func (l *Log) runCompaction(p *compactPlan) error {
	m, end, err := l.mapKeys(p)
	if err != nil || end <= p.dirty {
		return err
	}
	if p.first {
		// From now on offsets may be missing: where they may not, that is damage.
		if err := l.saveCompacted(max(p.dirty, 1)); err != nil {
			return err
		}
	}
	c := newCleaner(p, m, end)
	for views := p.views; len(views) > 0; {
		n := p.group(views)
		if views[0].seg.base >= end {
			break
		}
		if ok, err := l.cleanGroup(c, views[:n]); !ok || err != nil {
			return err
		}
		views = views[n:]
	}
	return l.saveCompacted(end)
}

// planCompaction looks at what there is; nil when nothing is to be done.
func (l *Log) planCompaction() *compactPlan {
	l.Lock()
	defer l.Unlock()
	if l.Refuses() != nil {
		return nil
	}
	p := &compactPlan{first: l.compacted == 0, dirty: max(l.compacted, l.start), now: l.opts.Now().UnixMilli(), cfg: l.cfg, last: map[int64]lastOf{}}
	limit := min(l.saved.base, l.Settled())
	if first := l.FirstUnstable(l.Settled()); first >= 0 {
		limit = min(limit, first)
	}
	var clean, dirty int64
	overdue := false
	for i, s := range l.segs[:len(l.segs)-1] {
		next := l.segs[i+1].base
		if !s.sealed || next > limit || (l.cfg.CompactionLagMin > 0 && s.maxTimestamp > p.now-l.cfg.CompactionLagMin.Milliseconds()) {
			break
		}
		p.views = append(p.views, s.view())
		if next <= p.dirty {
			clean += s.size
			continue
		}
		dirty += s.size
		overdue = overdue || (l.cfg.CompactionLagMax > 0 && s.firstTimestamp >= 0 && s.firstTimestamp < p.now-l.cfg.CompactionLagMax.Milliseconds())
	}
	if dirty == 0 || (!overdue && float64(dirty) < l.cfg.DirtyRatio*float64(clean+dirty)) {
		releaseAll(p.views)
		return nil
	}
	p.tail = p.views[len(p.views)-1].next
	p.aborted = abortedIn(l.segs, p.views[0].seg.base, limit)
	for pid, state := range l.producers.byID {
		of := lastOf{offset: -1, epoch: state.epoch}
		if state.n > 0 {
			of.offset = state.batches[state.n-1].last
		}
		p.last[pid] = of
	}
	return p
}

// group returns how many of the views fit together into one segment.
func (p *compactPlan) group(views []view) int {
	size := views[0].size
	n := 1
	for n < len(views) {
		v := &views[n]
		if size+v.size > p.cfg.SegmentBytes || v.next-views[0].seg.base > math.MaxInt32 {
			break
		}
		size += v.size
		n++
	}
	return n
}

// mapKeys reads the dirty part and returns the last offset of each key in it, and the
// offset up to which it was read: the map is bounded.
func (l *Log) mapKeys(p *compactPlan) (*offsetMap, int64, error) {
	m := newOffsetMap(l.opts.Committer.cfg.CompactMemory)
	end := p.dirty
	txns := newTxnFilter(p.aborted)
	var r record.Reader
	var rec record.Record
	for i := range p.views {
		v := &p.views[i]
		if v.next <= p.dirty {
			continue
		}
		sc := scan{f: v.seg.file, size: v.size}
		for {
			b, info, ok, err := sc.next()
			if err == nil && l.closing.Load() {
				err = errClosing
			}
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				break
			}
			if txns.discards(b, &info) || info.Control() || info.LastOffset() < p.dirty {
				end = max(end, info.NextOffset())
				continue
			}
			if err := r.Reset(b, 0); err != nil {
				return nil, 0, err
			}
			for r.Next(&rec) {
				if rec.Key != nil && !m.put(rec.Key, rec.Offset) {
					return m, end, nil
				}
			}
			if r.Err() != nil {
				return nil, 0, r.Err()
			}
			end = info.NextOffset()
		}
		if sc.pos < v.size {
			return nil, 0, &DamageError{File: fileName(v.seg.dir, v.seg.base, logSuffix), Pos: sc.pos, Err: errNoBatch}
		}
		end = max(end, v.next)
	}
	return m, end, nil
}

// saveCompacted notes how far the log is compacted. It takes the lock itself.
func (l *Log) saveCompacted(end int64) error {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.Lock()
	if l.Refuses() != nil {
		l.Unlock()
		return nil
	}
	l.compacted = end
	c := l.saved
	l.Unlock()
	c.compacted = end
	return l.saveCheckpoint(c)
}

// Sealed tells whether all segments but the active one have complete derived files,
// so that compaction may take them; tests wait for it, here and in partition. It takes
// the lock itself.
func (l *Log) Sealed() bool {
	l.Lock()
	defer l.Unlock()
	for _, s := range l.segs[:len(l.segs)-1] {
		if !s.sealed {
			return false
		}
	}
	return l.saved.base >= l.active().base
}
