package commitlog

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The scrubber reads what nothing else does: a start takes sealed segments by their size
// and last batch, and readers get what is in the page cache. Each sealed segment is read
// once a period, at a bounded rate, one at a time. Of a damaged one the partition stops,
// as it would be refused at a start; damaged indexes are built again.

// scrubLook is how often it is looked for segments whose turn it is.
const scrubLook = time.Minute

// pacer bounds how fast something reads.
type pacer struct {
	rate int64 // bytes a second
	stop <-chan struct{}
	debt int64 // bytes read and not waited for
}

// read notes n bytes and waits when enough have come together; false: it is to end.
func (p *pacer) read(n int64) bool {
	if p.debt += n; p.debt < scanChunk {
		return true
	}
	t := time.NewTimer(time.Duration(float64(p.debt) / float64(p.rate) * float64(time.Second)))
	defer t.Stop()
	p.debt = 0
	select {
	case <-p.stop:
		return false
	case <-t.C:
		return true
	}
}

func (c *Committer) scrubLogs() {
	defer c.bg.Done()
	tick := time.NewTicker(min(scrubLook, c.cfg.ScrubEvery))
	defer tick.Stop()
	p := &pacer{rate: c.cfg.ScrubRate, stop: c.stop}
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		logs := make([]*Log, 0, len(c.logs))
		for l := range c.logs {
			logs = append(logs, l)
		}
		c.mu.Unlock()
		slices.SortFunc(logs, func(a, b *Log) int { return strings.Compare(a.opts.Dir, b.opts.Dir) })
		for _, l := range logs {
			l.scrub(p)
		}
	}
}

// scrub reads the segments whose turn it is, until the log is closed or the pacer says
// that it is over.
func (l *Log) scrub(p *pacer) {
	for {
		v, ok := l.dueForScrub()
		if !ok {
			return
		}
		err := l.scrubSegment(&v, p)
		v.release()
		if errors.Is(err, errClosing) {
			return
		}
		if err != nil {
			l.scrubFailed(v.seg, err)
		}
	}
}

// dueForScrub takes the next segment whose turn it is.
func (l *Log) dueForScrub() (view, bool) {
	l.Lock()
	defer l.Unlock()
	now := l.opts.Now()
	for _, s := range l.segs[:len(l.segs)-1] {
		if l.Refuses() == nil && s.sealed && now.Sub(s.scrubbed) >= l.opts.Committer.cfg.ScrubEvery {
			s.scrubbed = now
			return s.view(), true
		}
	}
	return view{}, false
}

// scrubFailed tells the world about a segment, unless it has left the log meanwhile.
func (l *Log) scrubFailed(s *segment, err error) {
	l.Lock()
	defer l.Unlock()
	if l.Refuses() != nil || !slices.Contains(l.segs, s) {
		return
	}
	l.opts.Committer.count(Stats{Damaged: 1})
	var damage *DamageError
	if !errors.As(err, &damage) {
		l.opts.Logger.Error("the scrubber cannot read a segment; it tries again in the next period. Look into the disk (dmesg, smartctl)",
			"file", fileName(s.dir, s.base, logSuffix), "err", err)
		return
	}
	l.opts.Logger.Error("the scrubber found damage: the partition is stopped and answers KAFKA_STORAGE_ERROR", "file", damage.File, "position", damage.Pos, "err", err)
	l.stop(l.storageError("scrub", err))
}

// scrubSegment verifies all batches of a sealed segment, and its indexes against them.
func (l *Log) scrubSegment(v *view, p *pacer) error {
	s := v.seg
	l.Lock()
	interval := l.cfg.IndexInterval
	l.Unlock()
	idx := newIndexCheck(s.fs, s.dir, s.base, -1, -1)
	fresh := newSegment(s.fs, s.dir, s.base)
	next := s.base
	sc := scan{f: s.file, size: v.size}
	for sc.pos < v.size {
		pos := sc.pos
		_, info, ok, err := sc.next()
		if err != nil {
			return err
		}
		if !ok || info.BaseOffset < next || info.LastOffset() >= v.next {
			return &DamageError{File: fileName(s.dir, s.base, logSuffix), Pos: pos, Err: errNoBatch}
		}
		next = info.NextOffset()
		fresh.note(&info, interval)
		idx.see(pos, &info)
		l.opts.Committer.count(Stats{Scrubbed: int64(info.Size)})
		if !p.read(int64(info.Size)) || l.closing.Load() {
			return errClosing
		}
	}
	fresh.noteTime()
	_, problem := idx.verdict()
	if problem == "" {
		return nil
	}
	return l.replaceIndexes(s, fresh, problem)
}

// replaceIndexes puts indexes that were built anew in the place of a sealed segment's.
func (l *Log) replaceIndexes(s, fresh *segment, problem string) error {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.Lock()
	there := l.Refuses() == nil && slices.Contains(l.segs, s)
	l.Unlock()
	if !there {
		return nil
	}
	l.opts.Logger.Warn("the scrubber builds the indexes of a segment again", "file", fileName(s.dir, s.base, logSuffix), "problem", problem)
	for _, x := range []*index{&fresh.offsets, &fresh.times} {
		if err := replaceFile(s.fs, s.dir, filepath.Base(x.name), x.mem); err != nil {
			return err
		}
	}
	l.Lock()
	defer l.Unlock()
	s.offsets.count, s.times.count = fresh.offsets.count, fresh.times.count
	s.maxTimestamp, s.maxTimestampOff, s.firstTimestamp = fresh.maxTimestamp, fresh.maxTimestampOff, fresh.firstTimestamp
	return nil
}
