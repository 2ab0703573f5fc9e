package cdc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/cdc/internal/pgoutput"
)

// tracker knows up to which position everything is delivered.
//
// Invariant: position p is reported only when every record of every
// transaction that ends at or before p has been acknowledged by the broker.
// Transactions are begun in the order of their commits, and the position is
// that of the last one before the first that is not complete.
type tracker struct {
	mu    sync.Mutex
	queue []*inflight // in order; the first is the oldest that is not complete
	pos   pgoutput.LSN
	// committed is when the transaction at pos was committed.
	committed time.Time
	// delivered counts the transactions behind pos that had records.
	delivered int64
	// held is set once a transaction is not to be passed: nothing that begins
	// after it can move the position, so it is not kept.
	held bool
}

// inflight is a transaction, or a mark, on its way to the broker.
type inflight struct {
	t         *tracker
	end       pgoutput.LSN
	committed time.Time
	// pending counts records without acknowledgement, plus one while the
	// transaction is being published.
	pending atomic.Int64
	records atomic.Int64
	stuck   bool // under t.mu
	// complete, if not nil, is called once everything is acknowledged. It is set
	// before done.
	complete func()
}

func newTracker(pos pgoutput.LSN) *tracker { return &tracker{pos: pos} }

// begin adds the transaction that ends at end. It is complete after done and as
// many acks as adds.
func (t *tracker) begin(end pgoutput.LSN, committed time.Time) *inflight {
	f := &inflight{t: t, end: end, committed: committed}
	f.pending.Store(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held {
		t.queue = append(t.queue, f)
	}
	return f
}

// mark notes that the server has nothing for us up to pos but what was begun.
func (t *tracker) mark(pos pgoutput.LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch n := len(t.queue); {
	case t.held:
	case n == 0:
		t.pos = max(t.pos, pos)
	case t.queue[n-1].mark():
		t.queue[n-1].end = max(t.queue[n-1].end, pos)
	default:
		t.queue = append(t.queue, &inflight{t: t, end: pos})
	}
}

// mark tells whether f is one.
func (f *inflight) mark() bool { return f.committed.IsZero() && f.pending.Load() == 0 }

// add counts a record that is about to be sent.
func (f *inflight) add() {
	f.pending.Add(1)
	f.records.Add(1)
}

// ack counts a record as acknowledged, done the transaction as sent.
func (f *inflight) ack() {
	if f.pending.Add(-1) != 0 {
		return
	}
	if f.complete != nil {
		f.complete()
	}
	f.t.settle()
}

func (f *inflight) done() { f.ack() }

// hold keeps the position before f, for good.
func (f *inflight) hold() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.stuck = true
	for i, other := range f.t.queue {
		if other == f {
			// What comes after it will never be looked at.
			clear(f.t.queue[i+1:])
			f.t.queue = f.t.queue[:i+1]
			f.t.held = true
		}
	}
}

func (t *tracker) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, f := range t.queue {
		if f.pending.Load() > 0 || f.stuck {
			break
		}
		t.pos = max(t.pos, f.end)
		if !f.committed.IsZero() {
			t.committed = f.committed
		}
		if f.records.Load() > 0 {
			t.delivered++
		}
		n++
	}
	if n > 0 {
		clear(t.queue[:n])
		t.queue = t.queue[n:]
	}
}

// progress is a tracker's state at one moment.
type progress struct {
	pos       pgoutput.LSN
	delivered int64
	held      bool
	// oldest is when the oldest transaction not delivered was committed; zero
	// if everything received is delivered.
	oldest time.Time
}

func (t *tracker) progress() progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := progress{pos: t.pos, delivered: t.delivered, held: t.held}
	for _, f := range t.queue {
		if !f.committed.IsZero() {
			p.oldest = f.committed
			break
		}
	}
	return p
}
