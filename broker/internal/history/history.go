package history

import (
	"sync"
	"sync/atomic"
)

// Log names one life of one partition. A topic that was deleted and made again is
// another log.
type Log string

// Outcome is what a client was told.
type Outcome uint8

// The outcomes. The zero value is that nothing was heard.
const (
	Unknown Outcome = iota
	OK
	Refused // it did not happen, and never will
)

// Span is when an operation began and ended, in ticks.
type Span struct{ Began, Ended int64 }

// before tells whether a was over when b began.
func (a Span) before(b Span) bool { return a.Ended < b.Began }

// Send is one record that a client sent. Value names it: no two records sent to one
// log have the same.
type Send struct {
	Span
	Log      Log
	Key      string
	Value    string
	Producer string
	Seq      int64 // the producer's records rise in it
	Outcome  Outcome
	Offset   int64  // where it was acknowledged; -1 = not told
	Acks     int16  // as asked for: -1 = all
	Once     bool   // idempotent: it may be stored once
	Txn      string // the transaction it belongs to; empty = none
}

// Txn is one transaction: OK = committed, Refused = aborted.
type Txn struct {
	Span
	Name    string
	Outcome Outcome
	// lossy: a cut came after it that may have taken it from one log and not from
	// another.
	lossy bool
}

// Read is what a reader got of one log: all there is in [From, To).
type Read struct {
	Span
	Log           Log
	From, To      int64
	Start         int64 // log start, as the broker told
	HighWatermark int64 // as it told with what was read; -1 = not told
	Committed     bool  // read_committed
	Complete      bool  // To was the end of the log, or its last stable offset
	Settled       bool  // nothing was on its way: the end was that of all that is written
	Compacted     bool  // records may be missing that a later one of their key replaces
	Records       []Record
}

// Record is a record as it was read.
type Record struct {
	Offset     int64
	Key, Value string
	Control    bool // a transaction's marker: it takes an offset and says nothing
}

// Commit is an offset committed for a group; in a transaction it counts when that
// is committed.
type Commit struct {
	Span
	Group   string
	Log     Log
	Offset  int64
	Outcome Outcome
	Txn     string
}

// Fetched is a committed offset as a client was told it; -1 = none.
type Fetched struct {
	Span
	Group  string
	Log    Log
	Offset int64
}

// History is what clients saw.
type History struct {
	Sends   []Send
	Txns    []Txn
	Reads   []Read
	Commits []Commit
	Fetches []Fetched
	// Whole are the logs that nothing may be deleted from.
	Whole map[Log]bool
}

// Cut forgets what a power cut at a tick excuses. With kept nil the policy was group:
// what was acknowledged otherwise than by acks=all may be gone. Else the policy syncs
// later than it acknowledges, and kept is where each log ended when it was found
// again: what lay above, and any committed offset, may be gone; a log not in kept was
// not found at all.
func (h *History) Cut(at int64, kept map[Log]int64) {
	for i := range h.Sends {
		s := &h.Sends[i]
		if s.Began > at || s.Outcome != OK {
			continue
		}
		if kept == nil && s.Acks != -1 || kept != nil && s.Offset >= kept[s.Log] || s.Ended > at {
			s.Outcome, s.Offset = Unknown, -1
		}
	}
	for i := range h.Txns {
		if t := &h.Txns[i]; t.Began <= at && (kept != nil || t.Ended > at) {
			t.lossy = t.lossy || kept != nil
			if t.Outcome == OK {
				t.Outcome = Unknown
			}
		}
	}
	if kept == nil {
		return
	}
	reads := h.Reads[:0]
	for _, r := range h.Reads {
		if r.Began <= at {
			if r.Committed {
				continue // the end of a transaction may be lost, and its records kept
			}
			r.trim(kept[r.Log])
		}
		reads = append(reads, r)
	}
	h.Reads = reads
	for i := range h.Commits {
		if c := &h.Commits[i]; c.Began <= at && c.Outcome == OK {
			c.Outcome = Unknown
		}
	}
	fetches := h.Fetches[:0]
	for _, f := range h.Fetches {
		if f.Began > at {
			fetches = append(fetches, f)
		}
	}
	h.Fetches = fetches
}

// trim forgets what was read at or above offset.
func (r *Read) trim(offset int64) {
	if r.To <= offset {
		return
	}
	r.To, r.Complete = max(offset, r.From), false
	n := 0
	for n < len(r.Records) && r.Records[n].Offset < offset {
		n++
	}
	r.Records = r.Records[:n:n]
}

// Clone returns a copy whose parts can be changed.
func (h *History) Clone() *History {
	c := *h
	c.Sends = append([]Send(nil), h.Sends...)
	c.Txns = append([]Txn(nil), h.Txns...)
	c.Reads = append([]Read(nil), h.Reads...)
	c.Commits = append([]Commit(nil), h.Commits...)
	c.Fetches = append([]Fetched(nil), h.Fetches...)
	c.Whole = map[Log]bool{}
	for l := range h.Whole {
		c.Whole[l] = true
	}
	return &c
}

// Recorder collects a history from many goroutines.
type Recorder struct {
	clock atomic.Int64
	mu    sync.Mutex
	h     History
}

// Tick is a moment, later than every one before.
func (r *Recorder) Tick() int64 { return r.clock.Add(1) }

// Change changes the history under construction.
func (r *Recorder) Change(f func(h *History)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.h)
}

// Snapshot is the history so far.
func (r *Recorder) Snapshot() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.h.Clone()
}
