package commitlog

import "slices"

// round is what has been written since the round before it began to be synced, and
// how it will be: by its journal record, or segment by segment. It belongs to
// Committer.rounds.
//
// Invariant: record holds everything written to the logs, or journal is nil.
type round struct {
	logs    []wrote
	journal *journal
	record  []byte
}

// wrote is a log that a round has written to, up to which offset, and which of its
// lives that was when it was first written to.
type wrote struct {
	log  *Log
	upTo int64
	life int64
}

// begin makes the round ready for what is written and journaled.
func (r *round) begin(j *journal) { r.journal, r.record = j, beginRecord(r.record) }

// add notes batches that were written to a log, in the segment base from pos on. io
// and the log's lock are held.
func (r *round) add(l *Log, base, pos int64, batches []staged) {
	if l.slot < len(r.logs) && r.logs[l.slot].log == l {
		r.logs[l.slot].upTo = l.written
	} else {
		l.slot = len(r.logs)
		r.logs = append(r.logs, wrote{l, l.written, l.lives.Load()})
	}
	if r.journal == nil {
		return
	}
	if r.record = r.journal.appendData(r.record, l, base, pos, batches); len(r.record) > journalRound {
		r.journal = nil // syncing the segments is cheaper
	}
}

// dropRefusing forgets the logs that failed since: nobody waits for them any more.
func (r *round) dropRefusing() {
	r.logs = slices.DeleteFunc(r.logs, func(w wrote) bool {
		w.log.Lock()
		defer w.log.Unlock()
		return w.log.Refuses() != nil
	})
}

// clear empties the round.
func (r *round) clear() {
	clear(r.logs)
	r.logs, r.record, r.journal = r.logs[:0], r.record[:0], nil
}
