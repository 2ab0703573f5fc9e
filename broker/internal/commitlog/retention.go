package commitlog

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// cleanLogs runs retention and compaction over all open logs, one at a time.
func (c *Committer) cleanLogs(every time.Duration) {
	defer c.bg.Done()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var logs []*Log
		select {
		case <-c.stop:
			return
		case <-c.soon:
			c.mu.Lock()
			logs = slices.Collect(maps.Keys(c.dirty))
			clear(c.dirty)
			c.mu.Unlock()
		case <-tick.C:
			c.mu.Lock()
			logs = slices.Collect(maps.Keys(c.logs))
			c.mu.Unlock()
		}
		for _, l := range logs {
			select {
			case <-c.stop:
				return
			default:
			}
			if err := errors.Join(l.Clean(), l.checkpointIdle()); err != nil {
				c.cfg.Logger.Warn("cleaning a log failed, it is tried again later", "dir", l.opts.Dir, "err", err)
			}
		}
	}
}

// Clean applies the log's cleanup policy once. It takes the lock itself.
func (l *Log) Clean() error {
	l.Lock()
	cfg, stopped := l.cfg, l.Refuses()
	l.producers.expire(l.opts.Now().Add(-cfg.ProducerExpiry).UnixMilli())
	l.Unlock()
	if stopped != nil {
		return nil //nolint:nilerr // a log that takes nothing has nothing to clean
	}
	var err error
	if cfg.Delete {
		err = l.Retain()
	}
	if cfg.Compact {
		err = errors.Join(err, l.rollOverdue(cfg), l.Compact())
	}
	return err
}

// rollOverdue begins a new segment when the active one holds a record that should
// have been compacted by now (max.compaction.lag.ms).
func (l *Log) rollOverdue(cfg Config) error {
	if cfg.CompactionLagMax <= 0 {
		return nil
	}
	l.Lock()
	s := l.active()
	due := s.firstTimestamp >= 0 && l.opts.Now().UnixMilli()-s.firstTimestamp > cfg.CompactionLagMax.Milliseconds()
	l.Unlock()
	if !due {
		return nil
	}
	return l.rollNow()
}

// cleanSoon has a log looked at before its turn: it has a new segment to compact.
func (c *Committer) cleanSoon(l *Log) {
	c.mu.Lock()
	c.dirty[l] = struct{}{}
	c.mu.Unlock()
	select {
	case c.soon <- struct{}{}:
	default:
	}
}

// Retain raises the log start above the segments that are too old or too much
// (retention.ms, retention.bytes), and removes them. Only what counts as stored goes.
// It takes the lock itself.
func (l *Log) Retain() error {
	l.Lock()
	cfg, now := l.cfg, l.opts.Now().UnixMilli()
	excess := int64(-1)
	if cfg.RetentionBytes >= 0 {
		excess = -cfg.RetentionBytes
		for _, s := range l.segs {
			if s.next > l.start {
				excess += s.size
			}
		}
	}
	stored := l.Settled()
	start := l.start
	expireActive := false
	for i, s := range l.segs {
		if s.next <= l.start {
			continue
		}
		old := cfg.RetentionTime >= 0 && s.maxTimestamp >= 0 && now-s.maxTimestamp > cfg.RetentionTime.Milliseconds()
		much := excess >= s.size
		if s.size == 0 || s.next > stored || !(old || much) {
			break
		}
		excess -= s.size
		start = s.next
		expireActive = i == len(l.segs)-1
	}
	l.Unlock()
	if expireActive {
		// The log goes on in a segment of its own, so that this one's file can go.
		if err := l.rollNow(); err != nil {
			return err
		}
	}
	return l.SetStart(start)
}

// rollNow begins a new segment at the end of the log, unless something is on its
// way to the active one.
func (l *Log) rollNow() error {
	l.io.Lock()
	defer l.io.Unlock()
	l.Lock()
	if l.Refuses() != nil || l.written < l.end || l.active().size == 0 {
		defer l.Unlock()
		return nil
	}
	end := l.end
	m := mark{offset: end, base: end, producers: l.producers.encode()}
	// Appends that come from here on lie in the new segment.
	l.tail = tail{base: end, first: -1}
	l.sinceMark = 0
	l.Unlock()
	err := l.roll(end)
	l.Lock()
	defer l.Unlock()
	if err != nil {
		l.failedWrite(err)
		return err
	}
	l.marks = append(l.marks, m)
	if end <= l.durable {
		l.opts.Committer.upkeep(l)
	}
	return nil
}
