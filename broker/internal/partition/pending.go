package partition

import (
	"slices"
	"sort"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/commitlog"
)

// Pending is an append on its way to the disk. It belongs to the partition's lock.
type Pending struct {
	p             *Partition
	base, last    int64
	logAppendTime int64
	size          int32 // 0 where the batch was in the log before
	state         state
	err           error
	onWritten     chan struct{}
	onDurable     chan struct{}
	times         *times // nil unless somebody watches
}

// times are when a watched append came how far; zero: not yet, or it failed.
type times struct{ written, durable time.Time }

type state uint8

const (
	stateStaged state = iota
	stateWritten
	stateDone // durable, or failed
)

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// BaseOffset is the offset of the first record.
func (a *Pending) BaseOffset() int64 { return a.base }

// LastOffset is the offset of the last record.
func (a *Pending) LastOffset() int64 { return a.last }

// LogAppendTime is the time the broker stamped, or -1 where records keep their own.
func (a *Pending) LogAppendTime() int64 { return a.logAppendTime }

// Written is closed when the batch is in its file (a kill of the process does not
// lose it), or has failed.
func (a *Pending) Written() <-chan struct{} {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	if a.state >= stateWritten {
		return closed
	}
	if a.onWritten == nil {
		a.onWritten = make(chan struct{})
	}
	return a.onWritten
}

// Progress tells whether the batch is in its file, so that the bytes given to Append are
// free again, and whether Durable is closed. The bytes of one that failed are never free:
// a write that was under way when the log stopped may still read them.
func (a *Pending) Progress() (written, done bool) {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	return a.state >= stateWritten && a.err == nil, a.state == stateDone
}

// Durable is closed when the high watermark has passed the batch, or it has failed.
func (a *Pending) Durable() <-chan struct{} {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	if a.state == stateDone {
		return closed
	}
	if a.onDurable == nil {
		a.onDurable = make(chan struct{})
	}
	return a.onDurable
}

// Err is the failure, once Written or Durable is closed; nil before that and on
// success. It is a *record.Error. A batch can be written and then fail to become
// durable.
func (a *Pending) Err() error {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	return a.err
}

// Watch makes the append remember when it comes how far. again: the batch was
// appended before, and this is a repetition of it.
func (a *Pending) Watch() (again bool) {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	if a.times != nil {
		return true // it was watched when it was appended
	}
	a.times = &times{}
	a.stamp(a.state, a.err)
	return a.size == 0
}

// Times are when a watched append was written and when it became durable; zero for
// what it has not reached.
func (a *Pending) Times() (written, durable time.Time) {
	a.p.log.Lock()
	defer a.p.log.Unlock()
	if a.times == nil {
		return written, durable
	}
	return a.times.written, a.times.durable
}

// stamp notes the time of reaching a state, for who watches. The lock is held.
func (a *Pending) stamp(to state, err error) {
	if err != nil || to < stateWritten {
		return
	}
	now := a.p.now()
	if a.times.written.IsZero() {
		a.times.written = now
	}
	if to == stateDone {
		a.times.durable = now
	}
}

// move takes a to a later state. The lock is held.
func (a *Pending) move(to state, err error) {
	if a.times != nil {
		a.stamp(to, err)
	}
	if a.state < stateWritten && a.onWritten != nil {
		close(a.onWritten)
	}
	if to == stateDone && a.onDurable != nil {
		close(a.onDurable)
	}
	a.state, a.err = to, err
}

// find returns the append at exactly these offsets, if it is still pending. The
// lock is held.
func (p *Partition) find(base, last int64) *Pending {
	i := sort.Search(len(p.pending), func(i int) bool { return p.pending[i].last >= base })
	if i < len(p.pending) && p.pending[i].base <= base && p.pending[i].last >= last {
		return p.pending[i]
	}
	return nil
}

// Newest returns the newest append that is still on its way to the disk; nil where none is.
func (p *Partition) Newest() *Pending {
	p.log.Lock()
	defer p.log.Unlock()
	return p.newest()
}

// newest is Newest with the lock held.
func (p *Partition) newest() *Pending {
	if n := len(p.pending); n > 0 {
		return p.pending[n-1]
	}
	return nil
}

// owner is the partition as its log sees it; the lock is held in its methods.
type owner Partition

var _ commitlog.Owner = (*owner)(nil)

// Advanced implements commitlog.Owner.
func (o *owner) Advanced() { (*Partition)(o).advance() }

// Failed implements commitlog.Owner.
func (o *owner) Failed(from int64, err error) { (*Partition)(o).failed(from, err) }

// advance moves the marks up to where the log is.
func (p *Partition) advance() {
	if p.log == nil || p.log.Stopped() != nil {
		return
	}
	written := p.log.Written()
	for p.written < len(p.pending) && p.pending[p.written].last < written {
		p.pending[p.written].move(stateWritten, nil)
		p.written++
	}
	if start := p.log.Start(); start != p.start {
		p.start = start
		p.wakeAll()
	}
	before, stable := p.highWatermark, p.lastStable
	p.highWatermark = p.log.Settled()
	p.setLastStable()
	bytes, n := 0, 0
	for n < len(p.pending) && p.pending[n].last < p.highWatermark {
		p.pending[n].move(stateDone, nil)
		bytes += int(p.pending[n].size)
		n++
	}
	p.drop(n)
	if p.highWatermark != before || p.lastStable != stable {
		p.wake(bytes, p.lastStable > stable)
	}
}

// setLastStable computes the last stable offset: the first of the earliest open
// transaction, but never below the log start, or else the high watermark.
func (p *Partition) setLastStable() {
	p.lastStable = p.highWatermark
	if first := p.log.FirstUnstable(p.highWatermark); first >= 0 {
		p.lastStable = min(p.lastStable, max(first, p.log.Start()))
	}
}

// drop forgets the first n pending appends.
func (p *Partition) drop(n int) {
	if n == 0 {
		return
	}
	p.pending = slices.Delete(p.pending, 0, n)
	p.written = max(0, p.written-n)
}

// failed fails what was appended at or above from.
func (p *Partition) failed(from int64, err error) {
	n := sort.Search(len(p.pending), func(i int) bool { return p.pending[i].last >= from })
	for _, a := range p.pending[n:] {
		a.move(stateDone, err)
	}
	clear(p.pending[n:])
	p.pending = p.pending[:n]
	p.written = min(p.written, n)
	if p.log != nil && p.log.Stopped() == nil {
		p.setLastStable() // a transaction that had begun with them has not
	}
	p.wakeAll()
}
