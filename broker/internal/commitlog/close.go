package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

// deletedSuffix ends the name of a directory that is being removed.
const deletedSuffix = "-delete"

var (
	errClosed  = record.Errorf(record.CodeStorageError, "the partition is closed")
	errDeleted = record.Errorf(record.CodeUnknownTopicOrPartition, "the partition is deleted")
)

// Close writes and syncs what is staged, saves all derived state so that the next
// start reads nothing again, and closes the files. No append may come any more.
func (l *Log) Close() error {
	l.closing.Store(true)
	l.compacting.Lock()
	defer l.compacting.Unlock()
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.Lock()
	if errors.Is(l.stopped, errClosed) || errors.Is(l.stopped, errDeleted) {
		l.Unlock()
		return nil
	}
	l.Unlock()
	err := l.Sync()
	l.io.Lock()
	defer l.io.Unlock()
	if err == nil {
		err = l.checkpointEnd()
	}
	l.Lock()
	defer l.Unlock()
	l.stop(errClosed)
	l.stopped = errClosed
	l.clean = err == nil
	l.opts.Committer.unregister(l)
	for _, s := range l.segs {
		s.release()
	}
	return err
}

// checkpointEnd makes a checkpoint at the end of the log, if that is durable and
// not the one there is. upkeep and io are held.
func (l *Log) checkpointEnd() error {
	l.Lock()
	if l.durable < l.end || (l.saved.recovery == l.end && l.saved.start == l.start) {
		l.Unlock()
		return nil
	}
	seg := l.active()
	m := mark{offset: l.end, base: seg.base, pos: seg.size, producers: l.producers.encode()}
	l.marks = nil
	l.Unlock()
	return l.checkpointAt(m)
}

// Delete closes the log without writing what is staged, and removes its directory.
func (l *Log) Delete() error {
	l.Lock()
	l.stop(errDeleted)
	l.stopped = errDeleted
	l.Unlock()
	l.closing.Store(true)
	l.compacting.Lock()
	defer l.compacting.Unlock()
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.io.Lock()
	defer l.io.Unlock()
	l.Lock()
	segs := l.segs
	l.Unlock()
	l.opts.Committer.unregister(l)
	// The name goes first and durably, so that a topic made again under it finds
	// nothing; readers keep their files until they are done.
	away := fmt.Sprintf("%s.%x%s", l.opts.Dir, l.opts.ID[:4], deletedSuffix)
	if err := l.opts.FS.Rename(l.opts.Dir, away); err != nil {
		return err
	}
	if err := l.opts.FS.SyncDir(filepath.Dir(l.opts.Dir)); err != nil {
		return err
	}
	for _, s := range segs {
		s.release()
	}
	return l.opts.FS.RemoveAll(away)
}

// IsLeftover tells whether a directory name is that of a partition whose removal
// was cut short: it can be removed.
func IsLeftover(name string) bool { return strings.HasSuffix(name, deletedSuffix) }
