package commitlog

import (
	"errors"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

var errNoBatch = errors.New("no whole batch is there")

// txnFilter follows a log batch by batch, from its start, and tells which
// transactions were aborted.
type txnFilter struct {
	ahead   []AbortedTxn // not reached yet, by first offset
	aborted map[int64]*abortedTxn
	// committed has the producers of whose transaction under way data was seen.
	committed map[int64]bool
}

// abortedTxn is an aborted transaction under way.
type abortedTxn struct {
	AbortedTxn
	seen bool // some of its data is still there
}

func newTxnFilter(aborted []AbortedTxn) *txnFilter {
	return &txnFilter{ahead: aborted, aborted: map[int64]*abortedTxn{}, committed: map[int64]bool{}}
}

func (f *txnFilter) reach(offset int64) {
	for len(f.ahead) > 0 && f.ahead[0].First <= offset {
		f.aborted[f.ahead[0].ProducerID] = &abortedTxn{AbortedTxn: f.ahead[0]}
		f.ahead = f.ahead[1:]
	}
}

// discards takes in the next batch. For data it tells whether it was aborted; for a
// marker, whether nothing of its transaction is left.
func (f *txnFilter) discards(b []byte, info *record.Info) bool {
	gone, _ := f.next(b, info)
	return gone
}

// next is discards; ended is the aborted transaction that a marker ended and of which
// data was still there.
func (f *txnFilter) next(b []byte, info *record.Info) (gone bool, ended *AbortedTxn) {
	f.reach(info.LastOffset())
	if !info.Transactional() {
		return false, nil
	}
	pid := info.ProducerID
	if !info.Control() {
		if t := f.aborted[pid]; t != nil {
			t.seen = true
			return true, nil
		}
		f.committed[pid] = true
		return false, nil
	}
	m, ok, err := record.ParseMarker(b)
	if err != nil || !ok {
		return err == nil && info.Count == 0, nil
	}
	if m.Commit {
		had := f.committed[pid]
		delete(f.committed, pid)
		return !had, nil
	}
	t := f.aborted[pid]
	delete(f.aborted, pid)
	if t == nil || !t.seen {
		return true, nil
	}
	return false, &t.AbortedTxn
}

// cleaner decides batch by batch and record by record what stays.
type cleaner struct {
	plan *compactPlan
	keys *offsetMap
	end  int64 // offset up to which keys knows the log
	txns *txnFilter

	reader  record.Reader
	kept    []record.Record
	rec     record.Record
	out     []byte
	horizon int64
}

func newCleaner(p *compactPlan, keys *offsetMap, end int64) *cleaner {
	return &cleaner{plan: p, keys: keys, end: end, txns: newTxnFilter(p.aborted), horizon: p.now + p.cfg.DeleteRetention.Milliseconds()}
}

// clean returns what stays of a batch: the batch itself, another one in its place, or
// nil. What it returns holds until the next call.
func (c *cleaner) clean(b []byte, info *record.Info) (_ []byte, ended *AbortedTxn, err error) {
	gone, ended := c.txns.next(b, info)
	carries := c.carriesSequence(info) || info.NextOffset() == c.plan.tail
	at, hasHorizon := info.DeleteHorizon()
	passed := hasHorizon && at <= c.plan.now

	if info.Control() {
		switch {
		case !gone:
			return b, ended, nil
		case hasHorizon && passed && carries:
			out, err := record.Rebuild(c.out[:0], b, nil, -1)
			c.out = out
			return out, ended, err
		case passed:
			return nil, ended, nil
		case hasHorizon:
			return b, ended, nil
		}
		return c.rebuildAll(b, ended)
	}

	c.kept = c.kept[:0]
	tombstones := false
	if !gone {
		if err := c.reader.Reset(b, 0); err != nil {
			return nil, nil, err
		}
		for c.reader.Next(&c.rec) {
			if c.keeps(&c.rec, passed) {
				tombstones = tombstones || c.rec.Value == nil
				r := c.rec
				r.Headers = append([]record.Header(nil), c.rec.Headers...)
				c.kept = append(c.kept, r)
			}
		}
		if c.reader.Err() != nil {
			return nil, nil, c.reader.Err()
		}
	}
	horizon := int64(-1)
	if tombstones && !hasHorizon {
		horizon = c.horizon
	}
	switch {
	case len(c.kept) == 0 && !carries:
		return nil, ended, nil
	case len(c.kept) == int(info.Count) && horizon < 0:
		return b, ended, nil
	}
	c.out, err = record.Rebuild(c.out[:0], b, c.kept, horizon)
	return c.out, ended, err
}

// rebuildAll sets the delete horizon of a marker that is no longer needed.
func (c *cleaner) rebuildAll(b []byte, ended *AbortedTxn) ([]byte, *AbortedTxn, error) {
	if err := c.reader.Reset(b, 0); err != nil {
		return nil, nil, err
	}
	c.kept = c.kept[:0]
	for c.reader.Next(&c.rec) {
		c.kept = append(c.kept, c.rec)
	}
	var err error
	c.out, err = record.Rebuild(c.out[:0], b, c.kept, c.horizon)
	return c.out, ended, err
}

// keeps decides about one record of a batch that was not aborted.
func (c *cleaner) keeps(r *record.Record, horizonPassed bool) bool {
	if r.Offset >= c.end {
		return true // the map does not reach that far
	}
	if r.Key == nil {
		return false
	}
	return r.Offset >= c.keys.get(r.Key) && (r.Value != nil || !horizonPassed)
}

// carriesSequence tells whether the batch is the one a restart would take a
// producer's state from.
func (c *cleaner) carriesSequence(info *record.Info) bool {
	if !info.Idempotent() {
		return false
	}
	of, ok := c.plan.last[info.ProducerID]
	if !ok {
		return false
	}
	if of.offset >= 0 {
		return info.LastOffset() == of.offset
	}
	return info.Control() && info.ProducerEpoch == of.epoch
}
