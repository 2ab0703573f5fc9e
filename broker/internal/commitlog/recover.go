package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// errDerived says that a derived file is missing or does not fit its log.
var errDerived = errors.New("derived file is damaged")

// recover brings the log back from its files.
//
// Everything below the checkpoint's recovery point was durable: segments are checked
// by size and last batch, derived files are taken as they are, and what is missing is
// damage. Above it the batches are read and verified one by one; the first that is
// not whole ends the log, and what follows was never acknowledged. Should a derived
// file turn out to be unusable, all of them are built again from the first segment on.
func (l *Log) recover() error {
	saved, known, err := l.loadCheckpoint()
	if err != nil {
		return err
	}
	l.saved, l.compacted = saved, saved.compacted
	l.reaches = l.opts.Committer.reaches(l.opts.Dir)
	inv, err := l.takeInventory()
	if err != nil {
		return err
	}
	if len(inv.segments) == 0 {
		return l.recoverEmpty(saved, known)
	}
	rebuilt := !known && (inv.segments[0] > 0 || len(inv.snapshots) > 0)
	if rebuilt {
		err = l.recoverUnmarked(inv)
	} else {
		err = l.recoverFrom(saved, inv, saved.recovery, false)
	}
	if errors.Is(err, errDerived) {
		rebuilt = true
		l.opts.Logger.Warn("building derived files again", "dir", l.opts.Dir, "err", err)
		l.closeSegments()
		first := checkpoint{start: saved.start, compacted: saved.compacted, recovery: inv.segments[0], base: inv.segments[0]}
		err = l.recoverFrom(first, inv, saved.recovery, true)
	}
	if err == nil && (rebuilt || l.active().size-saved.pos > scanWorthSaving) {
		seg := l.active()
		m := mark{offset: l.end, base: seg.base, pos: seg.size, producers: l.producers.encode()}
		if cerr := l.checkpointAt(m); cerr != nil {
			l.opts.Logger.Warn("checkpoint failed", "dir", l.opts.Dir, "err", cerr)
		}
	}
	return err
}

// recoverUnmarked recovers a log that has lost its checkpoint: a log with a producer
// snapshot, or that does not begin at 0, had one. Of its start the leader epochs may
// know more than the names of segments.
func (l *Log) recoverUnmarked(inv inventory) error {
	l.unmarked = true
	first := inv.segments[0]
	c := checkpoint{start: first, recovery: first, base: first}
	if e, err := l.loadEpochs(); err == nil && len(e.entries) > 0 {
		c.start = max(c.start, e.entries[0].start)
	}
	return l.recoverFrom(c, inv, 0, true)
}

// scanWorthSaving is how much reading at a start is worth a checkpoint at once.
const scanWorthSaving = 4 << 20

func (l *Log) closeSegments() {
	for _, s := range l.segs {
		_ = s.file.Close()
	}
	l.segs = nil
}

// recoverEmpty begins a log at its start offset.
func (l *Log) recoverEmpty(saved checkpoint, known bool) error {
	if known && saved.recovery > saved.start {
		return &DamageError{File: l.opts.Dir, Err: errors.New("no segment is there")}
	}
	seg, err := createSegment(l.opts.FS, l.opts.Dir, saved.start)
	if err != nil {
		return err
	}
	l.segs = []*segment{seg}
	if err := syncDir(l.opts.FS, l.opts.Dir); err != nil {
		return err
	}
	l.setEnd(saved.start)
	l.start = saved.start
	return nil
}

// gaps tells whether offsets may be missing between batches that nothing is known of.
func (l *Log) gaps() bool { return l.opts.Gaps || l.unmarked }

// setEnd makes offset the end of the log in every respect.
func (l *Log) setEnd(offset int64) {
	seg := l.active()
	l.end, l.written, l.durable = offset, offset, offset
	l.tail = tail{base: seg.base, size: seg.size, first: seg.firstTimestamp}
}

// recoverFrom recovers with c as the point from which batches are read. Batches
// below synced must be there. With rebuild no derived file is looked at.
func (l *Log) recoverFrom(c checkpoint, inv inventory, synced int64, rebuild bool) error {
	l.epochs, l.producers = epochs{}, newProducers(l.opts.Now())
	if !rebuild {
		var err error
		if l.epochs, err = l.loadEpochs(); err != nil {
			return errors.Join(errDerived, err)
		}
		l.epochs.truncateEnd(c.recovery)
		if l.producers, err = l.snapshotAt(c.recovery, inv); err != nil {
			return err
		}
	}
	// Segments before the recovery point.
	first := slices.Index(inv.segments, c.base)
	if first < 0 {
		return &DamageError{File: fileName(l.opts.Dir, c.base, logSuffix), Err: errors.New("the segment is missing")}
	}
	for i, base := range inv.segments[:first] {
		if err := l.openSealed(base, inv.segments[i+1]); err != nil {
			return err
		}
	}
	if err := l.verifyFrom(c, inv.segments[first:], synced); err != nil {
		return err
	}
	if l.written < synced {
		return &DamageError{File: fileName(l.opts.Dir, l.active().base, logSuffix), Pos: l.active().size, Err: fmt.Errorf("the log ends at offset %d, %d had been synced", l.written, synced)}
	}
	l.start = max(c.start, l.segs[0].base)
	if l.start > l.end {
		return &DamageError{File: filepath.Join(l.opts.Dir, checkpointFile), Err: fmt.Errorf("log start offset %d lies above the end of the log, %d", l.start, l.end)}
	}
	l.epochs.truncateStart(l.start)
	return nil
}

// openSealed opens a segment that lies below the recovery point and checks that it
// ends where the next one begins.
func (l *Log) openSealed(base, next int64) error {
	s := newSegment(l.opts.FS, l.opts.Dir, base)
	name := fileName(l.opts.Dir, base, logSuffix)
	f, err := l.opts.FS.Open(name)
	if err != nil {
		return err
	}
	s.file = f
	l.segs = append(l.segs, s)
	if s.size, err = f.Size(); err != nil {
		return err
	}
	s.synced, s.sealed = s.size, true
	if err := s.loadDerived(); err != nil {
		return err
	}
	s.offsets.inFile, s.offsets.mem = true, nil
	s.times.inFile, s.times.mem = true, nil
	v := s.view()
	defer v.release()
	pos, last, err := v.near(next - 1)
	if err != nil {
		return errors.Join(errDerived, err)
	}
	if last >= 0 && !indexed(f, pos, s.size, last) {
		return fmt.Errorf("%w: an entry of %s points nowhere", errDerived, s.offsets.name)
	}
	var buf [headerLen]byte
	s.next = base
	for pos < s.size {
		info, err := headerAt(f, pos, s.size, &buf)
		if err == nil && pos+int64(info.Size) == s.size {
			err = wholeAt(f, pos, info.Size)
		}
		if err != nil {
			return &DamageError{File: name, Pos: pos, Err: err}
		}
		if info.BaseOffset < s.next || info.LastOffset() >= next {
			return &DamageError{File: name, Pos: pos, Err: fmt.Errorf("batch with offsets %d to %d is out of place", info.BaseOffset, info.LastOffset())}
		}
		s.next, pos = info.NextOffset(), pos+int64(info.Size)
	}
	if s.next != next && l.compacted == 0 && !l.gaps() {
		return &DamageError{File: name, Pos: s.size, Err: fmt.Errorf("it ends at offset %d, the next segment begins at %d", s.next, next)}
	}
	s.next = next
	return nil
}

// loadDerived reads the segment's derived files.
func (s *segment) loadDerived() error {
	if err := errors.Join(s.offsets.load(), s.times.load()); err != nil {
		return errors.Join(errDerived, err)
	}
	lastRel, lastPos := int64(-1), int64(-1)
	for e := s.offsets.mem; len(e) > 0; e = e[offsetEntrySize:] {
		rel, pos := parseOffsetEntry(e)
		if int64(rel) <= lastRel || int64(pos) <= lastPos || int64(pos) >= s.size {
			return fmt.Errorf("%w: %s is not in order", errDerived, s.offsets.name)
		}
		lastRel, lastPos = int64(rel), int64(pos)
	}
	lastTime := int64(-1)
	for e := s.times.mem; len(e) > 0; e = e[timeEntrySize:] {
		ts, rel := parseTimeEntry(e)
		if ts <= lastTime {
			return fmt.Errorf("%w: %s is not in order", errDerived, s.times.name)
		}
		lastTime = ts
		s.maxTimestamp, s.maxTimestampOff = ts, s.base+int64(rel)
	}
	b, err := readFile(s.fs, fileName(s.dir, s.base, txnIndexSuffix))
	if err != nil && !errors.Is(err, fsys.ErrNotExist) {
		return err
	}
	if s.txns, err = decodeTxns(b); err != nil {
		return errors.Join(errDerived, err)
	}
	s.txnsFlushed = len(s.txns)
	var buf [headerLen]byte
	if s.size > 0 {
		info, err := headerAt(s.file, 0, s.size, &buf)
		if err != nil {
			return &DamageError{File: fileName(s.dir, s.base, logSuffix), Err: err}
		}
		s.firstTimestamp = info.MaxTimestamp
	}
	return nil
}

// verifyFrom reads the batches from the recovery point on and keeps those that are
// whole and follow each other.
func (l *Log) verifyFrom(c checkpoint, bases []int64, synced int64) error {
	next, dirty, removed := c.recovery, false, false
	whole := true
	for i, base := range bases {
		name := fileName(l.opts.Dir, base, logSuffix)
		// Compaction leaves gaps between segments, but only below the recovery point.
		follows := i == 0 || base == next || (base > next && (l.gaps() || base <= synced))
		if !whole || !follows {
			// Behind the end: made in a round that was not acknowledged.
			if base < synced || base <= l.reaches.base && l.reaches.pos > 0 {
				return &DamageError{File: name, Err: fmt.Errorf("the segment does not follow offset %d", next)}
			}
			if err := l.removeSegment(base); err != nil {
				return err
			}
			whole, removed = false, true
			continue
		}
		pos := int64(0)
		if i == 0 {
			pos = c.pos
		} else {
			next = base
		}
		s, end, cut, err := l.verifySegment(base, pos, next, synced, i+1 < len(bases), &c)
		if err != nil {
			return err
		}
		next, whole = end, !cut
		dirty = dirty || s.size > s.synced || cut
		if i+1 < len(bases) && whole {
			s.noteTime()
		}
	}
	l.setEnd(next)
	if removed {
		if err := syncDir(l.opts.FS, l.opts.Dir); err != nil {
			return err
		}
	}
	// What was found may be in the page cache only. It becomes visible to readers
	// now, so it has to be as durable as anything that was acknowledged.
	if dirty {
		for _, s := range l.segs {
			if s.size > s.synced {
				if err := s.file.SyncData(); err != nil {
					return lostSync(err)
				}
				s.synced = s.size
			}
		}
	}
	return nil
}

// lostSync is the error of a failed sync at the opening of a log. That there was no space is not to
// be seen in it, as that says to try again: the kernel would call clean what it dropped.
func lostSync(err error) error {
	return fmt.Errorf("a sync failed: %v", err) //nolint:errorlint // see above
}

// verifySegment opens a segment and verifies its batches from pos on, where offset
// next is expected; it cuts off what is not whole. followed: another segment is there
// behind it. end is the offset after the last batch kept.
func (l *Log) verifySegment(base, pos, next, synced int64, followed bool, c *checkpoint) (s *segment, end int64, cut bool, err error) {
	name := fileName(l.opts.Dir, base, logSuffix)
	s = newSegment(l.opts.FS, l.opts.Dir, base)
	if s.file, err = l.opts.FS.Open(name); err != nil {
		return nil, 0, false, err
	}
	l.segs = append(l.segs, s)
	fileSize, err := s.file.Size()
	if err != nil {
		return nil, 0, false, err
	}
	if fileSize < pos {
		return nil, 0, false, &DamageError{File: name, Pos: fileSize, Err: fmt.Errorf("the file ends there, %d bytes had been synced", pos)}
	}
	if pos > 0 {
		if err := l.openPartly(s, c, next); err != nil {
			return nil, 0, false, err
		}
	}
	s.synced, s.next = pos, next
	sc := scan{f: s.file, pos: pos, size: fileSize}
	for {
		b, info, ok, err := sc.next()
		if err != nil {
			return nil, 0, false, err
		}
		if !ok {
			break
		}
		follows := info.BaseOffset == s.next
		if l.gaps() || s.next < synced {
			follows = info.BaseOffset >= s.next
		}
		if !follows || info.LeaderEpoch < l.epochs.latest() {
			break
		}
		if err := l.takeIn(s, b, &info); err != nil {
			return nil, 0, false, err
		}
	}
	if s.next < synced && s.size < fileSize || (place{base, s.size}).before(l.reaches) && base == l.reaches.base {
		return nil, 0, false, &DamageError{File: name, Pos: s.size, Err: fmt.Errorf("no whole batch at offset %d", s.next)}
	}
	if s.size < fileSize {
		if followed {
			// A segment is synced before the next one is made.
			return nil, 0, false, &DamageError{File: name, Pos: s.size, Err: fmt.Errorf("no whole batch at offset %d, and a segment behind", s.next)}
		}
		if err := l.tornOnly(s, fileSize); err != nil {
			return nil, 0, false, err
		}
		l.opts.Logger.Warn("cutting off a torn tail", "file", name, "from", s.size, "size", fileSize, "offset", s.next)
		if err := s.file.Truncate(s.size); err != nil {
			return nil, 0, false, err
		}
		if err := s.file.SyncData(); err != nil {
			return nil, 0, false, lostSync(err)
		}
		s.synced = s.size
		cut = true
	}
	return s, s.next, cut, nil
}

// tornOnly makes sure that what is to be cut off, behind the last whole batch of s, was
// never acknowledged, as far as that can be told. A start syncs what it finds before it
// appends anything in a new leader epoch; so where the epoch rises among the whole
// batches behind the bytes that are none, these had been synced. Where nothing is known
// of what was synced, any whole batch says so.
func (l *Log) tornOnly(s *segment, fileSize int64) error {
	pos, info, ok, err := resync(s.file, s.size, fileSize, s.next)
	for first := info.LeaderEpoch; ok && err == nil; {
		if info.LeaderEpoch > first || l.unmarked {
			return &DamageError{File: fileName(s.dir, s.base, logSuffix), Pos: s.size, Err: fmt.Errorf(
				"no whole batch at offset %d, but one at position %d with offset %d", s.next, pos, info.BaseOffset)}
		}
		pos, info, ok, err = resync(s.file, pos+int64(info.Size), fileSize, info.NextOffset())
	}
	return err
}

// openPartly loads the derived files of the segment that the recovery point lies
// in, as far as they were saved with it.
func (l *Log) openPartly(s *segment, c *checkpoint, next int64) error {
	s.size = c.pos
	if err := errors.Join(s.offsets.load(), s.times.load()); err != nil {
		return errors.Join(errDerived, err)
	}
	if s.offsets.count < c.offsets || s.times.count < c.times {
		return fmt.Errorf("%w: indexes of segment %d are too short", errDerived, s.base)
	}
	s.offsets.cut(c.offsets)
	s.times.cut(c.times)
	if err := s.cutFiles(); err != nil {
		return err
	}
	if err := s.loadDerived(); err != nil {
		return err
	}
	if len(s.txns) < c.txns {
		return fmt.Errorf("%w: transaction index of segment %d is too short", errDerived, s.base)
	}
	s.txns = s.txns[:c.txns:c.txns]
	s.txnsFlushed = c.txns
	return s.remeasure(c.pos)
}

// wholeAt reads the batch of that size at pos and says what is wrong with it.
func wholeAt(f fsys.File, pos int64, size int) error {
	b, err := readInto(f, nil, pos, int64(size))
	if err == nil && (len(b) < size || !record.CheckCRC(b)) {
		err = errNoBatch
	}
	return err
}

// cutFiles makes the index files end where memory does.
func (s *segment) cutFiles() error {
	for _, x := range []*index{&s.offsets, &s.times} {
		f, err := s.fs.Open(x.name)
		if err != nil {
			return err
		}
		err = f.Truncate(int64(len(x.mem)))
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// remeasure reads the headers behind the last index entry, up to pos: the largest
// timestamp and the distance to the next entry depend on them.
func (s *segment) remeasure(pos int64) error {
	from := int64(0)
	if n := len(s.offsets.mem); n > 0 {
		rel, p := parseOffsetEntry(s.offsets.mem[n-offsetEntrySize:])
		from = int64(p)
		if !indexed(s.file, from, pos, s.base+int64(rel)) {
			return fmt.Errorf("%w: an entry of %s points nowhere", errDerived, s.offsets.name)
		}
	}
	s.sinceIndex = pos - from
	var buf [headerLen]byte
	for from < pos {
		info, err := headerAt(s.file, from, pos, &buf)
		if err == nil && from+int64(info.Size) == pos {
			err = wholeAt(s.file, from, info.Size)
		}
		if err != nil {
			return &DamageError{File: fileName(s.dir, s.base, logSuffix), Pos: from, Err: err}
		}
		if info.MaxTimestamp > s.maxTimestamp {
			s.maxTimestamp, s.maxTimestampOff = info.MaxTimestamp, info.LastOffset()
		}
		from += int64(info.Size)
	}
	return nil
}

// takeIn adds a verified batch to a segment and to all derived state.
func (l *Log) takeIn(s *segment, b []byte, info *record.Info) error {
	l.epochs.assign(info.LeaderEpoch, info.BaseOffset)
	t, aborted, err := l.producers.replay(b, info)
	if err != nil {
		return err
	}
	s.note(info, l.cfg.IndexInterval)
	if aborted {
		s.txns = append(s.txns, t)
	}
	return nil
}

// replay applies a stored batch to the producer state; aborted tells whether it
// aborted the transaction t.
func (ps *producers) replay(b []byte, info *record.Info) (t AbortedTxn, aborted bool, err error) {
	switch {
	case !info.Idempotent():
	case info.Control():
		m, isMarker, err := record.ParseMarker(b)
		if err != nil || !isMarker {
			// Emptied by compaction, it still says which epoch the producer had reached.
			ps.get(info.ProducerID, info.ProducerEpoch)
			return t, false, err
		}
		t, ok := ps.applyMarker(info, m)
		return t, ok && !m.Commit, nil
	default:
		ps.apply(info)
	}
	return t, false, nil
}

// removeSegment deletes the files of a segment that is not open.
func (l *Log) removeSegment(base int64) error {
	l.opts.Logger.Info("removing a segment outside the log", "file", fileName(l.opts.Dir, base, logSuffix))
	for _, suffix := range []string{txnIndexSuffix, timeIndexSuffix, indexSuffix, logSuffix} {
		if err := l.opts.FS.Remove(fileName(l.opts.Dir, base, suffix)); err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
	}
	return nil
}

// snapshotAt loads the producer snapshot that was saved with the recovery point.
func (l *Log) snapshotAt(offset int64, inv inventory) (producers, error) {
	if !slices.Contains(inv.snapshots, offset) {
		if offset == inv.segments[0] {
			return newProducers(l.opts.Now()), nil // nothing lies before it
		}
		return producers{}, fmt.Errorf("%w: no producer snapshot at offset %d", errDerived, offset)
	}
	b, err := readFile(l.opts.FS, fileName(l.opts.Dir, offset, producersSuffix))
	if err != nil {
		return producers{}, err
	}
	ps, err := decodeProducers(b, l.opts.Now())
	if err != nil {
		return producers{}, errors.Join(errDerived, err)
	}
	return ps, nil
}

// loadProducers computes the producer state of all batches below end from the
// files. io and the lock are held.
func (l *Log) loadProducers(end int64) (producers, error) {
	ps, from := newProducers(l.opts.Now()), l.segs[0].base
	if l.saved.recovery > from && l.saved.recovery <= end {
		b, err := readFile(l.opts.FS, fileName(l.opts.Dir, l.saved.recovery, producersSuffix))
		if err == nil {
			if ps, err = decodeProducers(b, l.opts.Now()); err == nil {
				from = l.saved.recovery
			} else {
				ps = newProducers(l.opts.Now())
			}
		}
	}
	for _, s := range l.segs[l.segmentOf(from):] {
		if s.base >= end {
			break
		}
		v := s.view()
		pos, _, ok, err := v.find(from)
		sc := scan{f: s.file, pos: pos, size: s.size}
		for ok && err == nil {
			var b []byte
			var info record.Info
			if b, info, ok, err = sc.next(); !ok || err != nil || info.BaseOffset >= end {
				break
			}
			_, _, err = ps.replay(b, &info)
		}
		v.release()
		if err != nil {
			return ps, err
		}
	}
	return ps, nil
}
