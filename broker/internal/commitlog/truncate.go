package commitlog

import "github.com/quokka-stream/quokka/broker/internal/record"

// Truncate cuts the log back to end at offset, or at the base of the batch that
// holds it, and returns where it ends now. Everything derived follows. What is
// staged is dropped. It takes the lock itself.
//
// A log that has been a leader alone never does this; a follower does when its
// leader's log took another way.
func (l *Log) Truncate(offset int64) (int64, error) {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.io.Lock()
	defer l.io.Unlock()
	// The commit journal must not write again what is cut off here.
	upTo, err := l.syncFiles()
	l.synced(upTo, err)
	if err == nil {
		err = l.opts.Committer.void(l)
	}
	if err != nil {
		return 0, err
	}
	l.Lock()
	defer l.Unlock()
	if err := l.Refuses(); err != nil {
		return 0, err
	}
	if offset < l.start {
		return 0, record.Errorf(record.CodeOffsetOutOfRange, "offset %d lies below the log start, %d", offset, l.start)
	}
	if offset >= l.written {
		if offset < l.end {
			l.dropStaged()
			if err := l.rederive(); err != nil {
				l.stop(l.storageError("truncate", err))
				return 0, err
			}
		}
		return l.end, nil
	}
	// From here on a failure leaves files that memory does not describe.
	end, err := l.truncateFiles(offset)
	if err != nil {
		l.opts.Logger.Error("truncation failed, the partition is stopped", "dir", l.opts.Dir, "offset", offset, "err", err)
		l.stop(l.storageError("truncate", err))
		return 0, l.stopped
	}
	l.opts.Owner.Advanced()
	return end, nil
}

func (l *Log) truncateFiles(offset int64) (int64, error) {
	l.dropStaged()
	i := l.segmentOf(offset)
	v := l.segs[i].view()
	pos, info, found, err := v.find(offset)
	v.release()
	if err != nil {
		return 0, err
	}
	end := offset
	if found {
		end = min(offset, info.BaseOffset)
	}
	if end < l.saved.recovery {
		// A start must not take what goes away for damage. It will read everything
		// again if it comes before the next checkpoint.
		first := l.segs[0].base
		c := checkpoint{start: l.saved.start, recovery: first, base: first, compacted: min(l.compacted, end)}
		l.compacted = c.compacted
		l.Unlock()
		err := l.dropSnapshots(-1)
		if err == nil {
			err = l.saveCheckpoint(c)
		}
		l.Lock()
		if err != nil {
			return 0, err
		}
	}
	for _, s := range l.segs[i+1:] {
		s.remove()
	}
	l.segs = l.segs[: i+1 : i+1]
	s := l.segs[i]
	if err := s.file.Truncate(pos); err != nil {
		return 0, err
	}
	if err := s.file.SyncData(); err != nil {
		return 0, err
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return 0, err
	}
	if err := s.cutTo(pos, end); err != nil {
		return 0, err
	}
	l.written, l.durable, l.unsynced = end, end, 0
	l.places.renew()
	l.marks = dropMarks(l.marks, end)
	return end, l.rederive()
}

// cutTo makes the segment end at pos, before offset end. Index files are written
// again in full at the next checkpoint.
func (s *segment) cutTo(pos, end int64) error {
	if s.offsets.inFile {
		if err := s.offsets.load(); err != nil {
			return err
		}
		if err := s.times.load(); err != nil {
			return err
		}
	}
	n := 0
	for n < s.offsets.count {
		if _, p := parseOffsetEntry(s.offsets.mem[n*offsetEntrySize:]); int64(p) >= pos {
			break
		}
		n++
	}
	s.offsets.cut(n)
	n = 0
	s.maxTimestamp, s.maxTimestampOff = -1, s.base
	for n < s.times.count {
		ts, rel := parseTimeEntry(s.times.mem[n*timeEntrySize:])
		if s.base+int64(rel) >= end {
			break
		}
		s.maxTimestamp, s.maxTimestampOff = ts, s.base+int64(rel)
		n++
	}
	s.times.cut(n)
	s.offsets.flushed, s.times.flushed, s.txnsFlushed, s.sealed = 0, 0, 0, false
	for n = len(s.txns); n > 0 && s.txns[n-1].Last >= end; n-- {
	}
	s.txns = s.txns[:n:n]
	s.size, s.synced, s.next = pos, pos, end
	if pos == 0 {
		s.firstTimestamp = -1
	}
	return s.remeasure(pos)
}
