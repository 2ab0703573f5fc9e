package commitlog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Write gets what is staged on its way. It is called after appends, without the lock.
//
// Large batches are written here, by the goroutine that brought them: their bytes are
// in its processor's cache, and the committer has only to sync. With wait it waits for
// the log's files where they are in use: with the committer the bytes would lie until
// its round is over. That can be as long as a roll or a swap takes, so who answers others
// meanwhile does not wait. Where nothing is synced before it counts small ones are written
// here too, as there is no round to be part of, unless the files are in use. Small ones of
// many producers wait for the committer, which writes them together. So does what finds
// enough goroutines writing: one that blocks in a write holds a thread.
func (l *Log) Write(wait bool) {
	c := l.opts.Committer
	l.Lock()
	staged, large := len(l.staged) > 0, l.stagedBytes >= c.cfg.LargeWrite
	wait = wait && large
	here := staged && (large || c.cfg.Flush != FlushGroup) && (wait || l.io.TryLock())
	if staged && !here {
		l.enqueue()
	}
	l.Unlock()
	if !here {
		return
	}
	if wait {
		l.io.Lock() // not with the log's lock, which comes behind it
	}
	defer l.io.Unlock()
	if !c.admit() {
		l.Lock()
		l.enqueue()
		l.Unlock()
		return
	}
	l.writeStaged()
	c.writers.Add(-1)
}

// enqueue leaves what is staged to the committer. The lock is held.
func (l *Log) enqueue() {
	if len(l.staged) > 0 && !l.queued {
		l.queued = true
		l.opts.Committer.enqueue(l)
	}
}

// writeStaged writes what is staged into the segments' files. io is held.
func (l *Log) writeStaged() {
	l.Lock()
	l.queued = false
	if l.Refuses() != nil || len(l.staged) == 0 {
		l.Unlock()
		return
	}
	batches := l.staged
	l.staged, l.spare, l.stagedBytes = l.spare[:0], nil, 0
	l.Unlock()

	err := l.writeBatches(batches)

	l.Lock()
	defer l.Unlock()
	clear(batches)
	l.spare = batches[:0]
	if err != nil {
		l.failedWrite(err)
	}
}

// writeBatches writes batches in runs that share a segment. What it has written is
// accounted for when it returns, also with an error.
func (l *Log) writeBatches(batches []staged) error {
	for len(batches) > 0 {
		if batches[0].roll {
			if err := l.roll(batches[0].info.BaseOffset); err != nil {
				return err
			}
		}
		run := 1
		for run < len(batches) && !batches[run].roll {
			run++
		}
		if err := l.writeRun(batches[:run]); err != nil {
			return err
		}
		batches = batches[run:]
	}
	return nil
}

// writeRun writes batches to the active segment. After a short write the whole
// batches that made it are kept.
func (l *Log) writeRun(batches []staged) error {
	seg := l.segs[len(l.segs)-1] // segs and size change under io only
	l.bufs = l.bufs[:0]
	for i := range batches {
		l.bufs = append(l.bufs, batches[i].batch)
	}
	n, err := seg.file.WriteVAt(l.bufs, seg.size)
	if space := l.opts.Committer.cfg.Space; fsys.IsNoSpace(err) && space != nil {
		space.NoSpace()
		if !slices.ContainsFunc(batches, func(e staged) bool { return e.client }) {
			n, err = seg.file.WriteVAt(l.bufs, seg.size)
		}
	}
	clear(l.bufs)
	l.Lock()
	defer l.Unlock()
	pos, kept := seg.size, 0
	for i := range batches {
		e := &batches[i]
		if n < int64(e.info.Size) {
			break
		}
		n -= int64(e.info.Size)
		if e.mark != nil {
			l.marks = append(l.marks, *e.mark)
		}
		seg.note(&e.info, l.cfg.IndexInterval)
		if e.abort.Last > 0 {
			seg.txns = append(seg.txns, e.abort)
		}
		l.written = e.info.NextOffset()
		l.unsynced += int64(e.info.Size)
		kept++
	}
	if kept > 0 {
		l.opts.Committer.wrote(l, seg.base, pos, batches[:kept]) // before the bytes are given back
	}
	l.opts.Owner.Advanced()
	l.changed.Broadcast()
	return err
}

// failedWrite restores the log to what was written: a write that failed left some
// bytes behind, or none. They are cut off and the cut is synced before anything
// else is written, so that no crash can bring them back between later batches. If
// that fails as well the log stops. io and the lock are held.
func (l *Log) failedWrite(cause error) {
	if l.Refuses() != nil {
		return
	}
	kafka := l.storageError("write", cause)
	var lost fatalError
	if errors.As(cause, &lost) {
		l.stop(kafka)
		return
	}
	seg := l.active()
	l.dropStaged()
	err := seg.file.Truncate(seg.size)
	if err == nil {
		err = seg.file.SyncData()
	}
	if err == nil {
		l.marks = dropMarks(l.marks, l.written)
		err = l.rederive()
	}
	if err != nil {
		l.stop(l.storageError("restore after a failed write", errors.Join(err, cause)))
		return
	}
	l.opts.Logger.Error("write failed, the log is back at its last good offset", "dir", l.opts.Dir, "offset", l.written, "err", cause)
	l.opts.Owner.Failed(l.written, kafka)
}

func dropMarks(marks []mark, end int64) []mark {
	for len(marks) > 0 && marks[len(marks)-1].offset > end {
		marks = marks[:len(marks)-1]
	}
	return marks
}

// rederive computes everything that staging had run ahead with from the batches
// that are in the files: end, tail, producers, epochs. io and the lock are held.
func (l *Log) rederive() error {
	seg := l.active()
	l.end = l.written
	l.tail = tail{base: seg.base, size: seg.size, first: seg.firstTimestamp}
	l.epochs.truncateEnd(l.end)
	ps, err := l.loadProducers(l.end)
	if err != nil {
		return fmt.Errorf("producer state: %w", err)
	}
	l.producers = ps
	return nil
}

// roll begins a new segment at base. The old one is synced first: only the last
// segment ever has bytes that are not durable. io is held.
func (l *Log) roll(base int64) error {
	old := l.segs[len(l.segs)-1]
	if err := old.file.SyncData(); err != nil {
		return fatal(err)
	}
	next, err := createSegment(l.opts.FS, l.opts.Dir, base)
	if err != nil {
		return err
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		_ = next.file.Close()
		_ = l.opts.FS.Remove(fileName(l.opts.Dir, base, logSuffix))
		return fatal(err)
	}
	l.Lock()
	defer l.Unlock()
	old.synced = old.size
	old.noteTime()
	l.segs = append(l.segs, next)
	return nil
}

// fatalError marks a failed sync: the kernel may have dropped what it could not
// write, so nothing after it can be trusted, and asking again would lie.
type fatalError struct{ error }

func (e fatalError) Unwrap() error { return e.error }

func fatal(err error) error { return fatalError{err} }

// syncFiles makes everything written durable, and returns up to which offset. It
// runs without locks.
func (l *Log) syncFiles() (upTo int64, err error) {
	l.Lock()
	if err := l.Refuses(); err != nil {
		l.Unlock()
		return 0, err
	}
	upTo = l.written
	seg := l.active() // those before it were synced when it was made
	size := seg.size
	seg.acquire()
	l.Unlock()
	defer seg.release()
	if err := seg.file.SyncData(); err != nil {
		return 0, err
	}
	l.Lock()
	seg.synced = max(seg.synced, min(size, seg.size))
	l.Unlock()
	return upTo, nil
}

// syncForJournal syncs the segments, so that the journal need not keep what it has
// of this log. A log that is deleted, or closed with everything synced, has nothing.
func (l *Log) syncForJournal() error {
	upTo, err := l.syncFiles()
	l.Lock()
	done := errors.Is(l.stopped, errDeleted) || (errors.Is(l.stopped, errClosed) && l.clean)
	l.Unlock()
	if done {
		return nil
	}
	l.synced(upTo, err)
	return err
}

// synced takes in what syncFiles achieved.
func (l *Log) synced(upTo int64, err error) {
	l.Lock()
	defer l.Unlock()
	switch {
	case l.Refuses() != nil:
	case err != nil:
		l.opts.Logger.Error("a sync failed: the partition is stopped and answers KAFKA_STORAGE_ERROR. Nothing that was acknowledged is lost. "+
			"Look into the disk (dmesg, smartctl), then restart the broker", "dir", l.opts.Dir, "err", err)
		l.stop(l.storageError("sync", err))
	case upTo > l.durable:
		l.durable = min(upTo, l.written)
		l.unsynced = 0
		l.opts.Owner.Advanced()
		l.changed.Broadcast()
		if len(l.marks) > 0 && l.marks[0].offset <= l.durable {
			l.opts.Committer.upkeep(l)
		}
	}
}

// Sync writes and syncs everything appended so far.
func (l *Log) Sync() error {
	l.Write(false)
	l.Lock()
	defer l.Unlock()
	want := l.end
	for l.Refuses() == nil && l.written < want {
		l.changed.Wait()
	}
	if err := l.Refuses(); err != nil {
		return err
	}
	if l.durable >= want {
		return nil
	}
	l.Unlock()
	upTo, err := l.syncFiles()
	l.synced(upTo, err)
	l.Lock()
	return l.Refuses()
}
