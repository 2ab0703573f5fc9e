package commitlog

import (
	"errors"
	"math/rand/v2"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// openJournal writes what an earlier life left in the journal into the segments, and
// opens it if it is there and wanted. It runs before any log is opened.
func (c *Committer) openJournal() error {
	gen, seq, ends, err := replayJournal(c.cfg.FS, c.cfg.Dir, c.cfg.Logger)
	if gen == 0 {
		// Nobody who produces can guess it, and so pass off a record's value as a record
		// of the journal.
		gen = rand.Uint64() >> 8
	}
	if err != nil {
		return err
	}
	c.replayed = ends
	there := false
	for i := range journalNames {
		_, err := c.cfg.FS.Stat(journalFile(c.cfg.Dir, i))
		if err != nil && !errors.Is(err, fsys.ErrNotExist) {
			return err
		}
		there = there || err == nil
	}
	wanted := c.cfg.Flush == FlushGroup && c.cfg.JournalBytes > 0
	if wanted {
		half := max(c.cfg.JournalBytes/2, 16*journalAlign) / journalAlign * journalAlign
		c.journal = &journal{fs: c.cfg.FS, dir: c.cfg.Dir, half: half, room: half / 16, gen: gen, seq: seq}
	}
	switch {
	case there && wanted:
		// What it says must not be written again once logs have moved on.
		err := c.journal.create()
		if !fsys.IsNoSpace(err) || errors.Is(err, errNames) {
			return err
		}
		c.noJournal(err)
		return c.journal.discard()
	case there:
		return removeJournal(c.cfg.FS, c.cfg.Dir)
	}
	return nil
}

// noJournal tells that the journal could not be made.
func (c *Committer) noJournal(err error) {
	c.cfg.Logger.Warn("no commit journal, rounds sync every segment they wrote", "err", err)
}

// createJournal makes the journal in the background. Where it cannot be made, a failed
// sync of its files included, nothing is lost: they do not say anything yet.
func (c *Committer) createJournal() {
	defer c.bg.Done()
	err := c.journal.create()
	if err == nil {
		return
	}
	if !errors.Is(err, errNames) {
		err = errors.Join(err, c.journal.discard())
	}
	if errors.Is(err, errNames) {
		c.Fail(err)
		return
	}
	c.noJournal(err)
}

// cleanJournal makes a full journal file free again.
func (c *Committer) cleanJournal(file int) {
	defer c.bg.Done()
	if err := c.journal.clean(file); err != nil {
		c.cfg.Logger.Error("a log could not be synced; the commit journal keeps what it has of it until the next start, and rounds sync every segment they wrote", "err", err)
	}
}

// void makes the journal entries of a log worthless; see journal.void. Failing, it may
// have cost the data directory its journal.
func (c *Committer) void(l *Log) error {
	if c.journal == nil {
		return nil
	}
	err := c.journal.void(l)
	if failed := c.journal.failed(); failed != nil {
		c.Fail(failed)
	}
	return err
}

// reaches is how far a log must reach that is opened for the first time, by what the
// journal knew of it.
func (c *Committer) reaches(dir string) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replayed[dir]
}

// register adds a log that is open now.
func (c *Committer) register(l *Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What the journal knew was acknowledged, so the log must have it.
	if seg := l.active(); (place{seg.base, seg.size}).before(l.reaches) {
		return &DamageError{File: fileName(l.opts.Dir, seg.base, logSuffix), Pos: seg.size, Err: errors.New("the log ends there, the commit journal knows of more")}
	}
	delete(c.replayed, l.opts.Dir)
	c.logs[l] = struct{}{}
	if c.failed != nil {
		l.freeze(c.failed)
	}
	return nil
}

func (c *Committer) unregister(l *Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.logs, l)
	delete(c.late, l)
	delete(c.dirty, l)
}

// Fail makes the data directory read-only: nothing is written to it any more, what
// can be read goes on to be. It is for a failed sync of what speaks for all logs, the
// commit journal or the cluster log; only the first counts.
func (c *Committer) Fail(cause error) {
	err := record.Errorf(record.CodeStorageError, "the data directory is read-only since a sync failed: %v", cause)
	c.mu.Lock()
	if c.failed != nil {
		c.mu.Unlock()
		return
	}
	c.failed = err
	logs := make([]*Log, 0, len(c.logs))
	for l := range c.logs {
		logs = append(logs, l)
	}
	c.mu.Unlock()
	c.cfg.Logger.Error("a sync that speaks for the whole data directory failed: it is read-only from now on, reads go on. "+
		"Nothing that was acknowledged is lost. Look into the disk (dmesg, smartctl), then restart the broker", "dir", c.cfg.Dir, "err", cause)
	for _, l := range logs {
		l.Lock()
		l.freeze(err)
		l.Unlock()
	}
	if c.cfg.OnFailed != nil {
		c.cfg.OnFailed(cause)
	}
}

// Failed is why the data directory is read-only, or nil.
func (c *Committer) Failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
