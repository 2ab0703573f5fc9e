package commitlog

// SetStart raises the log start offset, durably, and removes the segments that lie
// below it. It takes the lock itself. offset must not be above what is written.
func (l *Log) SetStart(offset int64) error {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.Lock()
	if offset > l.durable && l.Refuses() == nil {
		// A start above the end of the log would be damage to the next recovery.
		l.Unlock()
		if err := l.Sync(); err != nil {
			return err
		}
		l.Lock()
	}
	if err := l.Refuses(); err != nil {
		defer l.Unlock()
		return err
	}
	if offset <= l.start {
		l.Unlock()
		return nil
	}
	c := l.saved
	c.start = offset
	l.Unlock()
	if err := l.saveCheckpoint(c); err != nil {
		return l.storageError("save the log start offset", err)
	}
	l.Lock()
	l.start = offset
	l.epochs.truncateStart(offset)
	l.opts.Owner.Advanced()
	l.Unlock()
	l.dropBelowStart()
	return nil
}

// dropBelowStart removes segments that end at or below the log start. Those above
// the recovery point stay until a checkpoint has passed them: a start begins to read
// there. upkeep is held.
func (l *Log) dropBelowStart() {
	l.io.Lock()
	l.Lock()
	n := 0
	for l.Refuses() == nil && n+1 < len(l.segs) && l.segs[n+1].base <= min(l.start, l.saved.base) {
		n++
	}
	gone := l.segs[:n:n]
	l.segs = append([]*segment(nil), l.segs[n:]...)
	l.Unlock()
	l.io.Unlock()
	for _, s := range gone {
		s.remove()
	}
}
