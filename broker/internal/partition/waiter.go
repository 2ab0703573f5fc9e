package partition

import "sync/atomic"

// Waiter is woken by partitions that may have more to read. One Waiter may be
// registered with many partitions.
//
// Register with Notify, then look again, then wait on C: a change between the look
// and the wait leaves a token in C, so no wake-up is lost. Forget every partition
// at the end.
type Waiter struct {
	c    chan struct{}
	need atomic.Int64
}

// NewWaiter returns a waiter that is woken once minBytes have become visible in
// the partitions it is registered with, and at any change that is not more bytes:
// an error, a move of the log start, a partition that closes or is deleted.
func NewWaiter(minBytes int) *Waiter {
	w := &Waiter{c: make(chan struct{}, 1)}
	w.Reset(minBytes)
	return w
}

// C receives a token when it is worth looking again.
func (w *Waiter) C() <-chan struct{} { return w.c }

// Reset sets how many more bytes must become visible before the next wake-up. Call
// it before looking again, never between the look and the wait.
func (w *Waiter) Reset(minBytes int) { w.need.Store(int64(minBytes)) }

func (w *Waiter) wake() {
	select {
	case w.c <- struct{}{}:
	default: // a token is there already
	}
}

// Notify registers w with the partition. iso decides what is visible to it.
func (p *Partition) Notify(w *Waiter, iso Isolation) {
	p.log.Lock()
	defer p.log.Unlock()
	p.waiters[w] = iso
	if p.log.Stopped() != nil {
		w.wake()
	}
}

// Forget removes w.
func (p *Partition) Forget(w *Waiter) {
	p.log.Lock()
	defer p.log.Unlock()
	delete(p.waiters, w)
}

// wake tells waiters that bytes have become visible. For read_committed any move of
// the last stable offset may make more visible than just these, and no move none.
// The lock is held.
func (p *Partition) wake(bytes int, stable bool) {
	for w, iso := range p.waiters {
		switch {
		case iso == ReadCommitted && !stable:
		case iso == ReadCommitted && p.lastStable < p.highWatermark, iso == ReadCommitted && bytes == 0:
			w.wake()
		case w.need.Add(int64(-bytes)) <= 0:
			w.wake()
		}
	}
}

// wakeAll tells waiters that something else than more bytes happened. The lock is held.
func (p *Partition) wakeAll() {
	for w := range p.waiters {
		w.wake()
	}
}
